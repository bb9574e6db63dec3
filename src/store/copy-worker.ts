// The copy worker: a child of the daemon that copies one directory of a container's root file system into a volume, and ends.
//
// It works chrooted into the volume: a program that has the volume mounted and puts symlinks in its way leads it nowhere else. The source,
// found from inside its own root file system, is its working directory, which no name leads out of: what is in it is never followed.
import { constants, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { dieWithParent, openFiles } from '../kernel/index.ts';
import { errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import { copyTree } from './copy-tree.ts';
import type { CopyAnswer, CopyJob } from './copier.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** Reads its job from stdin, to the end, and answers with one line. */
export function runCopyWorker(): void {
  process.umask(0);
  let answer: CopyAnswer;
  try {
    run(JSON.parse(readFileSync(0, 'utf8')) as CopyJob);
    answer = { done: true };
  } catch (error) {
    answer = { failed: { kind: kindOf(error), code: errnoOf(error), message: messageOf(error) } };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}

function run({ rootfs, path, into, onlyIfEmpty, unlessOrphaned }: CopyJob): void {
  if (unlessOrphaned) {
    dieWithParent();
    writeSync(1, '\n'); // a daemon that was dead by then reads no more: EPIPE
  }
  const files = openFiles();
  const [root, image, volume] = [openSync('/', DIRECTORY), openSync(rootfs, DIRECTORY), openSync(into, DIRECTORY | constants.O_NOFOLLOW)];
  const enter = (fd: number) => { files.fchdir(fd); files.chroot('.'); };
  enter(image);
  const source = openSync(path, DIRECTORY); // its symlinks count from the image's root
  enter(root);
  enter(volume);
  if (onlyIfEmpty && readdirSync('/').length > 0) return;
  files.fchdir(source);
  copyTree(files, { from: '.', to: '/.' });
  files.syncFs('/');
}
