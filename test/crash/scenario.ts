// The life of a device's images while every block write is recorded: what was promised, and from which write on.
import { mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import { openRecorder, readBlockLog, type LogEntry } from './blocklog.ts';
import type { Dice } from './cutstates.ts';
import { pushBalenaDelta, pushOwnDelta } from './deltas.ts';
import { startEngine, versionOf, type Engine, type EngineName } from './engines.ts';
import type { TestImage, versions } from './image.ts';
import type { TestRegistry } from './registry.ts';
import { pause } from './system.ts';

/** From entry `from` on until entry `until` a cut must leave this name, and the whole image behind it. */
export interface Promised { name: string; imageId: string; from: number; until: number }

export interface Recording {
  engineVersion: string;
  baseFile: string;
  logFile: string;
  diskFile: string;
  entries: LogEntry[];
  promises: Promised[];
  /** The trees of the images, by image ID. */
  trees: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** What was pulled, and the entry at which that began. */
  pulls: { name: string; from: number }[];
  /** Entries at which the first pull began, the last one succeeded, and the engine was stopped. */
  marks: { pulling: number; pulled: number; stopping: number };
}

export interface RecordOptions {
  engine: EngineName;
  scratch: string;
  registry: TestRegistry;
  images: ReturnType<typeof versions>;
  diskBytes: number;
  /** How long the device runs on after a success: write-back by age comes 5 s later, most of it 30 s later. */
  idleMs: number;
}

const REPOSITORY = 'fleet/app';

/**
 * Pulls a first version, a second one that shares layers with it, and, where the engine is ours, a third one by balenaEngine's delta and a
 * fourth one by ours; removes the first and tags the second.
 */
export async function record(options: RecordOptions): Promise<Recording> {
  const { registry, scratch, images } = options;
  mkdirSync(scratch, { recursive: true });
  const nameOf = (tag: string) => `${registry.host}/${REPOSITORY}:${tag}`;
  const [firstName, secondName] = [nameOf('1'), nameOf('2')];
  const takesDeltas = basename(options.engine) === 'vaquita';
  await offer(registry, images, takesDeltas);

  await using recorder = await openRecorder(`${scratch}/disk`, options.diskBytes);
  await using engine = await startEngine(options.engine, { dataRoot: `${recorder.mountPoint}/root`, scratch: `${scratch}/engine`, registry: registry.host });
  const must = async (method: string, path: string) => {
    const reply = await engine.request(method, path);
    if (reply.status >= 300) throw new Error(`${method} ${path}: HTTP ${reply.status} ${reply.body}`);
    return reply;
  };
  const at = async (what: () => Promise<unknown>) => {
    const start = recorder.position();
    await what();
    return { start, end: recorder.position() };
  };
  const idOf = async (name: string) => (JSON.parse((await must('GET', `/images/${name}/json`)).body) as { Id: string }).Id;

  const pulled = await at(() => engine.pull(firstName));
  const firstId = await idOf(firstName);
  await pause(options.idleMs);
  const kept = await at(() => must('POST', `/images/${firstName}/tag?repo=kept&tag=1`));
  const pulledSecond = await at(() => engine.pull(secondName));
  const secondId = await idOf(secondName);
  const updates = takesDeltas ? [
    await update({ engine, at, idOf }, { name: nameOf('3'), says: 'Downloaded newer image' }, images.third),
    await update({ engine, at, idOf }, { name: nameOf('4'), says: 'Delta: downloaded' }, images.fourth),
  ] : [];
  await pause(options.idleMs / 2);
  const untagged = await at(() => must('DELETE', `/images/${firstName}`));
  const removed = await at(() => must('DELETE', '/images/kept:1'));
  const tagged = await at(() => must('POST', `/images/${secondName}/tag?repo=current&tag=latest`));
  await pause(options.idleMs);
  const stopping = recorder.position();
  const engineVersion = versionOf(await must('GET', '/version'));
  await engine.stop();
  await recorder.stop();

  const entries = readBlockLog(recorder.logFile);
  const entryAt = (position: number) => entries.findLastIndex((entry) => entry.dataOffset <= position) + 1;
  const promise = (name: string, imageId: string, span: [from: number, until: number]): Promised =>
    ({ name, imageId, from: entryAt(span[0]), until: Math.max(entryAt(span[1]), entryAt(span[0])) });
  const pulls = [{ name: firstName, ...pulled }, { name: secondName, ...pulledSecond }, ...updates];
  return {
    engineVersion, entries, baseFile: recorder.baseFile, logFile: recorder.logFile, diskFile: recorder.diskFile,
    promises: [
      promise(firstName, firstId, [pulled.end, untagged.start]), promise('kept:1', firstId, [kept.end, removed.start]),
      promise(secondName, secondId, [pulledSecond.end, Infinity]), promise('current:latest', secondId, [tagged.end, Infinity]),
      ...updates.map(({ name, imageId, end }) => promise(name, imageId, [end, Infinity])),
    ],
    trees: new Map([[firstId, images.first.tree], [secondId, images.second.tree], ...updates.map(({ imageId, tree }) => [imageId, tree] as const)]),
    pulls: pulls.map(({ name, start }) => ({ name, from: entryAt(start) })),
    marks: { pulling: entryAt(pulled.start), pulled: entryAt(pulls.at(-1)?.end ?? pulledSecond.end), stopping: entryAt(stopping) },
  };
}

async function offer(registry: TestRegistry, { first, second, third, fourth }: RecordOptions['images'], withDeltas: boolean): Promise<void> {
  await registry.push(REPOSITORY, '1', first.layers);
  await registry.push(REPOSITORY, '2', second.layers);
  if (!withDeltas) return;
  await pushBalenaDelta(registry, { name: REPOSITORY, tag: '3' }, { base: second, target: third });
  await pushOwnDelta(registry, { name: REPOSITORY, tag: '4' }, { base: third, target: fourth });
}

interface Updating { engine: Engine; at: (what: () => Promise<unknown>) => Promise<{ start: number; end: number }>; idOf: (name: string) => Promise<string> }

/** A pull that must have come by delta: it says so, if it could have come otherwise. */
async function update({ engine, at, idOf }: Updating, { name, says }: { name: string; says: string }, { tree }: TestImage) {
  let said = '';
  const span = await at(async () => { said = await engine.pull(name); });
  if (!said.includes(says)) throw new Error(`${name} did not come by delta: ${said}`);
  return { name, tree, imageId: await idOf(name), ...span };
}

/** Where to cut, ascending: six of ten anywhere in the pulls, two at the very moment of a success, two anywhere after the first one. */
export function chooseCuts(recording: Recording, count: number, dice: Dice): number[] {
  const { marks, promises } = recording;
  const between = (from: number, to: number) => from + Math.floor(dice() * (to - from + 1));
  const successes = promises.map((one) => one.from);
  const cuts = Array.from({ length: count }, (_all, n) => {
    if (n % 5 === 3) return successes[between(0, successes.length - 1)] ?? marks.stopping;
    if (n % 5 === 4) return between(successes[0] ?? marks.pulling, marks.stopping);
    return between(marks.pulling, marks.pulled);
  });
  return cuts.sort((a, b) => a - b);
}
