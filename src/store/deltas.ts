// Our own deltas between images that are here: one directory each, with a record and the blobs. They go with their target.
import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { Files } from '../kernel/index.ts';
import { assert, conflict, corrupt, errnoOf, messageOf, notFound } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import { hexOf, parseDiffId, parseDigest, parseImageId, type Digest, type ImageId } from '../oci/digest.ts';
import type { DeltaRecord, DeltaStore } from './index.ts';
import { MODE } from './layout.ts';
import { isObject, readObject, type JsonObject } from './records.ts';
import { erase, moveToRemoved, setAside, type Room } from './room.ts';

const RECORD = 'delta.json';
const READ_BYTES = 128 * 1024;
/** What opening sweeps when it was left behind (see sweep.ts). */
const FRESH_PREFIX = 'new-';
const MAX_LAYERS = 4096;

export interface OpenedDeltas {
  store: DeltaStore;
  /** Removes those whose target is not known any more. */
  collect(): Promise<void>;
}

export interface DeltaNeeds {
  /** Whether there is a config of that image. */
  known: (id: ImageId) => boolean;
  files: Pick<Files, 'dropCache'>;
}

/** Before the sweep: what goes now is erased with all else. */
export async function openDeltas(room: Room, { known, files }: DeltaNeeds): Promise<OpenedDeltas> {
  const { disk, at, clock, log } = room;
  const lock = new KeyedLock(); // by target
  const records = await loadDeltas(room);

  /** Gives what is to be erased when nobody waits for it. */
  const takeAway = async (record: DeltaRecord): Promise<string | undefined> => {
    const gone = await moveToRemoved(room, pathOf(room, record));
    records.delete(keyOf(record));
    return gone;
  };
  const collect = async () => {
    for (const record of records.values()) {
      if (known(record.target)) continue;
      using _guard = await lock.hold(record.target);
      if (known(record.target) || records.get(keyOf(record)) !== record) continue;
      try {
        await erase(room, [await takeAway(record)]);
      } catch (error) { log.warn('a delta whose target is gone could not be removed, will try again', { target: record.target, reason: messageOf(error) }); }
    }
  };
  const store: DeltaStore = {
    list: () => [...records.values()],
    of: (target) => [...records.values()].filter((record) => record.target === target),
    async workshop() {
      const path = `${at.own}/${FRESH_PREFIX}workshop-${clock.randomHex(8)}`;
      await disk.mkdir(path, MODE.private);
      return { path, read: (file) => bytesOf(file, files), [Symbol.asyncDispose]: () => disk.remove(path) };
    },
    async add(record, paths) {
      assert(paths.length === record.layers.length, `a delta of ${record.layers.length} layers comes in ${paths.length} files`);
      using _guard = await lock.hold(record.target);
      if (!known(record.target)) throw conflict(`image ${record.target} was removed while a delta to it was made`);
      const older = await place(room, { record, paths, lost: () => { records.delete(keyOf(record)); } });
      records.set(keyOf(record), record);
      await erase(room, [older]);
    },
    async *blob(record, digest) {
      { using _guard = await lock.hold(record.target); } // while a newer one takes its place there is none for a moment
      yield* blobOf(room, { record, digest, known: () => records.get(keyOf(record)) !== undefined, files });
    },
    async remove(record) {
      using _guard = await lock.hold(record.target);
      const gone = await takeAway(record);
      await disk.syncDir(at.deltas);
      await erase(room, [gone]);
    },
  };
  await collect(); // an image may have gone by hand, or by another engine
  return { store, collect };
}

/** `lost`: an older one of the pair is gone, and the new one is not in its place. */
interface Placing { record: DeltaRecord; paths: readonly string[]; lost: () => void }

/** Gives where an older one of the same pair is now, to be erased. */
async function place(room: Room, { record, paths, lost }: Placing): Promise<string | undefined> {
  const { disk, at, clock } = room;
  const fresh = `${at.own}/${FRESH_PREFIX}delta-${clock.randomHex(8)}`;
  let older: string | undefined;
  try {
    await disk.mkdir(fresh, MODE.private);
    for (const [index, path] of paths.entries()) await disk.rename(path, blobPath(fresh, index));
    await disk.write(`${fresh}/${RECORD}`, formatRecord(record), MODE.record);
    await disk.sync(`${fresh}/${RECORD}`);
    await disk.syncDir(fresh); // before the name: what has that is whole
    older = await moveToRemoved(room, pathOf(room, record));
    await disk.rename(fresh, pathOf(room, record));
    await disk.syncDir(at.deltas);
    return older;
  } catch (error) {
    if (older !== undefined) lost();
    await erase(room, [fresh, older]);
    throw error;
  }
}

