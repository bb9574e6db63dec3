// Starts the engine on a disk that a power cut left, and says what is wrong with it.
import { mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import { keptLayers } from '../kit/pull.ts';
import type { Engine, EngineName } from './engines.ts';
import { startEngine } from './engines.ts';
import type { Recording } from './scenario.ts';
import { mountLoop, run, unmount } from './system.ts';
import { describeTree, differences } from './tree.ts';

export interface Verdict {
  /** The daemon did not start. */
  notStarted: string[];
  /** Names that a success had promised and that are gone. */
  lost: string[];
  /** Images that the engine lists although they are not whole. */
  corrupt: string[];
  /** Why another pull could not bring a whole and usable image. */
  notCompletable: string[];
}

export interface JudgeOptions {
  engine: EngineName; scratch: string; registry: string; recording: Recording;
  /** Told how many layers the cut left whole without the one below them; all of them must be used by the pull that follows. */
  onKept(count: number): void;
}

export async function judge(diskFile: string, cut: number, options: JudgeOptions): Promise<Verdict> {
  const { scratch, recording } = options;
  const verdict: Verdict = { notStarted: [], lost: [], corrupt: [], notCompletable: [] };
  const target = `${scratch}/cut`;
  mkdirSync(target, { recursive: true });
  await using _disk = await mountLoop(diskFile, target);
  await using engine = await startEngine(options.engine, { dataRoot: `${target}/root`, scratch: `${scratch}/engine`, registry: options.registry })
    .catch((error: unknown) => { verdict.notStarted.push(String(error)); return undefined; });
  if (!engine) return verdict;

  const view = `${scratch}/view`;
  const listed = await listImages(engine);
  for (const { name, imageId, from, until } of recording.promises) {
    if (cut >= from && cut < until && !listed.get(imageId)?.includes(name)) verdict.lost.push(name);
  }
  for (const imageId of listed.keys()) verdict.corrupt.push(...await inspect(engine, imageId, { recording, view }));

  const kept = () => (basename(options.engine) === 'vaquita' ? keptLayers(`${target}/root`) : []);
  options.onKept(kept().length);
  const name = recording.pulls.findLast((pull) => cut >= pull.from)?.name ?? recording.pulls[0]?.name ?? '';
  verdict.notCompletable.push(...await pullAgain(engine, name, { recording, view }), ...kept().map((diffId) => `${name}: ${diffId} was kept for it and not used`));
  for (const kind of ['notStarted', 'lost', 'corrupt', 'notCompletable'] as const) verdict[kind] = verdict[kind].slice(0, 3).map((text) => text.slice(0, 500));
  return verdict;
}

interface Looking { recording: Recording; view: string }

/** Image IDs with their names. */
async function listImages(engine: Engine): Promise<Map<string, string[]>> {
  const reply = await engine.request('GET', '/images/json?all=1');
  if (reply.status !== 200) throw new Error(`${engine.name} lists no images: HTTP ${reply.status} ${reply.body}`);
  const images = JSON.parse(reply.body) as { Id: string; RepoTags: string[] | null }[];
  return new Map(images.map((image) => [image.Id, image.RepoTags ?? []]));
}

/** What of an image differs from the one that was pushed; read from the layers' own directories. */
async function inspect(engine: Engine, name: string, looking: Looking): Promise<string[]> {
  const reply = await engine.request('GET', `/images/${name}/json`);
  if (reply.status !== 200) return [`${name}: HTTP ${reply.status} ${reply.body.trim()}`];
  const { Id, GraphDriver } = JSON.parse(reply.body) as { Id: string; GraphDriver?: { Data?: { LowerDir?: string; UpperDir?: string } } };
  const want = looking.recording.trees.get(Id);
  if (!want) return [`${name}: ${Id} was never pulled`];
  const layers = [GraphDriver?.Data?.UpperDir ?? '', ...(GraphDriver?.Data?.LowerDir ?? '').split(':')].filter(Boolean);
  mkdirSync(looking.view, { recursive: true });
  try {
    run('mount', '-t', 'overlay', 'overlay', '-o', `ro,lowerdir=${layers.join(':')}`, looking.view);
  } catch (error) { return [`${name}: ${String(error)}`]; }
  try {
    return differences(describeTree(looking.view), want).map((difference) => `${name}: ${difference}`);
  } finally { await unmount(looking.view); }
}

/** A device that came back pulls again: that must end in a whole image from which a container can be made. */
async function pullAgain(engine: Engine, name: string, looking: Looking): Promise<string[]> {
  try { await engine.pull(name); } catch (error) { return [String(error)]; }
  const found = await inspect(engine, name, looking);
  const created = await engine.request('POST', '/containers/create', { Image: name, Cmd: ['true'], NetworkDisabled: true, HostConfig: { NetworkMode: 'none' } });
  if (created.status !== 201) found.push(`no container can be created of ${name}: HTTP ${created.status} ${created.body.trim()}`);
  return found;
}
