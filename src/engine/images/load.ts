// Images out of an archive: layers are staged as it passes, checked against the configs when it has passed, committed, and named last.
import { tarEntries } from '../../archive/tar-entries.ts';
import type { Clock } from '../../lib/clock.ts';
import { EngineError, kindOf, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { chainIds, type ImageId } from '../../oci/digest.ts';
import type { Platform } from '../../oci/manifest.ts';
import type { RootFs } from '../../rootfs/index.ts';
import type { BaseRoot, Store } from '../../store/index.ts';
import type { ProgressLine } from '../../wire/types.ts';
import type { Events } from '../events.ts';
import { deltaOf, findDeltaBase } from './delta-base.ts';
import { holdLayers, type NamingTurn } from './held.ts';
import { LayerMaking, shownLayer, type Wanted } from './load-layers.ts';
import { Parts } from './load-parts.ts';
import { readPlan, type Archived } from './load-plan.ts';
import { layerProgress, type LayerProgress } from './progress.ts';
import { unpacked } from './unpacked.ts';

export interface LoadNeeds extends NamingTurn {
  store: Store;
  rootfs: Pick<RootFs, 'unpack'>;
  events: Events;
  clock: Clock;
  log: Log;
  platform: Platform;
  /** Roots that are only read: bases of deltas are looked for in them too. */
  baseRoots: readonly BaseRoot[];
  /** Told of bytes that pass through this process. */
  onBytes?: ((bytes: number) => void) | undefined;
}

export interface LoadOptions { signal: AbortSignal; quiet: boolean; onLine: (line: ProgressLine) => void }

interface Image extends Wanted { names: Archived['names']; parent: ImageId | undefined; isDelta: boolean; isHere: boolean }

/** Makes the verb `load`. Errors: invalid and corrupt for the archive, not-found for the base of a delta, system; nothing of it is left then. */
export function makeLoad(needs: LoadNeeds): (archive: AsyncIterable<Uint8Array>, options: LoadOptions) => Promise<void> {
  return async (archive, options) => {
    const course = { committing: false };
    try {
      await load(needs, archive, { options, course });
    } catch (error) {
      if (course.committing) await needs.store.collect().catch((cause: unknown) => needs.log.error('layers of a failed load could not be removed', { error: cause }));
      throw error;
    }
  };
}

async function load(needs: LoadNeeds, archive: AsyncIterable<Uint8Array>, { options, course }: { options: LoadOptions; course: { committing: boolean } }): Promise<void> {
  const { store, rootfs } = needs;
  const { signal } = options;
  const tell = teller(needs, options);
  await using _rest = holdLayers(needs, []); // disposed of last
  await using parts = new Parts({ store, signal, unpackSlow: (source) => rootfs.unpack(source, { signal }), onLayer: (path, ...moved) => tell(shownPath(path), ...moved) });
  try {
    await parts.takeAll(tarEntries(unpacked(counted(archive, needs.onBytes), { rootfs, signal })));
  } catch (error) { throw kindOf(error) === 'corrupt' ? brokenArchive(error) : error; }
  const images = readPlan(parts, needs.platform).map((image) => imageOf(needs, image));
  using _lease = store.layers.lease(images.flatMap(({ target, base }) => [...chainIds(target.diffIds), ...base?.chain ?? []]));
  await using making = new LayerMaking({ store, parts, signal, onLayer: (diffId, sizeBytes) => tell(shownLayer(diffId), sizeBytes, sizeBytes) });
  for (const image of images) {
    if (!image.isHere) await making.add(image);
    else if (image.isDelta) options.onLine({ stream: 'Target image already exists locally, no need to load it.\n' });
  }
  signal.throwIfAborted();
  course.committing = true;
  await making.commit();
  using _turn = await needs.turn.hold();
  for (const { target, parent } of images) await store.images.add(target, parent === undefined ? {} : { parent });
  await nameImages(needs, images, options);
}

async function* counted(source: AsyncIterable<Uint8Array>, onBytes: LoadNeeds['onBytes']): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk;
    onBytes?.(chunk.length);
  }
}

/** What is known of an image before anything is made of it. Error: not-found, when the base of a delta is nowhere. */
function imageOf({ store, baseRoots }: LoadNeeds, { config, layers, names, parent }: Archived): Image {
  const delta = deltaOf(config);
  const target = delta?.target ?? config;
  const isHere = store.images.get(target.id) !== undefined;
  const base = delta === undefined || isHere ? undefined : findDeltaBase([store, ...baseRoots], delta.base);
  return { target, layers, names, parent, base, isHere, isDelta: delta !== undefined };
}

/** All names at once, then what clients are told, in Docker's words. */
async function nameImages({ store, events }: LoadNeeds, images: readonly Image[], { onLine }: LoadOptions): Promise<void> {
  const lines: string[] = [];
  for (const { target, names } of images) {
    for (const name of names) {
      const before = store.names.get(name);
      if (before !== undefined && before !== target.id) lines.push(`The image ${name} already exists, renaming the old one with ID ${before} to empty string\n`);
      lines.push(`Loaded image: ${name}\n`);
    }
  }
  const unnamed = images.filter(({ names }) => names.length === 0).map(({ target }) => `Loaded image ID: ${target.id}\n`).join('');
  await store.names.update({ set: images.flatMap(({ target, names }) => names.map((name) => [name, target.id] as const)) });
  for (const stream of [...lines, ...unnamed === '' ? [] : [unnamed]]) onLine({ stream });
  for (const { target } of images) events.publish({ type: 'image', action: 'load', id: target.id, attributes: { ...target.config.Labels, name: target.id } });
}

/** One bar for each layer, unless nobody wants them. */
function teller({ clock }: LoadNeeds, { quiet, onLine }: LoadOptions): (id: string, currentBytes: number, totalBytes: number) => void {
  let last: { id: string; progress: LayerProgress } | undefined;
  return (id, currentBytes, totalBytes) => {
    if (quiet) return;
    if (last?.id !== id) last = { id, progress: layerProgress(id, totalBytes, { now: () => clock.monotonicMs(), onLine }) };
    last.progress.moved('Loading layer', currentBytes, totalBytes);
  };
}

/** Of a layer whose diffID is not known before its last byte. */
const shownPath = (path: string): string => /[0-9a-f]{64}/.exec(path)?.[0].slice(0, 12) ?? path;

/** Docker's words for a tar that is none, or not whole. */
function brokenArchive(error: unknown): EngineError {
  const message = messageOf(error);
  const words = /cut short|unexpected end/.test(message) ? 'unexpected EOF' : /wrong checksum|is no number/.test(message) ? 'archive/tar: invalid tar header' : message;
  return new EngineError('corrupt', `Error processing tar file(exit status 1): ${words}`, { cause: error });
}
