// An archive of images as it passes: what looks like a layer is staged at once, what is small is kept in memory, the rest is let go.
//
// The files come in any order, often the descriptions last; so what a layer is for, and whether it is for anything, is known at the end.
// Nothing is written by the names in the archive: they are only looked up.
import { isBzip2 } from '../../archive/bunzip2.ts';
import { textOf } from '../../archive/byte-string.ts';
import { BLOCK_BYTES, isZeroBlock, parseHeader } from '../../archive/tar-header.ts';
import type { ArrivingEntry } from '../../archive/tar-entries.ts';
import type { TarEntry } from '../../archive/tar-read.ts';
import { isXz } from '../../archive/unxz.ts';
import { invalid, kindOf, unreachable } from '../../lib/errors.ts';
import { archivePath, legacyBelow, legacyLayers } from '../../oci/archive-layout.ts';
import { chainIds, hexOf, parseDigest, type ChainId, type DiffId } from '../../oci/digest.ts';
import type { LayerInfo, LayerStore, StagedLayer, Store } from '../../store/index.ts';

export type Part =
  | { kind: 'bytes'; bytes: Buffer }
  | { kind: 'staged'; staged: StagedLayer }
  /** Its name says that it is a layer which is here. Whether that is true does not matter: the content that is here is taken. */
  | { kind: 'here'; diffId: DiffId; chainId: ChainId }
  | { kind: 'unusable'; error: unknown };

type Link = { kind: 'link'; to: string };

export interface PartNeeds {
  store: Store;
  signal: AbortSignal;
  /** Unpacks what the extractor cannot. */
  unpackSlow: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  /** How far a layer is that is read just now. */
  onLayer: (path: string, currentBytes: number, totalBytes: number) => void;
}

/** A layer of so many bytes is not worth a staging before it is known to be wanted: deltas, and layers of one file. */
const SMALL_BYTES = 64 * 1024;
/** As much as the store takes for a config. */
const MAX_JSON_BYTES = 8 << 20;
/** Of one description. Those of images with hundreds of layers have some thousands. */
const MAX_JSON_VALUES = 200_000;
/** Small files of one archive that are kept in memory. */
const MAX_KEPT_BYTES = 32 << 20;
/** Names of its files: some 40,000 of them, where an image has three for each layer. */
const MAX_NAMES_BYTES = 8 << 20;
/** What the record of one file costs besides its name. */
const RECORD_BYTES = 200;
const MAX_LINKS = 8;
/** Layers whose last bytes are on their way to the disk while the next one is read. */
const MAX_FINISHING = 1;

export class Parts implements AsyncDisposable {
  readonly #needs: PartNeeds;
  readonly #here: (path: string) => LayerInfo | undefined;
  readonly #lease: ReturnType<LayerStore['lease']>;
  /** With the number of the file in the archive. */
  readonly #parts = new Map<string, { part: Part | Link; number: number }>();
  #files = 0;
  /** Descriptions that have been looked at: an archive may name one thousands of times. */
  readonly #modest = new WeakSet<Buffer>();
  readonly #finishing = new Set<Promise<void>>();
  #keptBytes = 0;
  #namesBytes = 0;
  /** What ended the reading: nothing that comes later counts. */
  #failure: { error: unknown } | undefined;

  constructor(needs: PartNeeds) {
    this.#needs = needs;
    this.#here = openHere(needs.store);
    this.#lease = needs.store.layers.lease([]);
  }

