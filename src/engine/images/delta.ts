// Deltas between two images that are here: in balenaEngine's format as an image of their own, in ours kept beside the target.
import { deltaLayerTar, EMPTY_LAYER, EMPTY_LAYER_DIFF_ID } from '../../delta/rsync/layer.ts';
import { formatNanos, type Clock } from '../../lib/clock.ts';
import { EngineError, invalid, kindOf, messageOf, notFound } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { MadeDelta, Maker } from '../../maker/index.ts';
import { chainIds, hexOf, type ChainId, type DiffId, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import { familiarString, parseReference } from '../../oci/reference.ts';
import type { DeltaRecord, LayerFiles, LayerInfo, Store, Workshop } from '../../store/index.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { humanSize } from '../../wire/units.ts';
import { formatMillis } from '../../wire/duration.ts';
import type { Events } from '../events.ts';
import type { TransferFace } from '../index.ts';
import { findImage } from './find.ts';
import { commitHeld, type NamingTurn } from './held.ts';
import { bar } from './progress.ts';

export interface DeltaNeeds extends NamingTurn { store: Store; maker: Maker; events: Events; clock: Clock; log: Log }

type Options = Parameters<TransferFace['delta']>[0];

/** One layer of the target. */
interface Layer extends LayerInfo {
  files: LayerFiles;
  /** Whether the delta leaves it out, because whoever has the base has it. */
  common: boolean;
}

interface Pair { base: ImageConfig; target: ImageConfig; layers: readonly Layer[]; baseFiles: readonly LayerFiles[] }

/** Base and target are kept for as long as it takes, whoever removes or renames them meanwhile. */
export async function createDelta(needs: DeltaNeeds, options: Options): Promise<void> {
  const { store, log } = needs;
  const { format, tag } = options;
  const [base, target] = [named(store, options.base), named(store, options.target)];
  if (format === 'vaquita' && tag !== '') throw invalid('a delta in the vaquita format is no image that could be given a name: it is pushed along with its target');
  if (format === 'vaquita' && base.id === target.id) throw invalid(`${options.base} and ${options.target} are the same image`);
  let done = false;
  try {
    using lease = store.layers.lease([...chainIds(base.diffIds), ...chainIds(target.diffIds)]);
    await createFrom(needs, { options, pair: pairOf(store, { base, target, format }), lease });
    done = true;
  } finally {
    // Layers of a delta that was given up, and of an image that was removed meanwhile, are nobody's now.
    if (!done || [base, target].some(({ id }) => !store.images.get(id))) await store.collect().catch((error: unknown) => log.warn('could not remove layers that are not needed any more', { error }));
  }
}

interface Creating { options: Options; pair: Pair; lease: { add(chainId: ChainId): void } }

async function createFrom(needs: DeltaNeeds, { options, pair, lease }: Creating): Promise<void> {
  const { store } = needs;
  const { format, signal, tag } = options;
  const onLine = (line: ProgressLine) => options.onLine(line);
  await using workshop = await store.deltas.workshop();
  const made = await makeLayers(needs, pair, { ...options, into: workshop.path });
  const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0);
  const normalBytes = sum(pair.layers.filter(({ common }) => !common).map(({ sizeBytes }) => sizeBytes));
  onLine({ status: summary(normalBytes, sum(made.map(({ sizeBytes }) => sizeBytes))) });
  if (format === 'vaquita') {
    signal.throwIfAborted();
    await store.deltas.add(recordOf(needs.clock, pair, made), made.map(({ path }) => path));
    onLine({ status: `Created delta: ${pair.target.id} from ${pair.base.id}` });
    return;
  }
  const image = await makeImage(needs, { pair, made, workshop, lease, signal });
  using _turn = await needs.turn.hold({ signal });
  await store.images.add(image);
  onLine({ status: `Created delta: ${image.id}` });
  if (tag !== '') await nameDelta(needs, { id: image.id, tag, onLine });
}

