// A pull beside a busy application in one memory-limited group: how much of its working set does the application keep?
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { halfCompressible } from '../test/crash/image.ts';
import { cachedPages, PAGE_BYTES } from '../test/crash/native.ts';
import { eventually, killTree, pause, run } from '../test/crash/system.ts';
import { openGroup } from './group.ts';
import { onFreshDisk, type PullOptions } from './measure.ts';

export interface BesideFigures {
  /** The lowest share of the application's pages in memory, in percent, looked up every 50 ms. */
  residentPercent: number;
  majorFaults: number;
  meanPassSeconds: number;
  worstPassSeconds: number;
  wallSeconds: number;
}

interface Pass { at: number; resident: number; seconds: number }

const WORKING_SET_BYTES = 200_000_000;
/** Room for the working set, the application's own memory and a daemon's, but not for an image as well. */
const LIMIT_BYTES = 320 * 1024 ** 2;
const CONTROL_MS = 6000;
const LOOK_MS = 50;

/** `engine: 'none'` measures the application alone. */
export async function measureBeside(options: PullOptions): Promise<BesideFigures> {
  await using undo = new AsyncDisposableStack();
  const group = undo.use(openGroup(`vaquita-bench-${process.pid}`, LIMIT_BYTES));
  const file = `${options.scratch}/working-set`;
  undo.defer(() => { rmSync(file, { force: true }); });
  writeWorkingSet(file);
  if (options.engine === 'none') {
    await using application = await startApplication(file, group.procsFiles);
    return await application.during(() => pause(CONTROL_MS));
  }
  return await onFreshDisk({ ...options, group }, async (engine) => {
    await using application = await startApplication(file, group.procsFiles);
    return await application.during(() => engine.pull(options.reference));
  });
}

/** Not in the page cache afterwards: the application is to be charged for it. */
function writeWorkingSet(file: string): void {
  writeFileSync(file, halfCompressible(WORKING_SET_BYTES, 1));
  run('sync', '-f', file);
  run('dd', `if=${file}`, 'iflag=nocache', 'count=0', 'status=none');
}

async function startApplication(file: string, procsFiles: readonly string[]): Promise<AsyncDisposable & { during(work: () => Promise<unknown>): Promise<BesideFigures> }> {
  const script = fileURLToPath(new URL('application.ts', import.meta.url));
  const join = procsFiles.map((procs) => `echo $$ > '${procs}' && `).join('');
  const child = spawn('/bin/sh', ['-c', `${join}exec "$@"`, 'sh', process.execPath, '--no-warnings', script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { pid } = child;
  if (pid === undefined) throw new Error('the application does not start');
  const passes: Pass[] = [];
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) passes.push(JSON.parse(line) as Pass);
  });
  // Its first passes read the file in: it is busy when it finds everything in memory.
  await eventually('the application has its working set', 60_000, () => passes.slice(-3).filter((pass) => pass.resident === 1).length === 3);
  return {
    [Symbol.asyncDispose]: () => killTree(pid),
    async during(work) {
      const [faults, since, start] = [majorFaults(pid), Date.now(), performance.now()];
      let lowest = 1;
      const look = () => { lowest = Math.min(lowest, (cachedPages(file).cached * PAGE_BYTES) / WORKING_SET_BYTES); };
      const timer = setInterval(look, LOOK_MS);
      try { await work(); } finally { clearInterval(timer); }
      look();
      const wallSeconds = (performance.now() - start) / 1000;
      const done = Date.now();
      // The pass that was running when the pull ended suffered from it too.
      await eventually('one more pass', 60_000, () => passes.some((pass) => pass.at > done));
      const seen = passes.filter((pass) => pass.at >= since);
      return {
        residentPercent: lowest * 100, majorFaults: majorFaults(pid) - faults, wallSeconds,
        meanPassSeconds: seen.reduce((sum, pass) => sum + pass.seconds, 0) / seen.length, worstPassSeconds: Math.max(...seen.map((pass) => pass.seconds)),
      };
    },
  };
}

/** Field 12 of /proc/PID/stat, counted behind the name in brackets. */
function majorFaults(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[9]);
}
