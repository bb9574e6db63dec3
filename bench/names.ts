// Containers of one network that ask for each other all at once: how long an answer takes, whether it is right, and what it costs the daemon. Each engine in turn, with the same questions at the same rate.
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openLinux, type NetNamespace } from '../src/kernel/index.ts';
import { decodeReply, encodeQuery, TYPES, type TypeName } from '../test/kit/dns.ts';
import { ask } from '../test/kit/http.ts';
import { rng } from '../test/kit/random.ts';
import { machine, tableOf } from './report.ts';
import { inTurns, keepResults, type Turn } from './turns.ts';

/** What SPECIFICATION.md promises; breaking it fails the benchmark. */
const P99_LIMIT_MS = 10;
/** Of the resident memory of the daemon, from after the first seconds to the end. */
const GROWTH_LIMIT_MB = 20;
const WARM_UP_SECONDS = 5;
/** When a client of libc would ask again. */
const LOST_MS = 5000;
/** Source: sysconf(_SC_CLK_TCK) on Linux. */
const TICKS_PER_SECOND = 100;

interface Figures { p50Ms: number; p99Ms: number; worstMs: number; lost: number; wrong: number; daemonCpuPercent: number; daemonGrowthMB: number }
interface Member { namespace: NetNamespace; name: string; address: string }
interface Tally { took: number[]; lost: number; wrong: number }

const { values } = parseArgs({ options: {
  engines: { type: 'string', default: 'docker,vaquita' }, rounds: { type: 'string', default: '3' }, containers: { type: 'string', default: '100' },
  rate: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '20' }, out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
} });
const [rounds, count, rate, seconds] = [Number(values.rounds), Number(values.containers), Number(values.rate), Number(values.seconds)];

const kernel = openLinux({ selfCommand: [process.execPath] });
const rows = await inTurns({ rounds, engines: values.engines.split(',') }, measure);
const date = new Date().toISOString().slice(0, 10);
const text = [
  '# Names', '',
  `${date}, ${machine()}; ${count} containers of one network, ${rate} questions a second for ${seconds} s; medians of ${rounds} rounds, engines in turn; in brackets the ratio to Docker 20.10.`, '', tableOf(rows),
].join('\n');
keepResults(values.out, 'names', { rows, text, settings: { count, rate, seconds } });
console.log(text);
const ours = rows.find(({ engine }) => engine === 'vaquita');
const broken = !ours ? ['this engine is measured'] : [
  ...ours.median.p99Ms > P99_LIMIT_MS ? [`99 of 100 answers come within ${P99_LIMIT_MS} ms`] : [],
  ...ours.rounds.some(({ lost, wrong }) => lost + wrong > 0) ? ['every answer comes and is right'] : [],
  ...ours.rounds.some(({ daemonGrowthMB }) => daemonGrowthMB > GROWTH_LIMIT_MB) ? [`the daemon grows by at most ${GROWTH_LIMIT_MB} MB`] : [],
];
for (const promise of broken) console.error(`a promise is broken: ${promise}`);
process.exitCode = broken.length > 0 ? 1 : 0;

