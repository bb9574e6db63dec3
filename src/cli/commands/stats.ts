// stats: a table of what containers use, drawn anew while it is watched.
import { textLines } from '../client.ts';
import { containerPath, type Call, type Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { renderRows, type Row } from '../rows.ts';
import { shortId } from '../table.ts';
import { bytesSize, humanSize } from '../../wire/units.ts';

const TABLE = 'table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}';
const HEADERS = {
  Container: 'CONTAINER', ID: 'CONTAINER ID', Name: 'NAME', CPUPerc: 'CPU %', MemUsage: 'MEM USAGE / LIMIT', MemPerc: 'MEM %', NetIO: 'NET I/O', BlockIO: 'BLOCK I/O', PIDs: 'PIDS',
};
/** Between two drawings. */
const REDRAW_MS = 500;
/** A container that has told nothing for so long is shown without numbers. */
const SILENCE_MS = 2000;
/** A terminal's words for "wipe everything, go to the first column of the first row". */
const WIPE = '\x1b[2J\x1b[H';

export const stats: Command = {
  name: 'stats', usage: '[OPTIONS] [CONTAINER...]', short: 'Show what containers use, as it changes', args: { min: 0 },
  flags: [
    flag('a, all', 'bool', 'Show stopped containers as well'),
    flag('format', 'string', 'Print each container by a Go template'),
    flag('no-stream', 'bool', 'Print once, and end'),
    flag('no-trunc', 'bool', 'Don\'t truncate output'),
  ],
  run: (call) => (call.flags.bool('no-stream') ? once(call) : watch(call)),
};

interface CpuStats { cpu_usage: { total_usage: number; percpu_usage?: number[] | null }; system_cpu_usage?: number; online_cpus?: number }
interface Sample {
  id?: string;
  name?: string;
  cpu_stats: CpuStats;
  precpu_stats: CpuStats;
  memory_stats: { usage?: number; limit?: number; stats?: Record<string, number> };
  blkio_stats: { io_service_bytes_recursive?: Array<{ op: string; value: number }> | null };
  networks?: Record<string, { rx_bytes: number; tx_bytes: number }> | null;
  pids_stats: { current?: number };
}

/** One row on the screen. */
interface Watched { word: string; sample: Sample | undefined; toldAt: number; failure: string | undefined }

async function once(call: Call): Promise<void> {
  const watched = await Promise.all((await wordsOf(call)).map(async (word): Promise<Watched> => {
    try { return { word, sample: await call.client.json<Sample>('GET', containerPath(word, '/stats'), { query: { stream: 0 } }), toldAt: call.io.clock.monotonicMs(), failure: undefined }; }
    catch (error) { return { word, sample: undefined, toldAt: 0, failure: (error as Error).message }; }
  }));
  failTogether(call.args.length > 0 ? watched : []);
  draw(call, watched.filter(({ failure }) => failure === undefined));
}

async function watch(call: Call): Promise<void> {
  const { flags, io } = call;
  const stop = new AbortController();
  using _signals = io.onSignal(() => stop.abort());
  const watched = new Map<string, Watched>();
  const firsts: Promise<void>[] = [];
  const follow = (word: string) => {
    if (watched.has(word)) return;
    const row: Watched = { word, sample: undefined, toldAt: io.clock.monotonicMs(), failure: undefined };
    watched.set(word, row);
    const { promise, resolve } = Promise.withResolvers<void>();
    firsts.push(promise);
    void read(call, row, { signal: stop.signal, told: resolve }).finally(() => {
      resolve();
      if (call.args.length === 0) watched.delete(word); // gone from the machine, gone from the table
    });
  };
  for (const word of await wordsOf(call)) follow(word);
  if (call.args.length === 0) {
    void followEvents(call, { signal: stop.signal, event: (action, id) => {
      if (action === (flags.bool('all') ? 'create' : 'start')) follow(shortId(id));
      if (action === 'destroy' || (action === 'die' && !flags.bool('all'))) watched.delete(shortId(id));
    } }).catch(() => stop.abort());
  }
  await Promise.race([Promise.all(firsts), io.clock.sleep(SILENCE_MS)]);
  failTogether([...watched.values()]);
  while (!stop.signal.aborted) {
    await io.clock.sleep(REDRAW_MS, { signal: stop.signal }).catch(() => {});
    if (stop.signal.aborted) break;
    io.stdout.write(WIPE);
    const now = io.clock.monotonicMs();
    draw(call, [...watched.values()].map((row) => (now - row.toldAt > SILENCE_MS ? { ...row, sample: undefined } : row)));
    if (call.args.length > 0 && watched.size === 0) break;
  }
}

/** Each line is the newest; ends when the container is gone. */
async function read(call: Call, row: Watched, { signal, told }: { signal: AbortSignal; told: () => void }): Promise<void> {
  try {
    const stream = await call.client.stream('GET', containerPath(row.word, '/stats'), { query: { stream: 1 }, signal });
    for await (const line of textLines(stream)) {
      [row.sample, row.toldAt] = [JSON.parse(line) as Sample, call.io.clock.monotonicMs()];
      told();
    }
  } catch (error) {
    if (!signal.aborted) row.failure = (error as Error).message;
  }
}

async function followEvents(call: Call, { signal, event }: { signal: AbortSignal; event: (action: string, id: string) => void }): Promise<void> {
  const stream = await call.client.stream('GET', '/events', { query: { filters: '{"type":["container"]}' }, signal });
  for await (const line of textLines(stream)) {
    const { Action: action, Actor: { ID: id } } = JSON.parse(line) as { Action: string; Actor: { ID: string } };
    event(action, id);
  }
}

/** As named, or every one that runs; with --all every one. */
async function wordsOf({ args, client, flags }: Call): Promise<readonly string[]> {
  if (args.length > 0) return args;
  const list = await client.json<Array<{ Id: string }>>('GET', '/containers/json', { query: { all: flags.bool('all') || undefined } });
  return list.map(({ Id }) => shortId(Id));
}

function failTogether(rows: readonly Watched[]): void {
  const failures = rows.flatMap(({ failure }) => failure ?? []);
  if (failures.length > 0) throw new Failure(failures.join('\n'));
}

function draw(call: Call, rows: readonly Watched[]): void {
  const typed = call.flags.text('format');
  const format = typed === '' || typed === 'table' ? TABLE : typed;
  call.io.stdout.write(renderRows({ format, headers: HEADERS, rows: rows.map((row) => statsRow(row, { full: call.flags.bool('no-trunc') })), typeName: '*container.statsContext' }));
}

/** A container as tables and templates see it; without numbers while it has told none. */
export function statsRow({ word, sample }: Pick<Watched, 'word' | 'sample'>, { full }: { full: boolean }): Row {
  if (!sample) return { BlockIO: '--', CPUPerc: '--', Container: word, ID: '', MemPerc: '--', MemUsage: '-- / --', Name: '--', NetIO: '--', PIDs: '--' };
  const used = usedMemory(sample);
  const limit = sample.memory_stats.limit ?? 0;
  const networks = Object.values(sample.networks ?? {});
  const moved = (letter: string) => sum((sample.blkio_stats.io_service_bytes_recursive ?? []).filter(({ op }) => op.toLowerCase().startsWith(letter)).map(({ value }) => value));
  return {
    BlockIO: `${humanSize(moved('r'), 3)} / ${humanSize(moved('w'), 3)}`,
    CPUPerc: `${cpuPercent(sample).toFixed(2)}%`,
    Container: word,
    ID: full ? sample.id ?? '' : shortId(sample.id ?? ''),
    MemPerc: `${(limit === 0 ? 0 : used / limit * 100).toFixed(2)}%`,
    MemUsage: `${bytesSize(used)} / ${bytesSize(limit)}`,
    Name: (sample.name ?? '').length > 1 ? (sample.name ?? '').slice(1) : '--',
    NetIO: `${humanSize(sum(networks.map(({ rx_bytes }) => rx_bytes)), 3)} / ${humanSize(sum(networks.map(({ tx_bytes }) => tx_bytes)), 3)}`,
    PIDs: String(sample.pids_stats.current ?? 0),
  };
}

function cpuPercent({ cpu_stats: now, precpu_stats: before }: Sample): number {
  const spent = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const passed = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cpus = now.online_cpus || (now.cpu_usage.percpu_usage ?? []).length;
  return spent > 0 && passed > 0 ? spent / passed * cpus * 100 : 0;
}

/** Without pages of files that the kernel would give back at once: total_inactive_file of cgroup v1, inactive_file of v2. */
function usedMemory({ memory_stats: { usage = 0, stats: counts = {} } }: Sample): number {
  const idle = counts['total_inactive_file'] ?? counts['inactive_file'] ?? 0;
  return idle < usage ? usage - idle : usage;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
