// Pulls two images with each engine in turn and compares: `pull.ts --engines docker,vaquita[,balena=/path/to/balenad]`.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freeze } from '../test/crash/engines.ts';
import { openRegistry } from '../test/crash/registry.ts';
import { measureBeside, type BesideFigures } from './beside.ts';
import { bigFiles, smallFiles, type BenchImage } from './images.ts';
import { measurePull, type PullFigures } from './measure.ts';

interface Engine { label: string; name: string; version: string }
type Figures = Record<string, number>;
interface Row { image: string; engine: string; rounds: Figures[]; median: Figures; toDocker: Figures }

interface Report { date: string; machine: string; engines: Engine[]; pull: Row[]; beside: Row[] }

const { values } = parseArgs({ options: {
  engines: { type: 'string', default: 'docker,vaquita' }, rounds: { type: 'string', default: '3' }, images: { type: 'string', default: 'small,big' },
  out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) }, directory: { type: 'string', default: tmpdir() },
  'no-beside': { type: 'boolean', default: false },
} });

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => { stop.abort(new Error(`stopped by ${name}`)); });
await using undo = new AsyncDisposableStack();
const scratch = mkdtempSync(`${values.directory}/vaquita-bench-`);
undo.defer(() => { rmSync(scratch, { recursive: true, force: true }); });
const engines = values.engines.split(',').map((word): Engine => {
  const [label = word, path] = word.split('=');
  return { label, name: freeze(path ?? label, `${scratch}/frozen`), version: '' };
});
const registry = undo.use(await openRegistry(`${scratch}/registry`));
const images = [smallFiles(), bigFiles()].filter((image) => values.images.split(',').includes(image.name));
for (const image of images) {
  const { tarBytes, blobBytes } = await registry.push(`bench/${image.name}`, '1', image.layers);
  console.error(`${image.name}: ${image.files} files, tar ${(tarBytes / 1e6).toFixed(0)} MB, blobs ${(blobBytes / 1e6).toFixed(0)} MB`);
}
const report = await measureAll();
mkdirSync(values.out, { recursive: true });
const markdown = present(report);
writeFileSync(`${values.out}/pull.json`, `${JSON.stringify(report, undefined, 2)}\n`);
writeFileSync(`${values.out}/pull.md`, markdown);
console.log(markdown);

/** Engines take turns inside each round, so that a change of the machine's mood meets all of them. */
async function measureAll(): Promise<Report> {
  const pulls = new Map<string, Figures[]>();
  const besides = new Map<string, Figures[]>();
  const keep = (rows: Map<string, Figures[]>, key: string, figures: PullFigures | BesideFigures) => {
    stop.signal.throwIfAborted();
    rows.set(key, [...(rows.get(key) ?? []), { ...figures }]);
    console.error(key, JSON.stringify(figures, (_name, value: unknown) => (typeof value === 'number' ? round(value) : value)));
  };
  for (let n = 0; n < Number(values.rounds); n++) {
    for (const image of images) {
      for (const engine of engines) {
        const { version, figures } = await measurePull({ engine: engine.name, scratch, ...target(image) });
        engine.version = version;
        keep(pulls, `${image.name} ${engine.label}`, figures);
      }
    }
    const image = images.at(-1);
    if (values['no-beside'] || !image) continue;
    for (const { label, name } of [{ label: 'none', name: 'none' }, ...engines]) {
      keep(besides, `${image.name} ${label}`, await measureBeside({ engine: name, scratch, ...target(image) }));
    }
  }
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, ${(totalmem() / 1e9).toFixed(0)} GB, Linux ${release()}`;
  return { date: new Date().toISOString().slice(0, 10), machine, engines, pull: rowsOf(pulls), beside: rowsOf(besides) };
}

function target(image: BenchImage): { reference: string; registry: string } {
  return { reference: `${registry.host}/bench/${image.name}:1`, registry: registry.host };
}

function rowsOf(measured: ReadonlyMap<string, Figures[]>): Row[] {
  return [...measured].map(([key, rounds]) => {
    const [image = '', engine = ''] = key.split(' ');
    const median = medianOf(rounds);
    const docker = medianOf(measured.get(`${image} docker`) ?? []);
    const toDocker = Object.fromEntries(Object.entries(median).map(([name, value]) => [name, value / (docker[name] ?? NaN)]));
    return { image, engine, rounds, median, toDocker };
  });
}

function medianOf(rounds: readonly Figures[]): Figures {
  return Object.fromEntries(Object.keys(rounds[0] ?? {}).map((name) => {
    const sorted = rounds.map((figures) => figures[name] ?? NaN).sort((a, b) => a - b);
    return [name, ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2];
  }));
}

function present({ date, machine, engines: measured, pull, beside }: Report): string {
  return [
    '# Pull from a loopback registry', '',
    `${date}, ${machine}; medians of ${values.rounds} rounds, engines in turn; in brackets the ratio to Docker.`,
    ...measured.map((engine) => `- ${engine.label}: ${engine.version}`), '',
    '## Fresh file system, cold cache', '', ...tableOf(pull), '',
    ...(beside.length === 0 ? [] : ['## Beside a busy application with a 200 MB working set in one memory-limited group', '', ...tableOf(beside), '']),
  ].join('\n');
}

function tableOf(rows: readonly Row[]): string[] {
  const names = Object.keys(rows[0]?.median ?? {});
  const cell = (row: Row, name: string) => {
    const ratio = row.toDocker[name];
    const shown = row.engine === 'docker' || row.engine === 'none' || ratio === undefined || !Number.isFinite(ratio) ? '' : ` (${ratio.toFixed(2)})`;
    return `${round(row.median[name] ?? NaN)}${shown}`;
  };
  const lines = [['image', 'engine', ...names.map(titleOf)], ['---', '---', ...names.map(() => '---')], ...rows.map((row) => [row.image, row.engine, ...names.map((name) => cell(row, name))])];
  return lines.map((line) => `| ${line.join(' | ')} |`);
}

/** wallSeconds → "wall s", cacheLeftMB → "cache left MB". */
function titleOf(name: string): string {
  return name.replace(/MB$/, ' MB').replace(/Seconds$/, ' s').replace(/Percent$/, ' %').replace(/([a-z])([A-Z])(?!B)/g, (_all, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}

function round(value: number): number {
  return Number(value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2));
}
