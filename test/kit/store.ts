// A store on a fresh root with extractors that need no child: a "layer" is its bytes, and they become one file.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { openFiles } from '../../src/kernel/files.ts';
import type { MountEntry } from '../../src/kernel/index.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { chainIds, digestOf, parseDiffId, type ChainId, type DiffId } from '../../src/oci/digest.ts';
import type { ImageConfig } from '../../src/oci/manifest.ts';
import { parseImageConfig } from '../../src/oci/parse-manifest.ts';
import { assembleStore, type StoreParts } from '../../src/store/assemble.ts';
import { openDisk, type Disk } from '../../src/store/disk.ts';
import type { ContainerRecord, LayerInfo, StagedLayer, Store, StoredContainer } from '../../src/store/index.ts';
import { completeHostConfig, completeRecord } from '../../src/store/container-defaults.ts';
import type { Extraction } from '../../src/store/staging.ts';
import type { RecordingDisk } from './recording-disk.ts';

const files = openFiles();
export const realDisk: Disk = openDisk(files);

/** For stores whose durability nobody tests. */
export const quickDisk: Disk = { ...realDisk, sync: () => Promise.resolve(), syncDir: () => Promise.resolve(), writeOut: () => Promise.resolve() };

/** An empty directory that is gone at the end of its block; in memory, since hundreds are made and nobody tests the flash. */
export function temporary({ inMemory = true }: { inMemory?: boolean } = {}): Disposable & { path: string } {
  const path = mkdtempSync(`${inMemory && existsSync('/dev/shm') ? '/dev/shm' : tmpdir()}/store-test-`);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function openTestStore(root: string, options: { disk?: Disk & { syncAll?(): void }; mounted?: MountEntry[] } & Partial<StoreParts> = {}): Promise<Store> {
  const { disk = quickDisk, mounted = [], ...rest } = options;
  return assembleStore({
    root, disk, log: silentLog, clock: systemClock,
    kernel: { files, mounts: { list: () => mounted } },
    extractors: plainExtractors(disk),
    copier: { look: () => 'nothing', dress: () => {}, copy: () => Promise.resolve() },
    ...rest,
  });
}

/** A store opened on each disk that a power cut could leave; closed, and its folder `at` gone, before the next. `after`: how many of the disk's steps had been done. */
export async function* afterPowerCuts(disk: RecordingDisk, how: Parameters<RecordingDisk['crashStates']>[0], open: (root: string) => Promise<Store> = openTestStore): AsyncGenerator<{ after: number; at: string; reopened: Store }> {
  for (const state of disk.crashStates(how)) {
    using folder = temporary();
    state.materialize(folder.path);
    const reopened = await open(folder.path);
    yield { after: state.after, at: folder.path, reopened };
    await reopened.close();
  }
}

export function plainExtractors(disk: Disk & { syncAll?(): void }, tarSplitOf: (content: Buffer) => string | Uint8Array = () => 'tar-split'): Extraction & { close(): Promise<void> } {
  return {
    async extract({ into, tarSplitPath, source, signal }) {
      const hash = createHash('sha256');
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) {
        signal?.throwIfAborted();
        hash.update(chunk);
        chunks.push(chunk);
      }
      await disk.write(`${into}/content`, Buffer.concat(chunks), 0o644);
      await disk.write(tarSplitPath, tarSplitOf(Buffer.concat(chunks)), 0o644);
      disk.syncAll?.();
      return { diffId: parseDiffId(`sha256:${hash.digest('hex')}`), sizeBytes: Buffer.concat(chunks).length };
    },
    close: () => Promise.resolve(),
  };
}

export const diffIdOf = (text: string): DiffId => parseDiffId(digestOf(text));

export function stageText(store: Store, text: string, parent?: ChainId | 'later'): Promise<StagedLayer> {
  // eslint-disable-next-line typescript/require-await
  async function* source(): AsyncGenerator<Uint8Array> { yield Buffer.from(text); }
  return store.layers.stage({ diffId: diffIdOf(text), parent, compression: 'none', source: source() });
}

/** The same as a chain would be loaded from an archive: each layer learns at its commit what it stands on. */
export async function commitLater(store: Store, ...texts: string[]): Promise<LayerInfo[]> {
  const made: LayerInfo[] = [];
  for (const text of texts) {
    await using staged = await stageText(store, text, 'later');
    made.push(await staged.commit({ parent: made.at(-1)?.chainId }));
  }
  return made;
}

/** Stages and commits a chain, bottom first. */
export async function commitChain(store: Store, ...texts: string[]): Promise<LayerInfo[]> {
  const made: LayerInfo[] = [];
  for (const text of texts) {
    await using staged = await stageText(store, text, made.at(-1)?.chainId);
    made.push(await staged.commit());
  }
  return made;
}

export function imageOf(...texts: string[]): ImageConfig {
  const config = { architecture: 'amd64', os: 'linux', config: { Cmd: ['sh'] }, rootfs: { type: 'layers', diff_ids: texts.map(diffIdOf) }, history: [] };
  return parseImageConfig(Buffer.from(JSON.stringify(config)));
}

export const topOf = (...texts: string[]): ChainId => {
  const top = chainIds(texts.map(diffIdOf)).at(-1);
  if (top === undefined) throw new Error('an image without layers has no top');
  return top;
};

export function containerOf(id: string, name = '/c'): StoredContainer {
  const record: ContainerRecord = completeRecord({ ID: id, Name: name, Config: { Image: 'x' }, State: {}, Driver: 'overlay2' }, id);
  return { record, hostConfig: completeHostConfig({}) };
}

/** A chain of numbers that looks random and is the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