async function measure({ image, round: seed, ...engine }: Turn): Promise<Figures> {
  const request = async (method: string, path: string, body?: unknown) => {
    const answer = await ask(engine.socket, { method, path, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
  };
  await request('POST', '/networks/create', { Name: 'names' });
  await using members = new AsyncDisposableStack();
  members.defer(async () => { await request('DELETE', '/networks/names'); });
  const all: Member[] = [];
  for (let n = 0; n < count; n++) {
    const name = `member-${n}`;
    await request('POST', `/containers/create?name=${name}`, { Image: image, Cmd: ['sleep', '10000'], HostConfig: { NetworkMode: 'names' }, NetworkingConfig: { EndpointsConfig: { names: { Aliases: ['everybody'] } } } });
    members.defer(async () => { await request('DELETE', `/containers/${name}?force=1`); });
    await request('POST', `/containers/${name}/start`);
    const { State: { Pid: pid }, NetworkSettings: { Networks: networks } } = (await request('GET', `/containers/${name}/json`)).json<{ State: { Pid: number }; NetworkSettings: { Networks: Record<string, { IPAddress: string }> } }>();
    all.push({ namespace: members.use(kernel.net.ofProcess(pid)), name, address: networks['names']?.IPAddress ?? '' });
  }
  await load(all, { seconds: WARM_UP_SECONDS, seed: 0 });
  const before = { cpu: cpuSeconds(engine.pid), resident: residentMB(engine.pid) };
  const { took, lost, wrong } = await load(all, { seconds, seed });
  const cpu = cpuSeconds(engine.pid) - before.cpu;
  const sorted = took.toSorted((a, b) => a - b);
  const share = (part: number) => sorted[Math.floor(sorted.length * part)] ?? NaN;
  return { p50Ms: share(0.5), p99Ms: share(0.99), worstMs: sorted.at(-1) ?? NaN, lost, wrong, daemonCpuPercent: cpu / seconds * 100, daemonGrowthMB: residentMB(engine.pid) - before.resident };
}

/** Questions at a steady rate, whatever became of those before: a resolver that stalls is charged for all that are asked meanwhile. */
async function load(all: readonly Member[], { seconds: length, seed }: { seconds: number; seed: number }): Promise<Tally> {
  const random = rng(seed);
  const below = (n: number) => Math.floor(random() * n);
  const tally: Tally = { took: [], lost: 0, wrong: 0 };
  const under = new Set<Promise<void>>();
  const begun = performance.now();
  for (let asked = 0; asked < rate * length;) {
    for (const due = Math.floor((performance.now() - begun) * rate / 1000); asked < due; asked++) {
      const [asker, wanted] = [all[below(all.length)], all[below(all.length)]];
      if (!asker || !wanted) throw new Error('nobody is there');
      const one = question(asker, { wanted, kind: below(10), id: asked & 0xffff }, tally);
      under.add(one);
      void one.finally(() => under.delete(one));
    }
    await new Promise((done) => { setTimeout(done, 1); });
  }
  await Promise.all(under);
  return tally;
}

/** Of ten questions seven are for an address, one for one that is not there, one for a name, and one for all of an alias. */
function question({ namespace }: Member, { wanted, kind, id }: { wanted: Member; kind: number; id: number }, tally: Tally): Promise<void> {
  const [name, type, right]: [string, TypeName, (data: readonly string[]) => boolean] = kind < 7 ? [wanted.name, 'A', ([first]) => first === wanted.address]
    : kind === 7 ? [wanted.name, 'AAAA', (data) => data.length === 0]
    : kind === 8 ? [`${wanted.address.split('.').toReversed().join('.')}.in-addr.arpa`, 'PTR', ([first]) => first === `${wanted.name}.names`]
    : ['everybody', 'A', (data) => data.length >= Math.min(count, 10)]; // as many as fit
  return new Promise((resolve) => {
    let sent = 0;
    const socket = createSocket('udp4'); // a port of its own for each, as libc does it
    const end = () => { clearTimeout(timer); socket.close(); resolve(); };
    const timer = setTimeout(() => { tally.lost++; end(); }, LOST_MS);
    socket.once('message', (message) => {
      tally.took.push(performance.now() - sent);
      const reply = decodeReply(message);
      if (reply.id !== id || reply.rcode !== 0 || !right(reply.answers.filter((record) => record.type === TYPES[type]).map(({ data }) => data))) tally.wrong++;
      end();
    });
    socket.bind({ fd: namespace.udpSocket({ address: '127.0.0.1', port: 0 }).fd }, () => {
      sent = performance.now();
      socket.send(encodeQuery({ name, type, id }), 53, '127.0.0.11');
    });
  });
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
  return ((fields[11] ?? 0) + (fields[12] ?? 0)) / TICKS_PER_SECOND;
}

function residentMB(pid: number): number {
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000;
}
