// What a story waits for before it goes on: two engines are compared in settled states alone, not in moments of a race.
import { until } from '../../kit/poll.ts';
import type { Scene } from '../scene.ts';

/** Until it has written "up" in so many runs: from then on it heeds signals, which the first process of a container without a trap does not. */
export async function up(scene: Scene, name: string, runs: number): Promise<void> {
  await until(`${name} to be up ${runs} times`, async () => (await scene.do(`logs @${name}`)).split('up').length > runs, 60_000);
}

/** Until a program has written that, whole, where these words look for it. */
export async function written(scene: Scene, words: string, text: string): Promise<void> {
  await until(`${words} to show ${text}`, async () => await scene.do(words) === text, 60_000);
}

/** Says it until the answer looks like that, and keeps the last answer alone. */
export async function saidUntil(scene: Scene, words: string, pattern: RegExp): Promise<void> {
  const before = scene.said.length;
  await until(`${words} to show ${String(pattern)}`, async () => {
    scene.said.length = before;
    return pattern.test((await scene.say(words)).stdout);
  }, 60_000);
}

/** Of a shell on a terminal: it asks where the cursor is behind its prompt, unless something was typed before that. */
export const PROMPT = /# \p{Cc}\[6n/u;

/** Typed to it in front of what ends it: a client that comes to tell the size afterwards complains. Short, for it must not be broken into lines. */
export const SIZED = 'until stty size 2>/dev/null|grep 80;do :;done;';
