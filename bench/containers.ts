// What a running container costs beside itself, and how long its life's steps take: each engine in turn, same image, no network.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startDaemon } from '../test/kit/daemon.ts';
import { startDockerd } from '../test/kit/dockerd.ts';
import { ask } from '../test/kit/http.ts';
import { busyboxImage } from '../test/kit/image.ts';
import { processesOf } from '../test/kit/leaks.ts';
import { mustPull } from '../test/kit/pull.ts';
import { pushImage, startRegistry } from '../test/kit/registry.ts';
import { openTempRoot } from '../test/kit/temp.ts';
import { machine, medianOf, tableOf } from './report.ts';

/** What SPECIFICATION.md promises; exceeding it fails the benchmark. The promise on helpers is held in test/guest, on Debian's own kernel. */
const DAEMON_GROWTH_LIMIT_KB = 100;
/** Until an idle daemon has given back what a burst left. */
const SETTLE_MS = 15_000;

interface Figures {
  /** Resident memory of the processes that hold one container, without its own. */
  helperResidentMB: number;
  /** The same with every shared page divided by the number of processes that share it: what the machine would have back. */
  helperProportionalMB: number;
  /** What no other process shares. */
  helperUniqueMB: number;
  /** Anonymous memory that the daemon side has more of, per running container. */
  daemonGrowthKB: number;
  createMs: number;
  startMs: number;
  waitMs: number;
  removeMs: number;
  /** 20 containers started at the same moment. */
  parallelSeconds: number;
}

interface Engine { socket: string; execRoot: string; daemons(): number[]; close(): Promise<void> }

const { values } = parseArgs({ options: {
  rounds: { type: 'string', default: '3' }, containers: { type: 'string', default: '50' }, runs: { type: 'string', default: '20' },
  out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
} });
const [rounds, count, runs] = [Number(values.rounds), Number(values.containers), Number(values.runs)];

await using root = openTempRoot();
await using registry = await startRegistry({ root: join(root.path, 'registry') });
const image = await pushImage(registry.host, busyboxImage(), { repository: 'bench/busybox', tag: '1' });
const open: Readonly<Record<string, (folder: string) => Promise<Engine>>> = { docker: openDocker, vaquita: openVaquita };
const measured = new Map<string, Figures[]>();
for (let round = 0; round < rounds; round++) {
  for (const [label, start] of Object.entries(open)) {
    const engine = await start(join(root.path, `${label}-${round}`));
    try {
      const figures = await measure(engine);
      console.error(label, JSON.stringify(figures));
      measured.set(label, [...measured.get(label) ?? [], figures]);
    } finally { await engine.close(); }
  }
}
const rows = [...measured].map(([engine, all]) => ({ engine, rounds: all, median: medianOf(all) }));
const text = present();
mkdirSync(values.out, { recursive: true });
writeFileSync(join(values.out, 'containers.json'), `${JSON.stringify({ date: new Date().toISOString().slice(0, 10), rows }, undefined, 2)}\n`);
writeFileSync(join(values.out, 'containers.md'), text);
console.log(text);
const ours = rows.find(({ engine }) => engine === 'vaquita')?.median;
if (!ours || ours.daemonGrowthKB > DAEMON_GROWTH_LIMIT_KB) {
  console.error(`a promise is broken: at most ${DAEMON_GROWTH_LIMIT_KB} kB of the daemon per container`);
  process.exitCode = 1;
}

async function openVaquita(folder: string): Promise<Engine> {
  const daemon = await startDaemon({ root: folder });
  return { socket: daemon.socket, execRoot: daemon.execRoot, daemons: () => [daemon.pid], close: async () => { await daemon.stop(); } };
}

async function openDocker(folder: string): Promise<Engine> {
  const dockerd = await startDockerd({ root: folder });
  const execRoot = join(folder, 'docker-run');
  const containerd = () => processesOf(execRoot).filter(({ command }) => /\bcontainerd\b.*--config/.test(command)).map(({ pid }) => pid);
  return { socket: dockerd.socket, execRoot, daemons: () => [dockerd.pid, ...containerd()], close: async () => { await dockerd[Symbol.asyncDispose](); } };
}

