// distribution/: which blob a layer came from. Only ever a hint for a faster push or pull, so it is never synced, and what cannot be
// read does not exist. On the disk only: a device pushes seldom.
import { hexOf, isDigest, parseDiffId, type Digest, type DiffId } from '../oci/digest.ts';
import { KeyedLock } from '../lib/lock.ts';
import { replaceFile } from './disk.ts';
import type { DistributionStore } from './index.ts';
import { MODE } from './layout.ts';
import { isObject, readJson, readWord, type JsonObject } from './records.ts';
import type { Room } from './room.ts';

/** Docker keeps as many sources of a layer; the oldest go first. */
const MAX_SOURCES = 100;
/** In entries that this engine wrote. balenaEngine records deltas as if they were layers, and Docker layers that are not packed with gzip; other engines pass over it. */
const WRITER = { Writer: 'vaquita' } as const;

export function openDistribution({ disk, at }: Room): DistributionStore {
  const lock = new KeyedLock();
  const sourcesPath = (diffId: DiffId) => `${at.blobsByDiffId}/${hexOf(diffId)}`;
  const diffIdPath = (blob: Digest) => `${at.diffIdsByBlob}/${hexOf(blob)}`;
  return {
    async record(diffId, blob, repository) {
      using _guard = await lock.hold(diffId);
      // Other fields of an entry (Docker's HMAC) are kept as they are.
      const entries = readEntries(() => readJson(disk, sourcesPath(diffId)));
      const known = entries.find((entry) => entry['Digest'] === blob && entry['SourceRepository'] === repository);
      if (!known || !isOwn(known)) {
        const next = [...entries.filter((entry) => entry !== known), { Digest: blob, SourceRepository: repository, HMAC: '', ...known, ...WRITER }].slice(-MAX_SOURCES);
        await replaceFile(disk, sourcesPath(diffId), { data: JSON.stringify(next), mode: MODE.plain, durable: false });
      }
      if (this.diffIdOf(blob) !== diffId) await replaceFile(disk, diffIdPath(blob), { data: diffId, mode: MODE.plain, durable: false });
    },
    diffIdOf(blob) {
      try {
        return readWord(disk, diffIdPath(blob), parseDiffId);
      } catch {
        return undefined;
      }
    },
    sourcesOf: (diffId) => readEntries(() => readJson(disk, sourcesPath(diffId))).flatMap((entry) => {
      const { Digest, SourceRepository } = entry;
      return typeof Digest === 'string' && isDigest(Digest) && typeof SourceRepository === 'string' ? [{ digest: Digest, repository: SourceRepository, isOwn: isOwn(entry) }] : [];
    }),
  };
}

const isOwn = (entry: JsonObject): boolean => entry['Writer'] === WRITER.Writer;

function readEntries(read: () => unknown): JsonObject[] {
  try {
    const value = read();
    return Array.isArray(value) ? value.filter(isObject) : [];
  } catch {
    return [];
  }
}
