// Cuts the power of a recorded disk again and again and lets the engine come back: `powercut.ts --long`, or as a library from the tests.
import { appendFileSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { CutDisks, diceOf } from './cutstates.ts';
import { freeze, type EngineName } from './engines.ts';
import { versions } from './image.ts';
import { judge, type Verdict } from './judge.ts';
import { openRegistry } from './registry.ts';
import { chooseCuts, record } from './scenario.ts';
import { run } from './system.ts';

export interface PowercutOptions {
  engine: EngineName;
  seed: number;
  cuts: number;
  files: number;
  idleMs: number;
  progress?: (line: string) => void;
  /** Stops between two cuts, with everything cleaned up. */
  signal?: AbortSignal;
}

export interface PowercutReport {
  engine: EngineName;
  version: string;
  seed: number;
  cuts: number;
  files: number;
  /** Recorded requests, and flushes among them, from the first pull to the stop. */
  writes: number;
  flushes: number;
  /** Cuts at which a success had been reported before. */
  cutsAfterSuccess: number;
  /** Number of cuts with at least one such finding. */
  lost: number;
  corrupt: number;
  notStarted: number;
  notCompletable: number;
  /** Layers that cuts left whole without the one below them, and that were used again. */
  kept: number;
  /** Cuts without any finding. */
  good: number;
  seconds: number;
  findings: ({ n: number; cut: number } & Verdict)[];
}

const DISK_BYTES = 640 << 20;
const ROOM_BYTES = 4 * DISK_BYTES;

export async function powercut(options: PowercutOptions): Promise<PowercutReport> {
  const started = performance.now();
  await using undo = new AsyncDisposableStack();
  const scratch = mkdtempSync(`${roomyDirectory()}/vaquita-powercut-`);
  undo.defer(() => rmSync(scratch, { recursive: true, force: true }));
  const registry = undo.use(await openRegistry(`${scratch}/registry`));
  const engine = freeze(options.engine, `${scratch}/frozen`);
  const recording = await record({ ...options, engine, scratch: `${scratch}/recording`, registry, images: versions(options.files), diskBytes: DISK_BYTES });
  const disks = new CutDisks(recording.entries, recording);
  const diskFile = `${scratch}/cut.raw`;
  disks.writeAll(diskFile);
  run('cmp', diskFile, recording.diskFile); // A recording that does not replay to the disk itself would prove nothing.
  rmSync(recording.diskFile);

  const { marks, entries, promises } = recording;
  const span = entries.slice(marks.pulling, marks.stopping);
  const report: PowercutReport = {
    engine: options.engine, version: recording.engineVersion, seed: options.seed, cuts: options.cuts, files: options.files,
    writes: span.filter((entry) => entry.sectors > 0).length, flushes: span.filter((entry) => entry.flush).length,
    cutsAfterSuccess: 0, lost: 0, corrupt: 0, notStarted: 0, notCompletable: 0, kept: 0, good: 0, seconds: 0, findings: [],
  };
  const cuts = chooseCuts(recording, options.cuts, diceOf(options.seed));
  for (const [n, cut] of cuts.entries()) {
    options.signal?.throwIfAborted();
    // Every cut has dice of its own: one of many can be repeated without the others.
    disks.write(cut, diceOf(options.seed * 100_003 + n), diskFile);
    const verdict = await judge(diskFile, cut, { engine, scratch, registry: registry.host, recording, onKept: (layers) => { report.kept += layers; } });
    count(report, { n, cut, ...verdict });
    if (cut >= (promises[0]?.from ?? Infinity)) report.cutsAfterSuccess++;
    options.progress?.(`cut ${n + 1}/${cuts.length} after write ${cut}/${entries.length}: ${sentence(verdict)}`);
  }
  report.seconds = Math.round((performance.now() - started) / 1000);
  return report;
}

export function tableOf(report: PowercutReport): string {
  const names = ['engine', 'version', 'seed', 'cuts', 'after success', 'lost', 'corrupt', 'not started', 'not completable', 'good', 'writes', 'flushes', 's'];
  const values = [
    report.engine, report.version, report.seed, report.cuts, report.cutsAfterSuccess, report.lost, report.corrupt, report.notStarted,
    report.notCompletable, report.good, report.writes, report.flushes, report.seconds,
  ];
  return [names, names.map(() => '---'), values].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function count(report: PowercutReport, finding: PowercutReport['findings'][number]): void {
  const kinds = ['lost', 'corrupt', 'notStarted', 'notCompletable'] as const;
  for (const kind of kinds) if (finding[kind].length > 0) report[kind]++;
  if (kinds.every((kind) => finding[kind].length === 0)) report.good++;
  else report.findings.push(finding);
}

function sentence(verdict: Verdict): string {
  const found = Object.entries(verdict).filter(([, list]: [string, string[]]) => list.length > 0);
  return found.length === 0 ? 'good' : found.map(([kind, list]: [string, string[]]) => `${kind}: ${list[0]?.slice(0, 160)}${list.length > 1 ? ` (+${list.length - 1})` : ''}`).join('; ');
}

/** Memory where there is room: hundreds of disks are written and thrown away. */
function roomyDirectory(): string {
  try {
    const room = statfsSync('/dev/shm');
    if (room.bavail * room.bsize > ROOM_BYTES) return '/dev/shm';
  } catch { /* Some systems have none. */ }
  return tmpdir();
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: {
    long: { type: 'boolean' }, engine: { type: 'string', default: 'vaquita' }, seed: { type: 'string', default: '1' },
    cuts: { type: 'string' }, files: { type: 'string', default: '3000' }, json: { type: 'string' }, markdown: { type: 'string' },
  } });
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => { stop.abort(new Error(`stopped by ${name}`)); });
  const report = await powercut({
    signal: stop.signal, engine: values.engine, seed: Number(values.seed), cuts: Number(values.cuts ?? (values.long ? 200 : 12)),
    files: Number(values.files), idleMs: 8000, progress: (line) => { console.error(line); },
  });
  console.log(tableOf(report));
  if (values.json) writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  else console.log(JSON.stringify({ ...report, findings: report.findings.slice(0, 20) }));
  if (values.markdown) appendFileSync(values.markdown, `\n${tableOf(report)}\n`);
  if (report.engine === 'vaquita' && report.good < report.cuts) process.exitCode = 1;
}

if (import.meta.main) await main();
