// Debian's dockerd as the yardstick: the same script is run against it and against this engine, and the answers are compared.
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type Child } from './child.ts';
import { answersPing } from './daemon.ts';
import { processesOf } from './leaks.ts';
import type { Netns } from './netns.ts';
import { until } from './poll.ts';
import { openLinux } from '../../src/kernel/index.ts';

const { mounts } = openLinux({ selfCommand: [process.execPath] });

export interface Dockerd extends Child {
  readonly root: string;
  readonly dataRoot: string;
  readonly socket: string;
  readonly host: string;
}

/** Debian's, whatever else is first on PATH; starts its own containerd below `root`. Without a namespace no bridge and no firewall rules: --network none or host. */
export async function startDockerd({ root, flags = [], netns }: { root: string; flags?: readonly string[]; netns?: Netns | undefined }): Promise<Dockerd> {
  const place = { root, dataRoot: join(root, 'docker-data'), execRoot: join(root, 'docker-run'), socket: join(root, 'docker.sock'), host: `unix://${join(root, 'docker.sock')}` };
  mkdirSync(root, { recursive: true });
  const configFile = join(root, 'dockerd.json');
  writeFileSync(configFile, '{}'); // so that the machine's own is not read
  const child = await startChild({
    command: [
      ...netns?.wrap ?? ['/usr/bin/env'], '/usr/sbin/dockerd', '--config-file', configFile, '--data-root', place.dataRoot, '--exec-root', place.execRoot, '--pidfile', join(root, 'docker.pid'),
      '-H', place.host, '--storage-driver=overlay2', ...netns ? [] : ['--iptables=false', '--ip6tables=false', '--bridge=none'], ...flags,
    ],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DOCKER_HOST: undefined },
    ready: () => answersPing(place.socket),
    readyTimeoutMs: 60_000,
  });
  // A killed dockerd leaves its containerd, which holds the socket that the next one wants.
  const endContainerd = async () => {
    try { process.kill(Number(readFileSync(join(place.execRoot, 'containerd/containerd.pid'), 'utf8')), 'SIGTERM'); } catch { /* gone with it */ }
    await until('containerd to end', () => !processesOf(place.execRoot).some(({ command }) => /\bcontainerd\b.*--config/.test(command)), 60_000);
  };
  // The bind of the host's network namespace is never taken away by dockerd.
  const endNamespaces = () => { for (const { target } of mounts.list()) if (target.startsWith(`${place.execRoot}/netns/`)) mounts.unmount(target, { lazy: true }); };
  return Object.defineProperties(place, {
    ...Object.getOwnPropertyDescriptors(child),
    kill: { value: async () => { await child.kill(); await endContainerd(); } },
    [Symbol.asyncDispose]: { value: async () => { await child[Symbol.asyncDispose](); await endContainerd(); endNamespaces(); } },
  }) as typeof place & Child;
}
