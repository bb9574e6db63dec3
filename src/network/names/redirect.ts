// Leads what a container asks at 127.0.0.11:53 to the ports the resolver listens on, by NAT within the container's own namespace, so that it may run a server on port 53 itself.
import type { NetNamespace, Programs } from '../../kernel/index.ts';
import { RESOLVER_ADDRESS } from './resolv-conf.ts';

export interface Ports { udp: number; tcp: number }

/** The usual one of the machine first: whichever backend the kernel has. */
const PROGRAMS = ['iptables', 'iptables-nft', 'iptables-legacy'];

/** Writes the rules with the first program that works here, and remembers it. */
export class Redirect {
  #programs: Programs;
  #works: string | undefined;

  constructor(programs: Programs) {
    this.#programs = programs;
  }

  /** `there`: what `read` found. Error: none of the programs could do it, with the words of the last one. */
  async ensure(namespace: NetNamespace, ports: Ports, there: readonly string[]): Promise<void> {
    const missing = decideMissing(ports, there);
    if (missing === undefined) return;
    let failure: unknown = new Error(`none of ${PROGRAMS.map((name) => `${name}-restore`).join(', ')} is installed`);
    for (const [name, restore] of this.#found('restore')) {
      try {
        await namespace.run([restore, '--noflush', '--wait'], missing);
        this.#works = name;
        return;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** The NAT rules that the first program shows that has any of ours, as the arguments of iptables; none: nothing of ours is there. */
  async read(namespace: NetNamespace): Promise<string[]> {
    for (const [, save] of this.#found('save')) {
      const lines = (await namespace.run([save, '-t', 'nat']).catch(() => '')).split('\n').map((line) => line.trim());
      if (lines.some((line) => line.includes('DOCKER_OUTPUT'))) return lines;
    }
    return [];
  }

  #found(what: 'restore' | 'save'): Array<[name: string, path: string]> {
    return (this.#works === undefined ? PROGRAMS : [this.#works]).flatMap((name): Array<[string, string]> => {
      const path = this.#programs.find(`${name}-${what}`);
      return path === undefined ? [] : [[name, path]];
    });
  }
}

/** The input of iptables-restore that leaves the chains dockerd uses with these ports; undefined when all is there. A chain that is named is emptied first. */
export function decideMissing({ udp, tcp }: Ports, there: readonly string[]): string | undefined {
  const jumps = [`-A OUTPUT -d ${RESOLVER_ADDRESS}/32 -j DOCKER_OUTPUT`, `-A POSTROUTING -d ${RESOLVER_ADDRESS}/32 -j DOCKER_POSTROUTING`];
  const rules = [
    `-A DOCKER_OUTPUT -d ${RESOLVER_ADDRESS}/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination ${RESOLVER_ADDRESS}:${tcp}`,
    `-A DOCKER_OUTPUT -d ${RESOLVER_ADDRESS}/32 -p udp -m udp --dport 53 -j DNAT --to-destination ${RESOLVER_ADDRESS}:${udp}`,
    `-A DOCKER_POSTROUTING -s ${RESOLVER_ADDRESS}/32 -p tcp -m tcp --sport ${tcp} -j SNAT --to-source :53`,
    `-A DOCKER_POSTROUTING -s ${RESOLVER_ADDRESS}/32 -p udp -m udp --sport ${udp} -j SNAT --to-source :53`,
  ];
  if ([...jumps, ...rules].every((rule) => there.includes(rule))) return undefined;
  return ['*nat', ':DOCKER_OUTPUT - [0:0]', ':DOCKER_POSTROUTING - [0:0]', ...jumps.filter((jump) => !there.includes(jump)), ...rules, 'COMMIT', ''].join('\n');
}

/** Where rules of an earlier daemon lead; undefined when they are not there. */
export function portsIn(rules: readonly string[]): Ports | undefined {
  const port = (protocol: string) => Number(rules.map((rule) => new RegExp(`^-A DOCKER_OUTPUT .*-p ${protocol} .*--to-destination 127\\.0\\.0\\.11:(\\d{1,5})$`).exec(rule)?.[1]).find((found) => found !== undefined));
  const [udp, tcp] = [port('udp'), port('tcp')];
  return Number.isInteger(udp) && Number.isInteger(tcp) ? { udp, tcp } : undefined;
}
