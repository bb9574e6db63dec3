// A disk of its own for a test: ext4 in a file on a loop device, small enough to fill, counted, and broken on demand.
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { openFiles } from '../../src/kernel/index.ts';
import { until } from './poll.ts';

export interface SmallDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  freeBytes(): number;
  /** Bytes that reached the device so far, everything that was dirty included. */
  writtenBytes(): number;
  /** What a failing flash does: the file system finds an error and goes read-only under everyone's feet. */
  fail(): void;
  remount(how: 'ro' | 'rw'): void;
}

/** `file` becomes the disk and is mounted at `path`; whoever opens it sees that nothing uses it before it goes. */
export function openSmallDisk({ file, path, sizeBytes }: { file: string; path: string; sizeBytes: number }): SmallDisk {
  const fd = openSync(file, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  mkdirSync(path, { recursive: true });
  run('mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', file);
  run('mount', '-o', 'loop,errors=remount-ro', file, path);
  const device = basename(run('findmnt', '-n', '-o', 'SOURCE', path).trim());
  const files = openFiles();
  return {
    path,
    freeBytes: () => { const { bfree, bsize } = statfsSync(path); return bfree * bsize; },
    writtenBytes() {
      files.syncFs(path);
      // Field 7 counts sectors of 512 bytes. Source: Documentation/block/stat.rst of Linux.
      return Number(readFileSync(`/sys/block/${device}/stat`, 'utf8').trim().split(/\s+/)[6]) * 512;
    },
    fail: () => writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, 'a test\n'),
    remount: (how) => { run('mount', '-o', `remount,${how}`, path); },
    // What was just killed may hold it for a moment.
    async [Symbol.asyncDispose]() { await until(`${path} to be let go`, () => { run('umount', path); return true; }); },
  };
}

function run(program: string, ...words: string[]): string {
  return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
