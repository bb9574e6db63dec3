// What a network costs: starting with an endpoint and two ports, bytes between containers and from the host, networks made and removed. Each engine in turn, on a machine of its own as far as networks go.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startChild } from '../test/kit/child.ts';
import { ask } from '../test/kit/http.ts';
import { until } from '../test/kit/poll.ts';
import { machine, median, tableOf } from './report.ts';
import { inTurns, keepResults, type Turn } from './turns.ts';

/** What SPECIFICATION.md promises; breaking it fails the benchmark. */
const ADDED_LIMIT_MS = 40;
const THROUGHPUT_LIMIT = 0.95;
/** Until an idle daemon has given back what a burst left. */
const SETTLE_MS = 15_000;
/** Of each way, in turn. */
const FLOWS = 5;
const FLOW = [process.execPath, '--no-warnings', fileURLToPath(new URL('flow.ts', import.meta.url))];
/** Port 7000, state LISTEN, as /proc/net/tcp writes it. */
const LISTENS = /:1B58 [0-9A-F]+:0000 0A/;

interface Figures {
  /** From the request to start until its answer. */
  startOnHostMs: number;
  startPublishedMs: number;
  /** Median of the differences within pairs: what the bridge and two ports add. */
  addedMs: number;
  betweenContainersMBps: number;
  hostToContainerMBps: number;
  /** To 127.0.0.1 and a published port. */
  hostToPortMBps: number;
  /** One after another, made and removed. */
  networkCreateMs: number;
  networkRemoveMs: number;
  /** Anonymous memory that the daemon has more of after all these networks have come and gone. */
  daemonGrowthKB: number;
}

const { values } = parseArgs({ options: {
  rounds: { type: 'string', default: '3' }, runs: { type: 'string', default: '20' }, networks: { type: 'string', default: '200' }, megabytes: { type: 'string', default: '1000' },
  out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
} });
const [rounds, runs, networks, megabytes] = [Number(values.rounds), Number(values.runs), Number(values.networks), Number(values.megabytes)];

const rows = await inTurns({ rounds }, measure);
const text = [
  '# Networks', '',
  `${new Date().toISOString().slice(0, 10)}, ${machine()}; medians of ${rounds} rounds, engines in turn; in brackets the ratio to Docker 20.10.`, '', tableOf(rows),
].join('\n');
keepResults(values.out, 'networks', { rows, text });
console.log(text);
const [docker, ours] = ['docker', 'vaquita'].map((label) => rows.find(({ engine }) => engine === label)?.median);
const broken = !docker || !ours ? ['both engines are measured'] : [
  ...ours.addedMs > ADDED_LIMIT_MS ? [`a bridge and two ports add at most ${ADDED_LIMIT_MS} ms to a start`] : [],
  ...(['betweenContainersMBps', 'hostToContainerMBps', 'hostToPortMBps'] as const).filter((name) => ours[name] < THROUGHPUT_LIMIT * docker[name]).map((name) => `${name} is at least ${THROUGHPUT_LIMIT} of Docker's`),
];
for (const promise of broken) console.error(`a promise is broken: ${promise}`);
process.exitCode = broken.length > 0 ? 1 : 0;

async function measure(engine: Turn): Promise<Figures> {
  const starts = await measureStarts(engine);
  const flows = await measureFlows(engine);
  const made: number[] = [], removed: number[] = [];
  await until('devices of the containers before to be gone', () => engine.machine.devices().every((device) => !device.startsWith('veth')));
  const before = { memoryKB: anonymousKB(engine.pid), devices: engine.machine.devices(), rules: engine.machine.rules() };
  for (let n = 0; n < networks; n++) {
    const { ms: createMs, answer } = await timed(() => request(engine, { method: 'POST', path: '/networks/create', status: 201, body: { Name: `bench-${n}` } }));
    const { ms: removeMs } = await timed(() => request(engine, { method: 'DELETE', path: `/networks/${answer.json<{ Id: string }>().Id}`, status: 204 }));
    made.push(createMs);
    removed.push(removeMs);
  }
  const [devices, rules] = [engine.machine.devices(), engine.machine.rules()];
  if (devices.join() !== before.devices.join() || rules.toSorted().join() !== before.rules.toSorted().join()) throw new Error(`${engine.label} left something in the kernel: ${devices.join()} ${rules.filter((rule) => !before.rules.includes(rule)).join('; ')}`);
  await new Promise((resolve) => { setTimeout(resolve, SETTLE_MS); });
  return { ...starts, ...flows, networkCreateMs: median(made), networkRemoveMs: median(removed), daemonGrowthKB: anonymousKB(engine.pid) - before.memoryKB };
}

