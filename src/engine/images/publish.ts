// The word of build machines: deltas from the versions that devices run to a new one, made and pushed, with a report of what they save.
import type { Clock } from '../../lib/clock.ts';
import { EngineError, invalid, kindOf, messageOf, notFound } from '../../lib/errors.ts';
import { Limiter } from '../../lib/lock.ts';
import type { Log } from '../../lib/log.ts';
import { DELTA_ARTIFACT_TYPE, parseDeltaReferrer } from '../../oci/delta-artifact.ts';
import { chainIds, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { DEFAULT_TAG, familiarString, parseReference, withDefaultTag, type Reference } from '../../oci/reference.ts';
import type { Registry } from '../../registry/index.ts';
import type { DeltaRecord, Store } from '../../store/index.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { humanSize } from '../../wire/units.ts';
import type { TransferFace } from '../index.ts';
import { findImage } from './find.ts';
import { holdLayers, type NamingTurn } from './held.ts';
import { bytesOf, lineOf, pushDelta, wholeBytes, type DeltaPush } from './push-deltas.ts';
import type { Pushed } from './push-image.ts';
import type { Pusher } from './push.ts';

export interface PublishNeeds extends NamingTurn {
  store: Store;
  registry: Registry;
  clock: Clock;
  log: Log;
  pull(reference: string, options: Omit<Options, 'from' | 'force'> & { platform: undefined; all: false }): Promise<void>;
  delta: TransferFace['delta'];
  pusher: Pusher;
}

type Options = Parameters<TransferFace['publishDeltas']>[1];

/** Pairs under way at the same time; how many deltas are really made at once is the maker's affair. */
const PAIRS_AT_ONCE = 4;
/** More than any fleet has versions; each is an image on this disk. */
const MAX_BASES = 256;

/** One base to make a delta from, as it was named. */
interface Pair { name: string; base: ImageConfig }

/** What became of a pair. */
type Result = { pair: Pair } & (
  | { outcome: 'pushed'; record: DeltaRecord; seconds: number }
  | { outcome: 'there' }
  | { outcome: 'no gain' }
  | { outcome: 'failed'; error: unknown }
);

export async function publishDeltas(needs: PublishNeeds, target: string, options: Options): Promise<void> {
  const reference = withDefaultTag(parseReference(target));
  if (reference.digest !== undefined) throw invalid('deltas are published to a name with a tag, not to a digest');
  if (options.from.length === 0) throw invalid('no image is named to make a delta from');
  if (options.from.length > MAX_BASES) throw invalid(`deltas from ${options.from.length} images are asked for, at most ${MAX_BASES} are made at a time`);
  await using held = holdLayers(needs, []);
  const hold = async (name: string) => {
    const config = await present(needs, name, { reference, options });
    for (const chainId of chainIds(config.diffIds)) held.add(chainId);
    return config;
  };
  const config = await hold(familiarString(reference));
  const { pairs, missing } = await pairsOf(config, options.from, hold);
  options.signal.throwIfAborted();
  const pushed = await pushedAs(needs, { reference, config, options });
  const push: DeltaPush = { reference, target: config, pushed, options };
  const listed = options.force ? new Set<ImageId>() : await published(needs, push);
  const slots = new Limiter(PAIRS_AT_ONCE);
  const results = [...missing, ...await Promise.all(pairs.map(async (pair) => {
    using _slot = await slots.hold({ signal: options.signal });
    return await publishPair(needs, push, { pair, force: options.force, isListed: listed.has(pair.base.id) });
  }))];
  options.signal.throwIfAborted();
  for (const line of tableOf(results, push)) options.onLine({ status: line });
  const failed = results.filter((result) => result.outcome === 'failed');
  const [first] = failed;
  if (!first) return;
  const named = failed.map(({ pair, error }) => `${pair.name} (${messageOf(error)})`).join(', ');
  throw new EngineError(kindOf(first.error), `${failed.length} of ${results.length} deltas to ${familiarString(reference)} could not be published: from ${named}`, { cause: first.error });
}

/** The image of a name, pulled when it is not here. The credentials are for the target's registry alone. */
async function present(needs: PublishNeeds, name: string, { reference, options }: { reference: Reference; options: Options }): Promise<ImageConfig> {
  const find = () => {
    try { return findImage(needs.store, name).config; } catch (error) { if (kindOf(error) === 'not-found') return undefined; throw error; }
  };
  const here = find();
  if (here) return here;
  const wanted = withDefaultTag(parseReference(name));
  const { signal } = options;
  await needs.pull(familiarString(wanted), { platform: undefined, all: false, auth: wanted.registry === reference.registry ? options.auth : undefined, signal, onLine: (line) => options.onLine(line) });
  const pulled = find();
  if (!pulled) throw notFound(`No such image: ${name}`);
  return pulled;
}

/** Bases that can be had; those that cannot are failures of their own, and of nobody else. */
async function pairsOf(target: ImageConfig, names: readonly string[], hold: (name: string) => Promise<ImageConfig>): Promise<{ pairs: Pair[]; missing: Result[] }> {
  const pairs = new Map<ImageId, Pair>();
  const missing: Result[] = [];
  for (const name of new Set(names)) {
    try {
      const base = await hold(name);
      if (base.id === target.id) throw invalid('it is the target itself');
      if (!pairs.has(base.id)) pairs.set(base.id, { name, base });
    } catch (error) {
      if (kindOf(error) === 'cancelled') throw error;
      missing.push({ pair: { name, base: target }, outcome: 'failed', error });
    }
  }
  return { pairs: [...pairs.values()], missing };
}

/** The target as the registry has it, which may be packed otherwise than it would be here; pushed when it has none or another one. */
async function pushedAs({ registry, pusher }: PublishNeeds, { reference, config, options }: { reference: Reference; config: ImageConfig; options: Options }): Promise<Pushed> {
  const { auth, signal } = options;
  const platform = { os: config.os, architecture: config.architecture, ...(config.variant === '' ? {} : { variant: config.variant }) };
  try {
    const { manifest, config: found, layers } = await registry.resolve(reference, { auth, signal, platform });
    if (found.digest as string === config.id) return { manifest, sizes: new Map(config.diffIds.map((diffId, i) => [diffId, layers[i]?.size ?? 0])) };
  } catch (error) {
    if (kindOf(error) !== 'not-found') throw error;
  }
  return await pusher.pushImage({ ...reference, tag: reference.tag ?? DEFAULT_TAG }, config, options);
}

/** The bases from which there are deltas already. */
async function published({ registry }: PublishNeeds, { reference, target, pushed, options: { auth, signal } }: DeltaPush): Promise<Set<ImageId>> {
  const listed = await registry.referrers(reference, pushed.manifest.digest, { auth, signal, artifactType: DELTA_ARTIFACT_TYPE });
  const offers = listed.map(({ annotations }) => parseDeltaReferrer(annotations)).filter((offer) => offer !== undefined);
  return new Set(offers.filter((offer) => offer.target === target.id).map((offer) => offer.base));
}

async function publishPair(needs: PublishNeeds, push: DeltaPush, { pair, force, isListed }: { pair: Pair; force: boolean; isListed: boolean }): Promise<Result> {
  const { options } = push;
  const tell = (status: string) => options.onLine({ status, progressDetail: {}, id: lineOf(pair.name) });
  if (isListed) {
    tell('Already published');
    return { pair, outcome: 'there' };
  }
  const startMs = needs.clock.monotonicMs();
  try {
    const record = await madeDelta(needs, push, { ...pair, force });
    if (!isWorthwhile(push, record)) {
      tell('Not published: it would save nothing');
      return { pair, outcome: 'no gain' };
    }
    await pushDelta(needs, push, { record, id: lineOf(pair.name) });
    const seconds = (needs.clock.monotonicMs() - startMs) / 1000;
    tell(`Pushed, ${humanSize(bytesOf(record))} instead of ${humanSize(wholeBytes(push, record))}`);
    return { pair, outcome: 'pushed', record, seconds };
  } catch (error) {
    if (!options.signal.aborted) needs.log.warn('a delta could not be published', { base: pair.base.id, target: push.target.id, error });
    tell(`Failed: ${messageOf(error)}`);
    return { pair, outcome: 'failed', error };
  }
}

/** Devices take each layer as it costs least: one layer that gains is enough. Where no layer differs there is nothing to fetch. */
const isWorthwhile = ({ pushed }: DeltaPush, { layers }: DeltaRecord): boolean => layers.some(({ diffId, sizeBytes }) => sizeBytes < (pushed.sizes.get(diffId) ?? 0));

/** One that was made before and could not be pushed, or was made by hand, is taken as it is. */
async function madeDelta({ store, delta }: PublishNeeds, { target, options }: DeltaPush, { name, base, force }: Pair & { force: boolean }): Promise<DeltaRecord> {
  const find = () => store.deltas.of(target.id).find((record) => record.base === base.id);
  const { signal } = options;
  const kept = force ? undefined : find();
  if (kept) return kept;
  options.onLine({ status: 'Making', progressDetail: {}, id: lineOf(name) });
  await delta({ base: base.id, target: target.id, tag: '', format: 'vaquita', signal, onLine: (line) => { if ((line.progressDetail?.total ?? 0) > 0) options.onLine(asRow(line, name)); } });
  const made = find();
  if (!made) throw notFound(`the delta from ${name} was removed before it was pushed`);
  return made;
}

/** Of all that the making tells, its bars, in the one row that the pair has. */
function asRow(line: ProgressLine, name: string): ProgressLine {
  return { ...line, id: lineOf(name), status: line.status === 'Fingerprinting' ? 'Reading base' : 'Making' };
}

const HEADINGS = ['FROM', 'LAYERS', 'DELTA', 'WHOLE', 'FACTOR', 'SECONDS'];

/** Columns as wide as what stands in them. */
function tableOf(results: readonly Result[], push: DeltaPush): string[] {
  const rows = [HEADINGS, ...results.map((result) => rowOf(result, push))];
  const widths = HEADINGS.map((_heading, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ').trimEnd());
}

function rowOf(result: Result, push: DeltaPush): string[] {
  const { name } = result.pair;
  if (result.outcome !== 'pushed') return [name, result.outcome === 'there' ? 'already published' : result.outcome];
  const [delta, whole] = [bytesOf(result.record), wholeBytes(push, result.record)];
  const factor = delta === 0 ? '-' : `${(whole / delta).toFixed(1)}x`;
  return [name, `${result.record.layers.length} of ${push.target.diffIds.length}`, humanSize(delta), humanSize(whole), factor, result.seconds.toFixed(1)];
}
