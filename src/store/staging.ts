// A layer from its bytes to its name: staged out of sight with one sync of the file system, then committed by a rename.
import type { Files } from '../kernel/index.ts';
import { assert, conflict, corrupt, invalid, messageOf, notFound } from '../lib/errors.ts';
import type { ChainId, DiffId } from '../oci/digest.ts';
import type { Compression } from '../oci/manifest.ts';
import { WrongResult } from './extract-protocol.ts';
import type { LayerDelta, LayerFiles, LayerInfo, LayerWrite, StagedLayer } from './index.ts';
import { discard, markOf, sizePath, splitPath, writeSetName, type KeptLayers, type StagedFiles } from './kept.ts';
import { chainOn, MAX_CHAIN } from './layer-load.ts';
import type { LayerState } from './layer-state.ts';
import { diffPath, layerPath, MODE, tarSplitPath } from './layout.ts';
import { lowerText, makeSnapshot, newLinkId, newSnapshotId } from './overlay.ts';
import { own, setAside, type Room } from './room.ts';
import { layerTarChunks } from './tarsplit.ts';
import { verifyLayer } from './verify.ts';

/** What staging needs of the extractors: everything written to `into` and `tarSplitPath`, and before the call, is synced when it resolves. */
export interface Extraction {
  extract(work: {
    into: string; tarSplitPath: string; compression: Compression; source: AsyncIterable<Uint8Array>; delta?: LayerDelta | undefined;
    onProgress?: (consumedBytes: number) => void; signal?: AbortSignal | undefined;
  }): Promise<{ diffId: DiffId; sizeBytes: number }>;
}

export interface StagingNeeds { room: Room; state: LayerState; kept: KeptLayers; extractors: Extraction; files: Pick<Files, 'dropCache'> }

/** One layer on its way: what was decided when staging began. `lower` is undefined also where a layer below was not known yet. */
interface Write extends StagedFiles {
  /** Its parent is told at the commit. */
  later: boolean;
  /** What the write-set's `parent` holds now. */
  writtenParent: ChainId | undefined;
}

/**
 * Everything of the layer that is known beforehand is written before its bytes are extracted, so that the extractor's one sync
 * covers it too: directories, link, lower, and the write-set with an empty `size`. What commit adds costs two flushes.
 */
export async function stageLayer(needs: StagingNeeds, layer: LayerWrite): Promise<StagedLayer> {
  const { room, state } = needs;
  layer.signal?.throwIfAborted();
  const write = begin(room, state, layer);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => discard(room, write));
  state.staged.add(write);
  undo.defer(() => { state.staged.delete(write); });
  const keepsParent = undo.use(state.lease(write.parent === undefined ? [] : [write.parent]));
  await prepare(room, state, write);
  const done = await extracted(needs, layer, write);
  if (layer.diffId === undefined) await nameAfter(room, write, done.diffId);
  write.sizeBytes = done.sizeBytes;
  return new Staged(needs, { write, undo: undo.move(), keepsParent });
}

/** Takes a kept layer, when it still is what it was: all of it is read. Errors: not-found, corrupt (then it is removed). */
export async function stageKept(needs: StagingNeeds, diffId: DiffId, { parent, signal }: { parent: ChainId | undefined; signal?: AbortSignal | undefined }): Promise<StagedLayer> {
  const { room, state, kept, files } = needs;
  const layer = kept.take(diffId);
  if (!layer) throw notFound(`no layer ${diffId} is kept`);
  let damages;
  try {
    using _turn = await kept.looks.hold({ signal });
    damages = await verifyLayer({ diffId, diffPath: diffPath(room.at, layer.cacheId) }, {
      tarSplitPath: splitPath(layer), clock: room.clock, signal, maxDamages: 1, onRead: (fd) => files.dropCache(fd),
    });
  } catch (error) {
    await kept.put(layer);
    throw error;
  }
  const [damage] = damages;
  if (damage) {
    await discard(room, layer);
    throw corrupt(`layer ${diffId}, which was kept, is damaged: ${damage.file === undefined ? '' : `${damage.file} `}${damage.reason}`);
  }
  const write: Write = { ...layer, parent, chainId: chainOn(parent, diffId), later: false, writtenParent: layer.parent };
  await using undo = new AsyncDisposableStack();
  undo.defer(() => discard(room, write));
  state.staged.add(write);
  undo.defer(() => { state.staged.delete(write); });
  const keepsParent = undo.use(state.lease(parent === undefined ? [] : [parent]));
  return new Staged(needs, { write, undo: undo.move(), keepsParent });
}

