// A registry that misbehaves on demand and a daemon that pulls from it: opened once for all tests of a file, closed behind the last one.
import { join } from 'node:path';
import { after } from 'node:test';
import { startDaemon, type Daemon, type DaemonOptions } from './daemon.ts';
import { openFakeRegistry, type FakeRegistry } from './fake-registry.ts';
import { openTempRoot, type TempRoot } from './temp.ts';

export interface PullBench {
  /** Of the daemon, and of whatever else a test leaves. */
  readonly root: TempRoot;
  readonly registry: FakeRegistry;
  readonly daemon: Daemon;
}

export async function openPullBench(options: Omit<DaemonOptions, 'root'> = {}): Promise<PullBench> {
  await using opening = new AsyncDisposableStack();
  const root = opening.use(openTempRoot());
  const registry = opening.use(await openFakeRegistry());
  const daemon = opening.use(await startDaemon({ ...options, root: join(root.path, 'engine') }));
  const held = opening.move();
  after(() => held.disposeAsync());
  return { root, registry, daemon };
}
