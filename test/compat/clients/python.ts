// docker-py's stories: Debian's Python runs a program beside this file, which tells one story to one engine.
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Said } from './answers.ts';

/** Debian's, whatever else is first on PATH: it has the library. -B: nothing compiled is left in the tree. */
const PYTHON = '/usr/bin/python3';
const PROGRAM = join(import.meta.dirname, 'docker-py/main.py');
/** dockerd needs most of it, on two busy cores. */
const STORY_TIMEOUT_MS = 240_000;
const MAX_OUTPUT_BYTES = 16 << 20;
const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

export function pythonStories(): string[] {
  return execFileSync(PYTHON, ['-B', PROGRAM, '--list'], { encoding: 'utf8', env }).trim().split('\n');
}

export interface Stage { socket: string; door: string; prefix: string; images: Readonly<Record<string, string>>; folder: string; registry: string }

/** Everything it was answered; throws with the last answer and the program's own words when it broke off. */
export function tellInPython(story: string, stage: Stage): Promise<Said[]> {
  return new Promise((resolve, reject) => {
    execFile(PYTHON, ['-B', PROGRAM, story, JSON.stringify(stage)], { encoding: 'utf8', env, timeout: STORY_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES }, (error, stdout, stderr) => {
      const lines = stdout.split('\n').filter((line) => line !== '');
      if (error) reject(new Error(`docker-py broke off after ${lines.at(-1) ?? 'nothing'}:\n${stderr}`, { cause: error }));
      else resolve(lines.map((line) => JSON.parse(line) as Said));
    });
  });
}