/** Error: corrupt, also when it is not the layer that was promised. Where a delta gave another one, its base is looked at: it tells who is to blame. */
async function extracted({ room, extractors, files }: StagingNeeds, layer: LayerWrite, write: Write): Promise<{ diffId: DiffId; sizeBytes: number }> {
  try {
    const done = await extractors.extract({
      into: diffPath(room.at, write.cacheId), tarSplitPath: splitPath(write),
      compression: layer.compression, source: layer.source, delta: layer.delta, signal: layer.signal,
      ...(layer.onProgress ? { onProgress: (consumed: number) => layer.onProgress?.(consumed) } : {}),
    });
    if (layer.diffId === undefined || done.diffId === layer.diffId) return done;
    throw new WrongResult(`filesystem layer verification failed for ${layer.diffId}: the bytes unpack to ${done.diffId}`);
  } catch (error) {
    if (layer.delta === undefined || !(error instanceof WrongResult)) throw error;
    for (const base of layer.delta.base) {
      const [damage] = await verifyLayer(base, { tarSplitPath: base.tarSplitPath, clock: room.clock, signal: layer.signal, maxDamages: 1, onRead: (fd) => files.dropCache(fd) });
      if (damage) throw corrupt(`base layer ${base.diffId} is damaged: ${damage.file === undefined ? '' : `${damage.file} `}${damage.reason}`, { cause: error });
    }
    throw corrupt(`the delta does not make the layer that it is for: ${messageOf(error)}`, { cause: error });
  }
}

class Staged implements StagedLayer {
  readonly diffId: DiffId;
  readonly #needs: StagingNeeds;
  readonly #write: Write;
  readonly #undo: AsyncDisposableStack;
  readonly #keepsParent: Disposable;
  #committed: LayerInfo | undefined;

  constructor(needs: StagingNeeds, { write, undo, keepsParent }: { write: Write; undo: AsyncDisposableStack; keepsParent: Disposable }) {
    this.#needs = needs;
    this.#write = write;
    this.#undo = undo;
    this.#keepsParent = keepsParent;
    this.diffId = write.diffId;
  }

