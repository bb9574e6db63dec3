// The engine under test as a process of its own, on a data root, exec root and socket of its own.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type Child } from './child.ts';
import { ask } from './http.ts';
import type { Netns } from './netns.ts';

export const EXECUTABLE = join(import.meta.dirname, '../../bin/vaquita');

export interface DaemonOptions {
  /** Folder for everything of it; a second daemon on the same one is a restart. */
  root: string;
  /** Further words after `daemon`. */
  flags?: readonly string[];
  /** Content of its daemon.json. */
  config?: Readonly<Record<string, unknown>>;
  env?: Readonly<Record<string, string>>;
  /** Where it runs, with its default bridge. Without one it runs in the machine's own network, and has no bridge. */
  netns?: Netns | undefined;
  /** Put in front of the command, such as ['nsenter', …] or ['strace', …]. */
  wrap?: readonly string[];
  readyTimeoutMs?: number;
}

export interface Daemon extends Child {
  readonly root: string;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly socket: string;
  /** For DOCKER_HOST. */
  readonly host: string;
}

/** Resolves when /_ping answers. Containers outlive it: remove them, or let the temporary root sweep them. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { root } = options;
  const place = { root, dataRoot: join(root, 'data'), execRoot: join(root, 'run'), socket: join(root, 'vaquita.sock'), host: `unix://${join(root, 'vaquita.sock')}` };
  mkdirSync(root, { recursive: true });
  const configFile = join(root, 'daemon.json');
  writeFileSync(configFile, JSON.stringify(options.config ?? {}));
  const words = ['--config-file', configFile, '--data-root', place.dataRoot, '--exec-root', place.execRoot, '--pidfile', join(root, 'vaquita.pid'), '-H', place.host];
  const [first = EXECUTABLE, ...rest] = [...options.netns?.wrap ?? [], ...options.wrap ?? [], EXECUTABLE, 'daemon', ...words, ...options.netns ? [] : ['--bridge=none'], ...options.flags ?? []];
  const child = await startChild({
    command: [first, ...rest],
    ready: () => answersPing(place.socket),
    ...(options.env ? { env: options.env } : {}),
    ...(options.readyTimeoutMs === undefined ? {} : { readyTimeoutMs: options.readyTimeoutMs }),
  });
  return Object.defineProperties(place, Object.getOwnPropertyDescriptors(child)) as typeof place & Child;
}

export async function answersPing(socket: string): Promise<boolean> {
  const { status, text } = await ask(socket, { path: '/_ping', timeoutMs: 5000 });
  return status === 200 && text === 'OK';
}
