// Makes deltas between images of real parts in balenaEngine's format and in ours, pulls by them, and sets both beside balenaEngine's own.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { assertStreamed, freeze, startEngine, type Engine } from '../test/crash/engines.ts';
import { openRegistry } from '../test/crash/registry.ts';
import { pause } from '../test/crash/system.ts';
import { openMeter } from '../test/kit/meter.ts';
import { ask } from '../test/kit/http.ts';
import { pushImage } from '../test/kit/registry.ts';
import { imagesOf, pairsOf, type Pair } from './delta/images.ts';
import { openParts } from './delta/parts.ts';
import { openGroup } from './group.ts';
import { MB, measurePull, watchPeak } from './measure.ts';
import { machine } from './report.ts';

/** What making or pulling takes; memory is what all processes of the engine have of their own beyond what they have at rest. */
interface Cost { seconds: number; cpuSeconds: number; addedMB: number }

interface Result {
  pair: Pair;
  layersBytes: number;
  referenceBytes: number;
  balenaBytes: number;
  vaquitaBytes: number;
  make: { balena: Cost; vaquita: Cost };
  pull: { layers: Cost; balena: Cost; vaquita: Cost };
}

/** Manifests, configs and lists, and what HTTP has around them. */
const OVERHEAD_BYTES = 64 << 10;
/** What SPECIFICATION.md promises of a pull by our delta; exceeding it fails the benchmark. */
const ADDED_LIMIT_MB = 64;
/** Workers of a pull are gone by then. */
const IDLE_MS = 15_000;

const { values } = parseArgs({ options: {
  cache: { type: 'string' }, ghost: { type: 'string', default: '1.12.0,1.12.1' }, pairs: { type: 'string', default: '' }, 'parts-only': { type: 'boolean', default: false },
  directory: { type: 'string', default: tmpdir() }, out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
} });
if (values.cache === undefined) throw new Error('--cache FOLDER is needed: where the parts are kept, of which some take minutes to make');
const cache = values.cache;
const [from = '', to = ''] = values.ghost.split(',');
const parts = openParts({ cache, ghost: from });
const pairs = pairsOf({ from, to }).filter(({ name }) => values.pairs === '' || values.pairs.split(',').includes(name));
for (const name of new Set(pairs.flatMap(({ base, target }) => [...base, ...target]))) await parts.tar(name);
if (!values['parts-only']) await main();

async function main(): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const scratch = mkdtempSync(`${values.directory}/vaquita-bench-`);
  undo.defer(() => { rmSync(scratch, { recursive: true, force: true }); });
  const own = freeze('vaquita', `${scratch}/frozen`);
  const registry = undo.use(await openRegistry(`${scratch}/registry`));
  const results: Result[] = [];
  for (const pair of pairs) {
    const result = await measurePair(pair, { own, scratch, server: registry.host });
    console.error(JSON.stringify(result));
    results.push(result);
  }
  const text = present(results);
  mkdirSync(values.out, { recursive: true });
  writeFileSync(`${values.out}/delta.md`, text);
  writeFileSync(`${values.out}/delta.json`, `${JSON.stringify({ date: today(), machine: machine(), results }, undefined, 2)}\n`);
  console.log(text);
  for (const { pair, pull } of results) {
    if (pull.vaquita.addedMB <= ADDED_LIMIT_MB) continue;
    console.error(`${pair.name}: applying ours took ${pull.vaquita.addedMB} MB beyond the idle engine, ${ADDED_LIMIT_MB} are promised`);
    process.exitCode = 1;
  }
}

interface Place { own: string; scratch: string; server: string }

async function measurePair(pair: Pair, place: Place): Promise<Result> {
  const images = await imagesOf(pair, { parts, cache });
  const repository = `delta/${pair.name.toLowerCase()}`;
  for (const [tag, image] of [['old', images.base], ['new', images.target]] as const) await pushImage(place.server, image, { repository, tag });
  const made = await measureMaking(`${place.server}/${repository}`, place);
  const balenaBytes = await blobBytes(place.server, repository, 'balena');
  await using meter = await openMeter(place.server);
  const pull = async (tag: string, { query, mostBytes }: { query?: string; mostBytes: number }): Promise<Cost> => {
    const { figures } = await measurePull({
      engine: place.own, scratch: place.scratch, registry: meter.host, reference: `${meter.host}/${repository}:${tag}`, present: `${meter.host}/${repository}:old`, query, onReady: () => { meter.reset(); },
    });
    if (meter.receivedBytes > mostBytes + OVERHEAD_BYTES) throw new Error(`${pair.name}: ${tag} took ${meter.receivedBytes} bytes instead of ${mostBytes}: it came by another way`);
    return { seconds: figures.wallSeconds, cpuSeconds: figures.cpuSeconds, addedMB: figures.addedAnonymousMB };
  };
  return {
    pair, layersBytes: images.missingBytes, referenceBytes: images.referenceBytes, balenaBytes, vaquitaBytes: made.vaquitaBytes, make: { balena: made.balena, vaquita: made.vaquita },
    pull: {
      layers: await pull('new', { query: 'delta=0', mostBytes: images.missingBytes }),
      balena: await pull('balena', { mostBytes: balenaBytes }),
      vaquita: await pull('new', { mostBytes: made.vaquitaBytes }),
    },
  };
}