  async commit(on?: { parent: ChainId | undefined }): Promise<LayerInfo> {
    if (this.#committed) return this.#committed;
    assert(!this.#undo.disposed, `layer ${this.diffId} committed after it was discarded`);
    assert(this.#write.later === (on !== undefined), `layer ${this.diffId}: its parent is told either at staging or at the commit`);
    const { room, state } = this.#needs;
    this.#committed = await state.exclusively(async () => {
      if (on) settle(this.#write, on.parent);
      const existing = state.layers.get(this.#write.chainId);
      if (existing) return existing;
      const made = await publish(room, state, this.#write);
      this.#undo.move(); // nothing to undo any more
      return made;
    });
    await this.#undo.disposeAsync(); // does something only where another one came first: ours goes
    this.#keepsParent[Symbol.dispose]();
    return this.#committed;
  }

  async keep(): Promise<void> {
    const { room } = this.#needs;
    const write = this.#write;
    assert(!this.#undo.disposed && !write.later, `layer ${this.diffId} cannot be kept`);
    if (write.wholeSinceMs === undefined) await mark(room, write, markOf(write.sizeBytes));
  }

  async leave(): Promise<void> {
    const write = this.#write;
    assert(!this.#undo.disposed && write.wholeSinceMs !== undefined, `layer ${this.diffId} was not kept before it was left`);
    this.#undo.move();
    this.#needs.state.staged.delete(write);
    this.#keepsParent[Symbol.dispose]();
    await this.#needs.kept.put({ ...write, chainId: chainOn(write.writtenParent, write.diffId), parent: write.writtenParent });
  }

  files(): LayerFiles {
    const { at } = this.#needs.room;
    const { diffId } = this;
    if (this.#committed) return { diffId, diffPath: this.#committed.diffPath, tarSplitPath: tarSplitPath(at, this.#committed.chainId) };
    assert(!this.#undo.disposed, `layer ${diffId} read after it was discarded`);
    return { diffId, diffPath: diffPath(at, this.#write.cacheId), tarSplitPath: splitPath(this.#write) };
  }

  // eslint-disable-next-line typescript/require-await -- reading is synchronous, what takes it is not
  async *tar(): AsyncGenerator<Uint8Array> {
    const files = this.files();
    yield* layerTarChunks(files.tarSplitPath, files.diffPath, (fd) => this.#needs.files.dropCache(fd));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

function begin(room: Room, state: LayerState, layer: LayerWrite): Write {
  const cacheId = newSnapshotId(room.clock);
  const later = layer.parent === 'later';
  const parent = layer.parent === 'later' ? undefined : layer.parent;
  const below = state.links(parent);
  if (below && below.length >= MAX_CHAIN) throw invalid(`max depth exceeded: an image may have ${MAX_CHAIN} layers`);
  return {
    chainId: layer.diffId === undefined || later ? UNKNOWN : chainOn(parent, layer.diffId), diffId: layer.diffId ?? UNKNOWN, parent, later,
    cacheId, link: newLinkId(room.clock), writeSet: `${room.at.tmp}/${writeSetName(cacheId)}`,
    lower: below && lowerText(below), sizeBytes: 0, wholeSinceMs: undefined, writtenParent: parent,
  };
}

async function prepare(room: Room, state: LayerState, write: Write): Promise<void> {
  const { disk } = room;
  await disk.mkdir(write.writeSet, MODE.private);
  await disk.write(`${write.writeSet}/cache-id`, write.cacheId, MODE.plain);
  await disk.write(`${write.writeSet}/diff`, write.diffId, MODE.plain);
  if (write.parent !== undefined) await disk.write(`${write.writeSet}/parent`, write.parent, MODE.plain);
  await disk.write(sizePath(write), '', MODE.plain); // its name is synced with the rest, its content at commit
  const lower = write.lower === undefined ? undefined : state.links(write.parent);
  await makeSnapshot(room, { id: write.cacheId, link: write.link, lower, committed: true, stacked: write.parent !== undefined });
}

/** Until its last byte a new layer has no name: nothing can be asked for by this one. */
const UNKNOWN = '' as string as ChainId & DiffId;

/** The file was made and synced with the rest, so only its content is to be synced. */
async function nameAfter({ disk }: Room, write: Write, diffId: DiffId): Promise<void> {
  write.diffId = diffId;
  if (!write.later) write.chainId = chainOn(write.parent, diffId);
  await disk.write(`${write.writeSet}/diff`, diffId, MODE.plain);
  await disk.sync(`${write.writeSet}/diff`);
}

function settle(write: Write, parent: ChainId | undefined): void {
  write.parent = parent;
  write.chainId = chainOn(parent, write.diffId);
}

/** What staging has not written, or otherwise, where it did not know the parent; all of it is on the disk before the layer's name is. */
async function writeParent(room: Room, write: Write): Promise<void> {
  const { disk, at } = room;
  const path = `${write.writeSet}/parent`;
  const work = `${at.overlay}/${write.cacheId}/work`; // its name is synced with that of `lower`; one too many does no harm
  if (write.parent === undefined) await disk.remove(path);
  else {
    await disk.write(path, write.parent, MODE.plain);
    await disk.sync(path);
    await disk.mkdir(work, MODE.private);
    await own(room, work, room.owners.inside);
  }
  await disk.syncDir(write.writeSet);
  write.writtenParent = write.parent;
}

/** In `size`, durably: everything else of the layer is on the disk already. */
async function mark({ disk, clock }: Room, write: Write, text: string): Promise<void> {
  await disk.write(sizePath(write), text, MODE.plain);
  await disk.sync(sizePath(write));
  write.wholeSinceMs = clock.now();
}

/** Runs alone. Fails with everything as before, or has made the layer visible and durable. */
async function publish(room: Room, state: LayerState, write: Write): Promise<LayerInfo> {
  const { disk, at } = room;
  const below = state.chain(write.parent);
  if (!below) throw conflict(`layer ${write.chainId} cannot be committed before its parent ${write.parent ?? ''}`);
  if (below.length >= MAX_CHAIN) throw invalid(`max depth exceeded: an image may have ${MAX_CHAIN} layers`);
  if (write.parent !== write.writtenParent) await writeParent(room, write);
  await finishLower(room, write, lowerText(below.map(({ link }) => link)));
  if (write.wholeSinceMs === undefined) await mark(room, write, String(write.sizeBytes));
  const path = layerPath(at, write.chainId);
  // A layer of that name which could not be loaded must not keep a good one from taking its place.
  if (disk.kind(path) !== undefined) await setAside(room, path, 'replaced by a layer that was made again');
  await disk.rename(write.writeSet, path);
  try {
    await disk.syncDir(at.layers);
  } catch (error) {
    await disk.rename(path, write.writeSet); // or its discarding would leave a name without a snapshot
    throw error;
  }
  const { chainId, diffId, parent, cacheId, link, sizeBytes } = write;
  const layer = { chainId, diffId, parent, cacheId, link, sizeBytes, diffPath: diffPath(at, cacheId) };
  state.layers.set(chainId, layer);
  state.staged.delete(write);
  return layer;
}

/** The parent may have been staged later, by someone else than was thought, or be another one than it was. */
async function finishLower({ disk, at }: Room, write: Write, want: string): Promise<void> {
  if (want === (write.lower ?? '')) return;
  const path = `${at.overlay}/${write.cacheId}/lower`;
  if (want === '') await disk.remove(path);
  else {
    await disk.write(path, want, MODE.plain);
    await disk.sync(path);
  }
  await disk.syncDir(`${at.overlay}/${write.cacheId}`);
  write.lower = want === '' ? undefined : want;
}
