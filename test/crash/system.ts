// What the power-cut test and the benchmarks ask of the system: run a program, attach loop devices, mount, wait, and undo it all.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Runs a program to its end and returns its stdout; a failure names the program and what it said. */
export function run(program: string, ...words: string[]): string {
  const done = spawnSync(program, words, { encoding: 'utf8', maxBuffer: 64 << 20 });
  if (done.error) throw new Error(`${program}: ${done.error.message}`);
  if (done.status !== 0) throw new Error(`${program} ${words.join(' ')}: exit ${done.status ?? done.signal}: ${done.stderr.trim()}`);
  return done.stdout;
}

/** A file system on a loop device over `file`, mounted at `target`. */
export interface LoopMount extends AsyncDisposable {
  /** Such as /dev/loop3. */
  readonly device: string;
}

/** Buffered, not direct: qemu-storage-daemon 7.2 overwrites the buffer of a write when another one arrives beside it. */
export async function mountLoop(file: string, target: string, options: { direct?: boolean; mountOptions?: string; format?: (device: string) => void } = {}): Promise<LoopMount> {
  await using undo = new AsyncDisposableStack();
  const device = run('losetup', ...(options.direct ? ['--direct-io=on'] : []), '-f', '--show', file).trim();
  undo.defer(() => { run('losetup', '-d', device); });
  options.format?.(device);
  run('mount', '-t', 'ext4', '-o', options.mountOptions ?? 'noatime', device, target);
  undo.defer(() => unmount(target));
  const held = undo.move();
  return { device, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** A daemon that was just killed may hold its mounts for a moment: tried again for a minute. */
export async function unmount(target: string): Promise<void> {
  await eventually(`unmount ${target}`, 60_000, () => spawnSync('umount', [target]).status === 0);
}

/** Everything mounted at or below a directory, the last one first. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const path of mountsBelow(directory).reverse()) await unmount(path);
}

function mountsBelow(directory: string): string[] {
  const targets = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8))));
  return targets.filter((target) => target === directory || target.startsWith(`${directory}/`));
}

/** Asks until the answer is true, at most `limitMs`. */
export async function eventually(what: string, limitMs: number, ask: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await ask())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await pause(20);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

/** The process and everything below it, parents first. */
export function processTree(pid: number): number[] {
  const all = [pid];
  for (const parent of all) all.push(...childrenOf(parent));
  return [...new Set(all)];
}

/** Ends a process that this test started and everything below it, at once. */
export async function killTree(pid: number): Promise<void> {
  const pids = processTree(pid);
  for (const one of pids) signal(one, 'SIGKILL');
  await eventually(`end of processes ${pids.join(' ')}`, 60_000, () => pids.every((one) => !isAlive(one)));
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try { process.kill(pid, name); } catch { /* It is gone already. */ }
}

/** A zombie counts as gone: its parent will collect it. */
export function isAlive(pid: number): boolean {
  try { return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8')); } catch { return false; }
}

/** Children are listed with the thread that started them, and Go starts them from any. */
function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter((word) => word.trim() !== '').map(Number));
  } catch { return []; } // It ended while we looked.
}