/** On a build machine that has both images: both deltas made, and pushed as tag `balena` and beside `new`. */
async function measureMaking(repository: string, { own, scratch, server }: Place): Promise<{ balena: Cost; vaquita: Cost; vaquitaBytes: number }> {
  await using undo = new AsyncDisposableStack();
  const group = undo.use(openGroup(`vaquita-bench-make-${process.pid}`));
  const dataRoot = `${scratch}/build-root`;
  undo.defer(() => { rmSync(dataRoot, { recursive: true, force: true }); });
  const engine = undo.use(await startEngine(own, { dataRoot, scratch: `${scratch}/build`, registry: server, groups: group.procsFiles }));
  for (const tag of ['old', 'new']) await engine.pull(`${repository}:${tag}`, 'delta=0');
  const make = async (query: Record<string, string>): Promise<Cost> => {
    await pause(IDLE_MS);
    const [cpu, anonymous] = [group.cpuSeconds(), group.memory().anonymousBytes];
    using peak = watchPeak(() => group.memory().anonymousBytes);
    const start = performance.now();
    await tell(engine, `/images/delta?${new URLSearchParams({ src: `${repository}:old`, dest: `${repository}:new`, ...query }).toString()}`);
    return { seconds: (performance.now() - start) / 1000, cpuSeconds: group.cpuSeconds() - cpu, addedMB: (Math.max(peak.value(), anonymous) - anonymous) / MB };
  };
  const balena = await make({ t: `${repository}:balena` });
  await tell(engine, `/images/${repository}/push?tag=balena`);
  const vaquita = await make({ format: 'vaquita' });
  const [delta] = JSON.parse((await engine.request('GET', `/images/${repository}:new/deltas`)).body) as Array<{ Size: number }>;
  await tell(engine, `/images/${repository}/push?tag=new`);
  await engine.stop();
  return { balena, vaquita, vaquitaBytes: delta?.Size ?? NaN };
}

async function tell(engine: Engine, path: string): Promise<void> {
  assertStreamed(await engine.request('POST', path), path);
}

/** Of all layers of an image in a registry. */
async function blobBytes(server: string, repository: string, tag: string): Promise<number> {
  const { text } = await ask(server, { path: `/v2/${repository}/manifests/${tag}`, headers: { Accept: 'application/vnd.docker.distribution.manifest.v2+json' } });
  return (JSON.parse(text) as { layers: Array<{ size: number }> }).layers.reduce((sum, { size }) => sum + size, 0);
}

function present(results: readonly Result[]): string {
  const bytes = (n: number) => n.toLocaleString('en');
  const factor = ({ layersBytes }: Result, n: number) => `${(layersBytes / n).toFixed(1)}x`;
  const cost = ({ seconds, addedMB }: Cost) => `${seconds.toFixed(1)} s, ${addedMB.toFixed(0)} MB`;
  const sizes = [
    ['pair', 'what', 'layers pulled', 'balenaEngine', 'ours in its format', 'ours', 'balenaEngine', 'announced', 'ours in its format', 'ours', 'balenaEngine : ours'], Array.from({ length: 11 }, () => '---'),
    ...results.map((result) => [
      result.pair.name, result.pair.what, bytes(result.layersBytes), bytes(result.referenceBytes), bytes(result.balenaBytes), bytes(result.vaquitaBytes),
      factor(result, result.referenceBytes), result.pair.announced === undefined ? '' : `${result.pair.announced}x`, factor(result, result.balenaBytes), factor(result, result.vaquitaBytes), `${(result.referenceBytes / result.vaquitaBytes).toFixed(2)}x`,
    ]),
  ];
  const costs = [
    ['pair', 'make in balenaEngine\'s format', 'make ours', 'pull layers', 'pull by its format', 'pull by ours'], Array.from({ length: 6 }, () => '---'),
    ...results.map(({ pair, make, pull }) => [pair.name, cost(make.balena), cost(make.vaquita), cost(pull.layers), cost(pull.balena), cost(pull.vaquita)]),
  ];
  const table = (lines: readonly string[][]) => lines.map((line) => `| ${line.join(' | ')} |`);
  const ratios = results.map(({ referenceBytes, vaquitaBytes }) => Math.log(referenceBytes / vaquitaBytes));
  const mean = Math.exp(ratios.reduce((sum, one) => sum + one, 0) / ratios.length);
  return [
    '# Deltas', '', `${today()}, ${machine()}; loopback registry, one round. Bytes are gzip'd layers or delta blobs; factors are over the layers pulled; memory is anonymous, beyond the idle engine.`, '',
    ...table(sizes), '', `Geometric mean of balenaEngine : ours over ${results.length} pairs: ${mean.toFixed(2)}x.`, '', ...table(costs), '',
  ].join('\n');
}

function today(): string { return new Date().toISOString().slice(0, 10); }