const keyOf = ({ base, target }: Pick<DeltaRecord, 'base' | 'target'>): string => `${hexOf(target)}-${hexOf(base)}`;
const pathOf = ({ at }: Room, record: DeltaRecord): string => `${at.deltas}/${keyOf(record)}`;
const blobPath = (directory: string, index: number): string => `${directory}/${index}.delta`;

async function loadDeltas(room: Room): Promise<Map<string, DeltaRecord>> {
  const { disk, at } = room;
  const records = new Map<string, DeltaRecord>();
  for (const name of disk.list(at.deltas)) {
    const path = `${at.deltas}/${name}`;
    try {
      const record = parseRecord(readObject(disk, `${path}/${RECORD}`));
      if (keyOf(record) !== name) throw corrupt(`${path}: the record is of another delta`);
      for (const index of record.layers.keys()) if (disk.kind(blobPath(path, index)) !== 'file') throw corrupt(`${blobPath(path, index)}: missing`);
      records.set(name, record);
    } catch (error) { await setAside(room, path, messageOf(error)); }
  }
  return records;
}

function formatRecord(record: DeltaRecord): string {
  const text = JSON.stringify(record);
  parseRecord(JSON.parse(text)); // what could not be read again is not written
  return text;
}

function parseRecord(json: unknown): DeltaRecord {
  if (!isObject(json)) throw corrupt('no record of a delta');
  const { base, target, created, layers } = json;
  if (typeof created !== 'string' || !Array.isArray(layers) || layers.length > MAX_LAYERS) throw corrupt('no record of a delta');
  return { base: parseImageId(textOf(base)), target: parseImageId(textOf(target)), created, layers: layers.map(parseLayer) };
}

function parseLayer(json: unknown): DeltaRecord['layers'][number] {
  if (!isObject(json) || !Array.isArray(json['sources']) || json['sources'].length > MAX_LAYERS) throw corrupt('no record of a layer of a delta');
  const size = (object: JsonObject, key: string): number => {
    const value = object[key];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw corrupt(`${key} is no size`);
    return value;
  };
  return {
    diffId: parseDiffId(textOf(json['diffId'])), digest: parseDigest(textOf(json['digest'])),
    sizeBytes: size(json, 'sizeBytes'), targetBytes: size(json, 'targetBytes'), sources: json['sources'].map((source) => parseDiffId(textOf(source))),
  };
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

interface BlobRead { record: DeltaRecord; digest: Digest; known: () => boolean; files: DeltaNeeds['files'] }

/** Held to its digest and size. */
async function* blobOf(room: Room, { record, digest, known, files }: BlobRead): AsyncGenerator<Uint8Array> {
  const index = record.layers.findIndex((layer) => layer.digest === digest);
  const layer = record.layers[index];
  const missing = (cause?: unknown) => notFound(`no delta ${digest} from ${record.base} to ${record.target}`, { cause });
  if (layer === undefined || !known()) throw missing();
  const path = blobPath(pathOf(room, record), index);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    for await (const chunk of bytesOf(path, files)) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes > layer.sizeBytes) break;
      yield chunk;
    }
  } catch (error) { throw errnoOf(error) === 'ENOENT' ? missing(error) : error; }
  const found = `sha256:${hash.digest('hex')}`;
  if (sizeBytes !== layer.sizeBytes || found !== digest) throw corrupt(`${path} has changed since it was made: it does not hash to ${digest}`);
}

// eslint-disable-next-line typescript/require-await
async function* bytesOf(path: string, files: DeltaNeeds['files']): AsyncGenerator<Uint8Array> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(READ_BYTES);
      const n = readSync(fd, chunk, 0, chunk.length, null);
      if (n === 0) break;
      yield chunk.subarray(0, n);
    }
    files.dropCache(fd);
  } finally { closeSync(fd); }
}
