// The machine's files as the command line's cp, export, save and load see them.
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { HostTrees } from './cli/io.ts';
import { openSourceTree, openTargetTree } from './kernel/index.ts';

const READ_BYTES = 256 * 1024;

export function hostTrees(): HostTrees {
  return {
    source: openSourceTree(),
    target: (base) => openTargetTree({ base, chown: false, root: { uid: 0, gid: 0 } }),
    bytes: (path) => createReadStream(path, { highWaterMark: READ_BYTES }),
    async save(path, chunks) {
      const staged = join(dirname(path), `.vaquita-${process.pid}.new`);
      try {
        await pipeline(chunks, createWriteStream(staged, { flags: 'wx', mode: 0o600 }));
        await rename(staged, path);
      } catch (error) {
        await rm(staged, { force: true });
        throw error;
      }
    },
  };
}