  /** Everything is staged when it resolves. */
  async takeAll(entries: AsyncIterable<ArrivingEntry>): Promise<void> {
    for await (const { entry, content } of entries) {
      const path = archivePath(textOf(entry.name));
      if (path !== undefined) await this.#take(path, entry, content);
      this.#assertWell();
    }
    await Promise.all(this.#finishing);
    this.#assertWell();
  }

  #assertWell(): void {
    this.#needs.signal.throwIfAborted();
    if (this.#failure) throw this.#failure.error;
  }

  /** What stands there, links followed; undefined when nothing does. */
  find(path: string): Part | undefined {
    let at = archivePath(path);
    for (let links = 0; at !== undefined && links <= MAX_LINKS; links++) {
      const part = this.#parts.get(at)?.part;
      if (part?.kind !== 'link') return part;
      at = part.to;
    }
    return undefined;
  }

  /** Of a file that is kept in memory, as descriptions are. Error: invalid. */
  bytes(path: string): Buffer {
    const part = this.find(path);
    if (part?.kind === 'bytes') {
      if (!this.#modest.has(part.bytes)) assertModest(path, part.bytes);
      this.#modest.add(part.bytes);
      return part.bytes;
    }
    if (part?.kind === 'unusable') throw part.error;
    throw invalid(part === undefined ? `open ${path}: no such file or directory in the archive` : `${path}: no description of an image`);
  }

  /** As an extractor takes it. */
  tar(part: Exclude<Part, { kind: 'unusable' }>): AsyncIterable<Uint8Array> {
    switch (part.kind) {
      case 'bytes': return isSlow(part.bytes) ? this.#needs.unpackSlow(bytesOf(part.bytes)) : bytesOf(part.bytes);
      case 'here': return this.#needs.store.layers.tar(part.chainId);
      case 'staged': return part.staged.tar();
      default: return unreachable(part);
    }
  }

  has(path: string): boolean { return this.find(path) !== undefined; }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#finishing);
    for (const { part } of this.#parts.values()) if (part.kind === 'staged') await part.staged[Symbol.asyncDispose]();
    this.#lease[Symbol.dispose]();
  }

  async #take(path: string, entry: TarEntry, content: AsyncIterable<Buffer>): Promise<void> {
    const folder = path.slice(0, path.lastIndexOf('/') + 1);
    switch (entry.type) {
      case 'file': return await this.#takeFile(path, entry.sizeBytes, content);
      case 'symlink': return await this.#put(path, linkTo(entry.linkName.startsWith('/') ? textOf(entry.linkName) : folder + textOf(entry.linkName)));
      case 'hardlink': return await this.#put(path, linkTo(textOf(entry.linkName)));
      default: // directories, devices: nothing an image is made of
    }
  }

  async #takeFile(path: string, sizeBytes: number, content: AsyncIterable<Buffer>): Promise<void> {
    const here = sizeBytes > SMALL_BYTES ? this.#here(path) : undefined;
    if (here !== undefined && this.#needs.store.layers.get(here.chainId)) { // it may have been removed since the load began
      this.#lease.add(here.chainId);
      return await this.#put(path, { kind: 'here', diffId: here.diffId, chainId: here.chainId });
    }
    const { head, all } = await peeked(content);
    const isJson = !looksLikeLayer(head) && looksLikeJson(head);
    if (sizeBytes <= SMALL_BYTES || (isJson && sizeBytes <= MAX_JSON_BYTES)) return await this.#keep(path, sizeBytes, all);
    if (!looksLikeLayer(head)) return await this.#put(path, { kind: 'unusable', error: invalid(isJson ? `${path}: a description of ${sizeBytes} bytes; at most ${MAX_JSON_BYTES} are read` : `${path} is neither a description nor a layer`) });
    const whole = this.#watched(all);
    await this.#stage(path, sizeBytes, isSlow(head) ? this.#needs.unpackSlow(whole) : whole);
  }

  /** An archive that breaks off is not this layer's fault alone. */
  async *#watched(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try { yield* content; } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  async #keep(path: string, sizeBytes: number, content: AsyncIterable<Buffer>): Promise<void> {
    if (this.#keptBytes + sizeBytes > MAX_KEPT_BYTES) return await this.#put(path, { kind: 'unusable', error: invalid(`${path}: the small files of the archive are more than ${MAX_KEPT_BYTES} bytes`) });
    this.#keptBytes += sizeBytes;
    const pieces: Buffer[] = [];
    for await (const piece of content) pieces.push(piece);
    await this.#put(path, { kind: 'bytes', bytes: Buffer.concat(pieces) }); // a copy: the chunk that a piece is cut from can go
  }

