// One daemon per data root: our own lock, and the one by which Docker and balenaEngine can be told.
import { closeSync, constants, ftruncateSync, openSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import type { Files } from '../kernel/index.ts';
import { conflict, errnoOf } from '../lib/errors.ts';

/** Takes the root or fails with conflict. Held until disposed of, and let go by the kernel when the process ends. */
export function lockRoot(root: string, own: string, files: Pick<Files, 'tryLock'>): Disposable {
  using held = new DisposableStack();
  const lock = openSync(`${own}/lock`, constants.O_RDWR | constants.O_CREAT, 0o600);
  held.defer(() => closeSync(lock));
  if (!files.tryLock(lock)) throw conflict(`data root ${root} is in use by another daemon (pid ${readFileSync(`${own}/lock`, 'utf8').trim() || 'unknown'})`);
  ftruncateSync(lock);
  writeSync(lock, `${readlinkSync('/proc/self')}\n`, 0);

  // Docker holds this database locked as long as it runs. Holding it ourselves keeps one from starting on the root under our feet.
  const volumes = openExisting(`${root}/volumes/metadata.db`);
  if (volumes !== undefined) {
    held.defer(() => closeSync(volumes));
    if (!files.tryLock(volumes)) throw conflict(`data root ${root} is in use by a Docker or balenaEngine daemon: stop it first`);
  }
  return held.move();
}

function openExisting(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDWR);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