async function measure(engine: Engine): Promise<Figures> {
  await mustPull(engine.socket, image);
  const steps = await steadily(engine);
  await pause(SETTLE_MS);
  const idleKB = sum(engine.daemons(), anonymousKB);
  const ids = await inBatches(count, () => create(engine, ['sleep', '100000']));
  const parallel = ids.slice(0, 20);
  const begun = performance.now();
  await Promise.all(parallel.map((id) => post(engine, `/containers/${id}/start`, 204)));
  const parallelSeconds = (performance.now() - begun) / 1000;
  for (const id of ids.slice(20)) await post(engine, `/containers/${id}/start`, 204);
  await pause(SETTLE_MS);
  const daemons = engine.daemons();
  const helpers = processesOf(engine.execRoot).map(({ pid }) => pid).filter((pid) => !daemons.includes(pid));
  const figures = {
    helperResidentMB: sum(helpers, residentKB) / 1000 / count, helperProportionalMB: sum(helpers, proportionalKB) / 1000 / count, helperUniqueMB: sum(helpers, uniqueKB) / 1000 / count,
    daemonGrowthKB: (sum(daemons, anonymousKB) - idleKB) / count, ...steps, parallelSeconds,
  };
  await inBatches(count, (n) => ask(engine.socket, { method: 'DELETE', path: `/containers/${ids[n]}?force=1` }));
  return figures;
}

/** One container after another through its life; the median of each step. */
async function steadily(engine: Engine): Promise<Pick<Figures, 'createMs' | 'startMs' | 'waitMs' | 'removeMs'>> {
  const all: Array<Pick<Figures, 'createMs' | 'startMs' | 'waitMs' | 'removeMs'>> = [];
  for (let n = 0; n < runs; n++) {
    const marks = [performance.now()];
    const id = await create(engine, ['true']);
    marks.push(performance.now());
    await post(engine, `/containers/${id}/start`, 204);
    marks.push(performance.now());
    await post(engine, `/containers/${id}/wait`, 200);
    marks.push(performance.now());
    await ask(engine.socket, { method: 'DELETE', path: `/containers/${id}` });
    marks.push(performance.now());
    const [createMs = NaN, startMs = NaN, waitMs = NaN, removeMs = NaN] = marks.slice(1).map((mark, at) => mark - (marks[at] ?? NaN));
    all.push({ createMs, startMs, waitMs, removeMs });
  }
  return medianOf(all);
}

async function create(engine: Engine, cmd: readonly string[]): Promise<string> {
  const answer = await ask(engine.socket, { method: 'POST', path: '/containers/create', body: { Image: image, Cmd: cmd, HostConfig: { NetworkMode: 'none' } } });
  if (answer.status !== 201) throw new Error(`create: ${answer.status} ${answer.text}`);
  return answer.json<{ Id: string }>().Id;
}

async function post(engine: Engine, path: string, status: number): Promise<void> {
  const answer = await ask(engine.socket, { method: 'POST', path });
  if (answer.status !== status) throw new Error(`${path}: ${answer.status} ${answer.text}`);
}

async function inBatches<T>(total: number, work: (n: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let at = 0; at < total; at += 5) results.push(...await Promise.all(Array.from({ length: Math.min(5, total - at) }, (_, n) => work(at + n))));
  return results;
}

function sum(pids: readonly number[], kilobytes: (pid: number) => number): number { return pids.reduce((total, pid) => total + kilobytes(pid), 0); }
function anonymousKB(pid: number): number { return field(`/proc/${pid}/status`, 'RssAnon'); }
function residentKB(pid: number): number { return field(`/proc/${pid}/status`, 'VmRSS'); }
function proportionalKB(pid: number): number { return field(`/proc/${pid}/smaps_rollup`, 'Pss'); }
function uniqueKB(pid: number): number { return field(`/proc/${pid}/smaps_rollup`, 'Private_Clean') + field(`/proc/${pid}/smaps_rollup`, 'Private_Dirty'); }

/** The kernel counts in 1,024 bytes; given in 1,000, like every figure here. */
function field(path: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'utf8'))?.[1]) * 1.024;
}

function present(): string {
  return [
    '# Running containers', '',
    `${new Date().toISOString().slice(0, 10)}, ${machine()}; ${count} containers of busybox without a network, medians of ${rounds} rounds, engines in turn; in brackets the ratio to Docker 20.10.`, '',
    tableOf(rows),
  ].join('\n');
}

function pause(ms: number): Promise<void> { return new Promise((resolve) => { setTimeout(resolve, ms); }); }
