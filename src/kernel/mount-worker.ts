// The mount worker: a child of the daemon, in the same mount namespace, that mounts one thing and ends. It may be killed while it waits.
import { readFileSync, writeSync } from 'node:fs';
import { errnoOf, messageOf } from '../lib/errors.ts';
import { openMounts } from './mounts.ts';
import type { MountAnswer, MountJob } from './remote-mounts.ts';

/** Reads its job from stdin, to the end, and answers with one line. */
export function runMountWorker(): void {
  let answer: MountAnswer;
  try {
    openMounts().mount(JSON.parse(readFileSync(0, 'utf8')) as MountJob);
    answer = { done: true };
  } catch (error) {
    answer = { failed: { code: errnoOf(error) ?? 'EIO', message: messageOf(error) } };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