  /** The next file is read as soon as all bytes of this one are on their way. */
  async #stage(path: string, sizeBytes: number, content: AsyncIterable<Uint8Array>): Promise<void> {
    while (this.#finishing.size > MAX_FINISHING) await Promise.race(this.#finishing);
    const { store, signal, onLayer } = this.#needs;
    const read = Promise.withResolvers<void>();
    const source = (async function* () {
      let currentBytes = 0;
      for await (const chunk of content) { currentBytes += chunk.length; yield chunk; onLayer(path, Math.min(currentBytes, sizeBytes), sizeBytes); }
      read.resolve();
    })();
    const number = ++this.#files;
    const finishing = this.#staged({ path, number }, store.layers.stage({ diffId: undefined, parent: 'later', compression: 'none', source, signal }))
      .catch((error: unknown) => { this.#failure ??= { error }; })
      .finally(() => { this.#finishing.delete(finishing); });
    this.#finishing.add(finishing);
    await Promise.race([read.promise, finishing]); // one that is refused early is not read to its end
  }

  /** What is no layer may be no part of an image either; a disk that is full is full for the next one as well. */
  async #staged({ path, number }: { path: string; number: number }, staging: Promise<StagedLayer>): Promise<void> {
    let part: Part;
    try { part = { kind: 'staged', staged: await staging }; } catch (error) {
      if (kindOf(error) !== 'corrupt') throw error;
      part = { kind: 'unusable', error };
    }
    await this.#put(path, part, number);
  }

  /** A name that comes twice means the later file, as if both had been unpacked; what is staged may be done in another order. */
  async #put(path: string, part: Part | Link, number = ++this.#files): Promise<void> {
    const before = this.#parts.get(path);
    if (before === undefined) this.#namesBytes += path.length + RECORD_BYTES;
    if (part.kind === 'link') this.#namesBytes += part.to.length;
    const [kept, left] = before !== undefined && before.number > number ? [before, part] : [{ part, number }, before?.part];
    this.#parts.set(path, kept);
    if (left?.kind === 'staged') await left.staged[Symbol.asyncDispose]();
    if (this.#namesBytes > MAX_NAMES_BYTES) throw invalid('this is no archive of images: it has too many files');
  }
}

// eslint-disable-next-line typescript/require-await -- reading is synchronous, what takes it is not
async function* bytesOf(bytes: Buffer): AsyncGenerator<Uint8Array> { if (bytes.length > 0) yield bytes; }

/** Nested lists of nothing take fifty times their text in memory. */
function assertModest(path: string, bytes: Buffer): void {
  let values = 0;
  for (const byte of bytes) if (byte === 0x5b || byte === 0x7b || byte === 0x2c) values++; // [ { ,
  if (values > MAX_JSON_VALUES) throw invalid(`${path}: a description of ${values} values; at most ${MAX_JSON_VALUES} are read`);
}

const linkTo = (path: string) => {
  const to = archivePath(path);
  return to === undefined ? { kind: 'unusable' as const, error: invalid('a link leads out of the archive') } : { kind: 'link' as const, to };
};

/** Packed in a way that no extractor knows. */
const isSlow = (head: Uint8Array): boolean => isBzip2(head) || isXz(head);

/** Whether the first block is a tar's, or packed bytes. */
function looksLikeLayer(head: Buffer): boolean {
  if (head.length < 4) return false;
  if (isSlow(head)) return true;
  if ((head[0] === 0x1f && head[1] === 0x8b) || head.readUInt32LE(0) === 0xfd2fb528) return true;
  if (head.length < BLOCK_BYTES) return false;
  try { return isZeroBlock(head, 0) || parseHeader(head, 0) !== undefined; } catch { return false; }
}

const looksLikeJson = (head: Buffer): boolean => /^\s*[[{]/.test(head.toString('latin1', 0, 64));

/** The first block, or all there is; and everything. */
async function peeked(content: AsyncIterable<Buffer>): Promise<{ head: Buffer; all: AsyncIterable<Buffer> }> {
  const chunks = content[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < BLOCK_BYTES) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  const first = head;
  return {
    head: first,
    all: (async function* () {
      if (first.length > 0) yield first;
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
    })(),
  };
}

/**
 * Tells by the name of a file which layer that is here it holds: tools call layers by their diffID, by the digest of the blob, or by the
 * legacy ID, which Docker 20.10 gives to what `save` writes. It spares the disk what it has already.
 */
function openHere(store: Store): (path: string) => LayerInfo | undefined {
  const known = new Map<string, LayerInfo>();
  const legacy = new Map<ChainId, string>();
  const all = new Map(store.layers.list().map((layer) => [layer.chainId, layer]));
  const legacyOf = (chainId: ChainId): string => {
    const found = legacy.get(chainId);
    if (found !== undefined) return found;
    const parent = all.get(chainId)?.parent;
    const id = legacyBelow(chainId, parent === undefined ? undefined : legacyOf(parent));
    legacy.set(chainId, id);
    return id;
  };
  for (const layer of all.values()) known.set(hexOf(layer.diffId), layer).set(legacyOf(layer.chainId), layer);
  for (const config of store.images.list()) {
    const top = legacyLayers(config, chainIds(config.diffIds)).at(-1);
    const layer = top && all.get(top.chainId);
    if (layer) known.set(top.id, layer);
  }
  return (path) => {
    for (const [hex] of path.matchAll(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g)) {
      const diffId = store.distribution.diffIdOf(parseDigest(`sha256:${hex}`));
      const layer = known.get(hex) ?? (diffId && known.get(hexOf(diffId)));
      if (layer) return layer;
    }
    return undefined;
  };
}