/** Pairs, one start on the host's network and one on the bridge, so that what else the machine does falls on both. */
async function measureStarts(engine: Turn): Promise<Pick<Figures, 'startOnHostMs' | 'startPublishedMs' | 'addedMs'>> {
  const published = { NetworkMode: 'default', PortBindings: { '80/tcp': [{ HostPort: '' }], '53/udp': [{ HostPort: '' }] } };
  const pairs: Array<readonly [host: number, bridge: number]> = [];
  for (let n = 0; n <= runs; n++) {
    const pair: number[] = [];
    for (const host of [{ NetworkMode: 'host' }, published]) {
      const id = await create(engine, ['sleep', '1000'], host);
      pair.push((await timed(() => request(engine, { method: 'POST', path: `/containers/${id}/start`, status: 204 }))).ms);
      await remove(engine, id);
    }
    if (n > 0) pairs.push([pair[0] ?? NaN, pair[1] ?? NaN]); // the first one warms up
  }
  return { startOnHostMs: median(pairs.map(([host]) => host)), startPublishedMs: median(pairs.map(([, bridge]) => bridge)), addedMs: median(pairs.map(([host, bridge]) => bridge - host)) };
}

/** Both ends are processes of this benchmark in the namespaces of containers and host; what counts is the way between. The median of several flows each, in turn. */
async function measureFlows(engine: Turn): Promise<Pick<Figures, 'betweenContainersMBps' | 'hostToContainerMBps' | 'hostToPortMBps'>> {
  const ids = [await create(engine, ['sleep', '1000'], { NetworkMode: 'default', PortBindings: { '7000/tcp': [{ HostPort: '7000' }] } }), await create(engine, ['sleep', '1000'], { NetworkMode: 'default' })];
  for (const id of ids) await request(engine, { method: 'POST', path: `/containers/${id}/start`, status: 204 });
  const [sink, source] = await Promise.all(ids.map(async (id) => (await ask(engine.socket, { path: `/containers/${id}/json` })).json<{ NetworkSettings: { IPAddress: string }; State: { Pid: number } }>()));
  if (!sink || !source) throw new Error('two containers were started');
  const within = (pid: number) => ['nsenter', `--net=/proc/${pid}/ns/net`];
  await using _sink = await startChild({
    command: ['nsenter', `--net=/proc/${sink.State.Pid}/ns/net`, ...FLOW, 'sink', '0.0.0.0', '7000'],
    ready: async () => LISTENS.test(await readFile(`/proc/${sink.State.Pid}/net/tcp`, 'utf8')),
  });
  const { IPAddress: address } = sink.NetworkSettings;
  const ways = { betweenContainersMBps: [within(source.State.Pid), address], hostToContainerMBps: [[], address], hostToPortMBps: [[], '127.0.0.1'] } as const;
  const rates = new Map<string, number[]>();
  for (let n = 0; n < FLOWS; n++) {
    for (const [name, [from, to]] of Object.entries(ways)) rates.set(name, [...rates.get(name) ?? [], await flow(engine, [...from, ...FLOW, 'source', to, '7000', String(megabytes)])]);
  }
  for (const id of ids) await remove(engine, id);
  const of = (name: keyof typeof ways) => median(rates.get(name) ?? []);
  return { betweenContainersMBps: of('betweenContainersMBps'), hostToContainerMBps: of('hostToContainerMBps'), hostToPortMBps: of('hostToPortMBps') };
}

/** In MB per second. */
async function flow(engine: Turn, words: readonly string[]): Promise<number> {
  const { code, stdout, stderr } = await engine.machine.run(words, { timeoutMs: 120_000 });
  const bytes = megabytes * 1_048_576;
  const { arrived, ms } = code === 0 ? JSON.parse(stdout) as { arrived: number; ms: number } : { arrived: 0, ms: 0 };
  if (arrived !== bytes) throw new Error(`${engine.label}: ${arrived} of ${bytes} bytes arrived: ${stderr}`);
  return bytes / 1e6 / (ms / 1000);
}

async function create(engine: Turn, cmd: readonly string[], host: { NetworkMode: string; PortBindings?: object }): Promise<string> {
  return (await request(engine, { method: 'POST', path: '/containers/create', status: 201, body: { Image: engine.image, Cmd: cmd, ExposedPorts: Object.fromEntries(Object.keys(host.PortBindings ?? {}).map((port) => [port, {}])), HostConfig: host } })).json<{ Id: string }>().Id;
}

async function remove(engine: Turn, id: string): Promise<void> { await request(engine, { method: 'DELETE', path: `/containers/${id}?force=1`, status: 204 }); }

async function request(engine: Turn, { status, ...what }: { method: string; path: string; status: number; body?: unknown }) {
  const answer = await ask(engine.socket, what);
  if (answer.status !== status) throw new Error(`${engine.label}: ${what.method} ${what.path}: ${answer.status} ${answer.text}`);
  return answer;
}

/** The kernel counts in 1,024 bytes; given in 1,000, like every figure here. */
function anonymousKB(pid: number): number { return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1.024; }

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; answer: T }> {
  const begun = performance.now();
  const answer = await work();
  return { ms: performance.now() - begun, answer };
}