export const deltasOf = (store: Store, name: string): DeltaRecord[] =>
  store.deltas.of(findImage(store, name).config.id).toSorted((a, b) => (a.created < b.created ? -1 : 1));

/** A base may be gone while deltas from it are kept: then its whole ID tells which. */
export async function removeDeltas(store: Store, name: string, base: string): Promise<DeltaRecord[]> {
  const kept = deltasOf(store, name);
  const wanted = base === '' || kept.some((record) => record.base === base) ? base : findImage(store, base).config.id;
  const going = kept.filter((record) => wanted === '' || record.base === wanted);
  if (going.length === 0 && base !== '') throw notFound(`no delta from ${base} to ${name} is kept here`);
  for (const record of going) await store.deltas.remove(record);
  return going;
}

/** balenaEngine's words around Docker's. */
function named(store: Store, word: string): ImageConfig {
  try { return findImage(store, word).config; } catch (error) { throw new EngineError(kindOf(error), `no such image: ${word}: ${messageOf(error)}`, { cause: error }); }
}

/** For balenaEngine layers are common as long as all below them are too; ours finds each by its content. */
function pairOf(store: Store, { base, target, format }: { base: ImageConfig; target: ImageConfig; format: Options['format'] }): Pair {
  const baseChain = chainIds(base.diffIds);
  const had = new Set(base.diffIds);
  const found = (chainId: ChainId, of: ImageConfig) => {
    const [info, files] = [store.layers.get(chainId), store.layers.files(chainId)];
    if (info === undefined || files === undefined) throw new EngineError('system', `layer ${chainId} of image ${of.id} is not here`);
    return { ...info, files };
  };
  const layers = chainIds(target.diffIds).map((chainId, n) => {
    const layer = found(chainId, target);
    return { ...layer, common: format === 'balena' ? baseChain[n] === chainId : had.has(layer.diffId) };
  });
  return { base, target, layers, baseFiles: baseChain.map((chainId) => found(chainId, base).files) };
}

/** Tells every step in balenaEngine's words and order. */
async function makeLayers(needs: DeltaNeeds, { layers, baseFiles }: Pair, options: Options & { into: string }): Promise<MadeDelta[]> {
  const onLine = (line: ProgressLine) => options.onLine(line);
  const startMs = needs.clock.monotonicMs();
  const targets = layers.filter(({ common }) => !common);
  const told = { fingerprinted: false, layers: 0 };
  const tell = (layer: LayerInfo, status: string) => onLine({ status, progressDetail: {}, id: hexOf(layer.diffId).slice(0, 12) });
  const fingerprinted = () => {
    if (told.fingerprinted) return;
    told.fingerprinted = true;
    onLine({ status: `Fingerprint complete, took ${formatMillis(needs.clock.monotonicMs() - startMs)}`, progressDetail: {}, id: options.base });
    for (const layer of layers) tell(layer, 'Waiting');
  };
  /** The common layers up to the next one that is made, since the lines stand in the order of the layers. */
  const pass = () => {
    for (let layer = layers[told.layers]; layer?.common === true; layer = layers[++told.layers]) tell(layer, 'Skipping common layer');
  };
  const made = await needs.maker.make({
    format: options.format, base: baseFiles, targets: targets.map(({ files }) => files), into: options.into, signal: options.signal,
    onFingerprint(currentBytes, totalBytes) {
      onLine(bar('Fingerprinting', options.base, { currentBytes, totalBytes }));
      if (currentBytes === totalBytes) fingerprinted();
    },
    onLayer(_index, currentBytes, totalBytes) {
      fingerprinted();
      pass();
      const layer = layers[told.layers];
      if (layer === undefined) return;
      onLine(bar('Computing delta', hexOf(layer.diffId).slice(0, 12), { currentBytes, totalBytes: layer.sizeBytes }));
      if (currentBytes < totalBytes) return;
      tell(layer, 'Delta complete');
      told.layers++;
    },
  });
  fingerprinted();
  pass();
  return made;
}

