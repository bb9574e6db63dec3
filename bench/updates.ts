// From one version of an image to the next: all layers anew, balenaEngine's kind of delta, and ours, each on a fresh disk that has the old version.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { assertStreamed, freeze, startEngine } from '../test/crash/engines.ts';
import { openRegistry } from '../test/crash/registry.ts';
import { openMeter } from '../test/kit/meter.ts';
import { bigFiles, nextVersion, smallFiles, type BenchImage } from './images.ts';
import { measurePull, MB, type PullFigures } from './measure.ts';
import { machine, medianOf, tableOf, type Row } from './report.ts';

type Figures = { downloadedMB: number } & PullFigures;
/** One way from version 1 to version 2. */
interface Way { name: string; engine: string; tag: string; query?: string; limitBytes?: number }

/** What a device of 256 MB has left beside its kernel and an application. */
const DEVICE_BYTES = 192 << 20;

const { values } = parseArgs({ options: {
  rounds: { type: 'string', default: '3' }, images: { type: 'string', default: 'small,big' }, directory: { type: 'string', default: tmpdir() }, ways: { type: 'string', default: '' },
  out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
} });

await using undo = new AsyncDisposableStack();
const scratch = mkdtempSync(`${values.directory}/vaquita-bench-`);
undo.defer(() => { rmSync(scratch, { recursive: true, force: true }); });
const own = freeze('vaquita', `${scratch}/frozen`);
const registry = undo.use(await openRegistry(`${scratch}/registry`));
const meter = undo.use(await openMeter(registry.host));
const WAYS: readonly Way[] = [
  { name: 'docker', engine: 'docker', tag: '2' },
  { name: 'layers', engine: own, tag: '2', query: 'delta=0' },
  { name: 'balena delta', engine: own, tag: 'delta' },
  { name: 'vaquita delta', engine: own, tag: '2' },
  { name: `vaquita delta, ${DEVICE_BYTES >> 20} MiB`, engine: own, tag: '2', limitBytes: DEVICE_BYTES },
];

const ways = WAYS.filter(({ name }) => values.ways === '' || values.ways.split(',').includes(name));
const sections: string[] = [];
const json: Record<string, ReadonlyArray<Row<Figures>>> = {};
for (const image of [smallFiles(), bigFiles()].filter(({ name }) => values.images.split(',').includes(name))) {
  await publish(image);
  const rows = await measureAll(image.name);
  json[image.name] = rows;
  sections.push(`## ${image.name}`, '', tableOf(rows), '');
}
mkdirSync(values.out, { recursive: true });
const head = ['# From one version to the next', '', `${new Date().toISOString().slice(0, 10)}, ${machine()}; medians of ${values.rounds} rounds, ways in turn, each on a fresh disk with the old version; in brackets the ratio to Docker 20.10, which pulls all layers.`, ''];
writeFileSync(`${values.out}/updates.md`, [...head, ...sections].join('\n'));
writeFileSync(`${values.out}/updates.json`, `${JSON.stringify({ date: new Date().toISOString().slice(0, 10), ...json }, undefined, 2)}\n`);
console.log([...head, ...sections].join('\n'));

/** Both versions in the registry, and both kinds of delta beside them, made by an engine of a build machine. */
async function publish(image: BenchImage): Promise<void> {
  const repository = `${registry.host}/bench/${image.name}`;
  await registry.push(`bench/${image.name}`, '1', image.layers);
  await registry.push(`bench/${image.name}`, '2', nextVersion(image).layers);
  await using engine = await startEngine(own, { dataRoot: `${scratch}/build-root`, scratch: `${scratch}/build`, registry: registry.host });
  for (const tag of ['1', '2']) await engine.pull(`${repository}:${tag}`, 'delta=0');
  const tell = async (path: string) => { assertStreamed(await engine.request('POST', path), path); };
  await tell(`/images/delta?${new URLSearchParams({ src: `${repository}:1`, dest: `${repository}:2`, t: `${repository}:delta` }).toString()}`);
  await tell(`/images/${repository}/push?tag=delta`);
  await tell(`/images/publish-deltas?${new URLSearchParams({ target: `${repository}:2`, from: `${repository}:1` }).toString()}`);
  await engine.stop();
  rmSync(`${scratch}/build-root`, { recursive: true, force: true });
}

/** Ways take turns inside each round, so that a change of the machine's mood meets all of them. */
async function measureAll(image: string): Promise<Array<Row<Figures>>> {
  const rounds = new Map<string, Figures[]>(ways.map(({ name }) => [name, []]));
  for (let n = 0; n < Number(values.rounds); n++) {
    for (const { name, engine, tag, query, limitBytes } of ways) {
      const repository = `${meter.host}/bench/${image}`;
      const { figures } = await measurePull({
        engine, scratch, registry: meter.host, reference: `${repository}:${tag}`, present: `${repository}:1`, query, limitBytes, onReady: () => meter.reset(),
      });
      const all = { downloadedMB: meter.receivedBytes / MB, ...figures };
      rounds.get(name)?.push(all);
      console.error(image, name, JSON.stringify(all));
    }
  }
  return [...rounds].map(([engine, measured]) => ({ engine, rounds: measured, median: medianOf(measured) }));
}
