// What may differ between two engines' answers to a client library, each with its reason; docs/compatibility.md has the same in prose.

export interface ClientDifference {
  /** Of the client, the story's name and what was asked: "docker-py create: inspect". */
  where: RegExp;
  /** Of the place in the answer, as in "HostConfig.Memory"; without it, all of it. */
  at?: RegExp;
  /** Text there is written so before it is compared; without it, what stands there is left out, on both sides. */
  written?: readonly [pattern: RegExp, as: string];
  why: string;
}

export const CLIENT_DIFFERENCES: readonly ClientDifference[] = [
  { where: /inspect/, at: /(^|\.)HostConfig\.KernelMemory(TCP)?$/, why: 'gone with API 1.42; the client takes 1.51 here, 1.41 from dockerd 20.10' },
  { where: /inspect/, at: /\.(GwPriority|DNSNames)$|GraphDriver\.Data\.ID$/, why: 'new in API versions that dockerd 20.10 has not' },
  { where: /inspect/, at: /HostConfig\.RestartPolicy\.Name$/, written: [/^$/, 'no'], why: 'Docker since 25 writes the default policy out' },
];