function summary(normalBytes: number, deltaBytes: number): string {
  const factor = deltaBytes === 0 ? 1 : normalBytes / deltaBytes;
  return `Normal size: ${humanSize(normalBytes)}, Delta size: ${humanSize(deltaBytes)}, ${factor.toFixed(2)}x improvement`;
}

function recordOf(clock: Clock, { base, target }: Pair, made: readonly MadeDelta[]): DeltaRecord {
  const layers = made.map(({ diffId, digest, sizeBytes, targetBytes, sources }) => ({ diffId, digest, sizeBytes, targetBytes, sources }));
  return { base: base.id, target: target.id, created: formatNanos(clock.nowNanos()), layers };
}

interface Recording { pair: Pair; made: readonly MadeDelta[]; workshop: Workshop; lease: { add(chainId: ChainId): void }; signal: AbortSignal }

/** Layers of its own, one upon the other, and the image that they make, which is to be recorded while they are leased. */
async function makeImage(needs: DeltaNeeds, { pair, made, workshop, lease, signal }: Recording): Promise<ImageConfig> {
  const { store } = needs;
  const diffIds: DiffId[] = [];
  const next = made.values();
  for (const { common } of pair.layers) {
    const delta = common ? undefined : next.next().value;
    const parent = chainIds(diffIds).at(-1);
    const below = [...diffIds];
    await using staged = await store.layers.stage({
      diffId: common ? EMPTY_LAYER_DIFF_ID : undefined, parent, compression: 'none', signal, source: delta === undefined ? only(EMPTY_LAYER) : layerOf(delta, workshop),
    });
    diffIds.push(staged.diffId);
    signal.throwIfAborted();
    await commitHeld(staged, { below, lease });
  }
  return imageOf(pair, { diffIds, created: formatNanos(needs.clock.nowNanos()) });
}

// eslint-disable-next-line typescript/require-await
async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> { yield bytes; }

async function* layerOf({ path, sizeBytes }: MadeDelta, workshop: Workshop): AsyncGenerator<Uint8Array> {
  const { header, trailer } = deltaLayerTar(sizeBytes);
  yield header;
  yield* workshop.read(path);
  yield trailer;
}

/** What balenaEngine writes into both configs. */
const NOTHING_SET = {
  Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false,
  Env: null, Cmd: null, Image: '', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null,
} as const;

/** The config of a delta image, field by field as balenaEngine writes it. */
function imageOf({ base, target }: Pair, { diffIds, created }: { diffIds: readonly DiffId[]; created: string }): ImageConfig {
  const labels = { 'io.resin.delta.base': base.id, 'io.resin.delta.config': verbatim(target) };
  const rootfs = { type: 'layers', ...(diffIds.length === 0 ? {} : { diff_ids: diffIds }) };
  const json = JSON.stringify({ created, container_config: { ...NOTHING_SET, Labels: null }, config: { ...NOTHING_SET, Labels: labels }, rootfs });
  return parseImageConfig(Buffer.from(goEscaped(json)));
}

/** A label is text: what hashes to the target's ID must come out of it again. */
function verbatim(target: ImageConfig): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(target.bytes);
  } catch (cause) { throw invalid(`the config of ${target.id} is no UTF-8: a delta image cannot carry it`, { cause }); }
}

/** Characters that Go's JSON never writes as they are. */
const goEscaped = (json: string): string => json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

async function nameDelta(needs: DeltaNeeds, { id, tag, onLine }: { id: ImageId; tag: string; onLine: (line: ProgressLine) => void }): Promise<void> {
  const reference = parseReference(tag);
  if (reference.digest !== undefined) throw invalid('build tag cannot contain a digest');
  const name = familiarString({ ...reference, tag: reference.tag ?? 'latest' });
  await needs.store.names.update({ set: [[name, id]] });
  needs.events.publish({ type: 'image', action: 'tag', id, attributes: { ...needs.store.images.get(id)?.config.Labels, name } });
  onLine({ status: `Successfully tagged ${name}\n` });
}
