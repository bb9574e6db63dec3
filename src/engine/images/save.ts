// Images as one tar in the layout of Docker 20.10, which every engine reads: put together while it is sent, nothing is stored in between.
import { byteStringOf } from '../../archive/byte-string.ts';
import { TAR_END, tarHeader, tarPadding, type TarItem } from '../../archive/tar-write.ts';
import { corrupt, invalid, kindOf, notFound } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import {
  configFile, formatArchiveManifest, formatRepositories, LAYER_FILE, LEGACY_FILE, LEGACY_VERSION, legacyLayers, MANIFEST_FILE, REPOSITORIES_FILE, VERSION_FILE,
  type ArchivedImage, type LegacyLayer,
} from '../../oci/archive-layout.ts';
import { chainIds, type ChainId, type DiffId, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { familiarName, familiarString, parseReference, type Reference } from '../../oci/reference.ts';
import type { Store } from '../../store/index.ts';
import type { Events } from '../events.ts';
import { findImage, noSuchImage } from './find.ts';
import { holdLayers } from './held.ts';

/** One image to save, and the familiar names it is saved with. */
interface Saved { config: ImageConfig; tags: string[] }

/** One entry of the archive. */
type Piece = { item: TarItem } & ({ bytes: Uint8Array } | { layer: ChainId });

/** As Docker writes them, so that both make the same bytes. */
const OWNER = { userName: 'root', groupName: 'root' };
const FILE_MODE = 0o100644, DIRECTORY_MODE = 0o040755, LINK_MODE = 0o120777;
const NS = 1_000_000_000n;

/**
 * Makes the verb `save`: errors before it resolves are those of names and damaged records; a layer that turns out to be damaged breaks the
 * stream off. The same images give the same bytes.
 */
export function makeSave({ store, events, log, onBytes }: { store: Store; events: Events; log: Log; onBytes?: ((bytes: number) => void) | undefined }) {
  return async (names: readonly string[], { signal }: { signal: AbortSignal }): Promise<AsyncIterable<Uint8Array>> => {
    const images = decideSaved(store, names);
    const held = holdLayers({ store, log }, images.flatMap(({ config }) => chainIds(config.diffIds)));
    signal.addEventListener('abort', () => void held[Symbol.asyncDispose](), { once: true }); // an answer that nobody reads is never ended
    try {
      const pieces = await layOut(store, images);
      for (const { config } of images) events.publish({ type: 'image', action: 'save', id: config.id, attributes: { ...config.config.Labels, name: config.id } });
      return written({ store, onBytes: onBytes ?? (() => {}) }, pieces, held);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  };
}

/** In the order of asking. A name without a tag is that of all tags; an ID brings no names. Errors: not-found and invalid, in Docker's words. */
export function decideSaved(store: Pick<Store, 'images' | 'names'>, words: readonly string[]): Saved[] {
  if (words.length === 0) throw invalid('no image to save: names is empty');
  const saved = new Map<ImageId, Saved>();
  const add = (id: ImageId, tag?: string) => {
    const config = store.images.get(id);
    if (config === undefined) throw noSuchImage(id);
    const one = saved.get(id) ?? { config, tags: [] };
    if (tag !== undefined && !tag.includes('@') && !one.tags.includes(tag)) one.tags.push(tag);
    saved.set(id, one);
  };
  for (const word of words) {
    const reference = /^(sha256:)?[0-9a-f]{64}$/.test(word) ? undefined : parseReference(word);
    if (reference === undefined || familiarName(reference) === 'sha256') add(found(store, word));
    else if (reference.tag !== undefined || reference.digest !== undefined) add(...named(store, reference));
    else {
      const all = [...store.names.all()].filter(([name]) => nameOf(name) === familiarName(reference)).toSorted(([a], [b]) => (a < b ? -1 : 1));
      for (const [name, id] of all) add(id, name);
      if (all.length === 0) add(found(store, word));
    }
  }
  return [...saved.values()];
}

const nameOf = (familiar: string): string => familiarName(parseReference(familiar));

function found(store: Pick<Store, 'images' | 'names'>, word: string): ImageId {
  try { return findImage(store, word).config.id; } catch (error) {
    throw kindOf(error) === 'not-found' ? noSuchImage(/^[0-9a-f]{64}$/.test(word) ? `sha256:${word}` : word) : error;
  }
}

function named({ names }: Pick<Store, 'names'>, reference: Reference): [ImageId, string] {
  const familiar = familiarString(reference.digest === undefined ? reference : { ...reference, tag: undefined });
  const id = names.get(familiar);
  if (id === undefined) throw notFound('reference does not exist');
  return [id, familiar];
}

/** Every entry with its size, in the order of its name, which is Docker's. What several images share stands there once; equal layers are links to the first one. */
async function layOut(store: Store, images: readonly Saved[]): Promise<Piece[]> {
  const pieces = new Pieces(store);
  const manifest: ArchivedImage[] = [];
  const tagged: Array<{ name: string; tag: string; id: string }> = [];
  for (const { config, tags } of images) {
    const layers = legacyLayers(config, chainIds(config.diffIds));
    const mtimeNs = secondsOf(config.created) * NS;
    for (const layer of layers) await pieces.addLayer(layer, mtimeNs);
    pieces.add(configFile(config.id), config.bytes, { mtimeNs });
    const parent = store.images.parentOf(config.id);
    manifest.push({
      config: configFile(config.id), repoTags: tags, layers: layers.map(({ id }) => `${id}/${LAYER_FILE}`),
      ...(images.some((image) => image.config.id === parent) ? { parent } : {}),
    });
    const top = layers.at(-1);
    if (top) tagged.push(...tags.map(parseReference).map((reference) => ({ name: familiarName(reference), tag: reference.tag ?? '', id: top.id })));
  }
  pieces.add(MANIFEST_FILE, formatArchiveManifest(manifest));
  if (tagged.length > 0) pieces.add(REPOSITORIES_FILE, formatRepositories(tagged));
  return pieces.sorted();
}

class Pieces {
  readonly #store: Store;
  readonly #pieces = new Map<string, Piece>();
  readonly #placeOf = new Map<DiffId, string>();

  constructor(store: Store) { this.#store = store; }

  add(name: string, content: string | Uint8Array, item: Partial<TarItem> = {}): void {
    const bytes = Buffer.from(content);
    this.#pieces.set(name, { item: { name: byteStringOf(name), type: 'file', mode: FILE_MODE, mtimeNs: 0n, sizeBytes: bytes.length, ...OWNER, ...item }, bytes });
  }

  async addLayer({ id, chainId, diffId, json }: LegacyLayer, mtimeNs: bigint): Promise<void> {
    if (this.#pieces.has(`${id}/`)) return;
    this.add(`${id}/`, '', { type: 'dir', mode: DIRECTORY_MODE, mtimeNs });
    this.add(`${id}/${VERSION_FILE}`, LEGACY_VERSION, { mtimeNs });
    this.add(`${id}/${LEGACY_FILE}`, json, { mtimeNs });
    const name = `${id}/${LAYER_FILE}`, place = this.#placeOf.get(diffId);
    if (place !== undefined) return this.add(name, '', { type: 'symlink', mode: LINK_MODE, linkName: `../${place}/${LAYER_FILE}`, mtimeNs });
    this.#placeOf.set(diffId, id);
    this.#pieces.set(name, { item: { name, type: 'file', mode: FILE_MODE, sizeBytes: await this.#store.layers.tarSizeBytes(chainId), mtimeNs, ...OWNER }, layer: chainId });
  }

  sorted(): Piece[] { return [...this.#pieces].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, piece]) => piece); }
}

/** What an image has no time for was made in 1970. */
function secondsOf(created: string): bigint {
  const ms = Date.parse(created);
  return ms > 0 ? BigInt(Math.floor(ms / 1000)) : 0n;
}

async function* written({ store, onBytes }: { store: Store; onBytes: (bytes: number) => void }, pieces: readonly Piece[], held: AsyncDisposable): AsyncGenerator<Uint8Array> {
  await using _held = held;
  for (const piece of pieces) {
    const head = tarHeader(piece.item);
    if ('bytes' in piece) { yield Buffer.concat([head, piece.bytes, tarPadding(piece.bytes.length)]); continue; }
    yield head;
    let sizeBytes = 0;
    for await (const chunk of store.layers.tar(piece.layer)) { sizeBytes += chunk.length; yield chunk; onBytes(chunk.length); }
    if (sizeBytes !== piece.item.sizeBytes) throw corrupt(`layer ${piece.layer}: its tar has ${sizeBytes} bytes and should have ${piece.item.sizeBytes ?? 0}`);
    yield tarPadding(sizeBytes);
  }
  yield TAR_END;
}
