// A second data root that deltas may be made against, Docker's, balenaEngine's or ours: it is read, and nothing in it is changed or locked.
//
// It may belong to an engine that runs. So nothing of it is remembered: each question is answered from what its disk says now.
import type { Files } from '../kernel/index.ts';
import { corrupt, errnoOf, invalid, messageOf, notFound } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { chainIds, digestOf, parseChainId, parseImageId, type ChainId, type ImageId } from '../oci/digest.ts';
import type { ImageConfig } from '../oci/manifest.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import { openDisk, type Disk } from './disk.ts';
import type { BaseRoot, LayerFiles, LayerInfo } from './index.ts';
import { readLayer } from './layer-load.ts';
import { DRIVER, imagePath, isHex64, layerPath, layoutOf, tarSplitPath, type Layout } from './layout.ts';
import { MAX_RECORD_BYTES } from './records.ts';
import { layerTarChunks } from './tarsplit.ts';

export interface BaseRootNeeds { kernel: { files: Pick<Files, 'dropCache' | 'writeOut'> }; log: Log }

interface Room { disk: Pick<Disk, 'read' | 'list' | 'kind'>; at: Layout; log: Log; files: Pick<Files, 'dropCache'>; /** Records that the log has a line about. */ told: Set<string> }

/** Records that cannot be read are passed over, with a line in the log. Error: invalid, when there is no such root or it is one of another storage driver. */
export function openBaseRoot(root: string, { kernel: { files }, log }: BaseRootNeeds): Promise<BaseRoot> {
  const room: Room = { disk: openDisk(files), at: layoutOf(root), log, files, told: new Set() };
  return new Promise((resolve) => {
    assertRoot(room);
    resolve({
      root,
      images: { get: (id) => imageOf(room, id), list: () => imagesOf(room) },
      layers: {
        get: (chainId) => layerOf(room, chainId),
        list: () => namesIn(room, room.at.layers).map(parseChainId).flatMap((chainId) => layerOf(room, chainId) ?? []),
        files: (chainId) => filesOf(room, chainId),
        tar: (chainId) => tarOf(room, chainId),
      },
    });
  });
}

function assertRoot({ disk, at }: Room): void {
  if (disk.kind(at.root) === undefined) throw invalid(`delta data root ${at.root}: no such directory`);
  if (disk.kind(at.imageContent) === 'directory') return;
  const others = disk.list(`${at.root}/image`).filter((name) => name !== DRIVER).toSorted();
  if (others.length === 0) throw invalid(`delta data root ${at.root}: no images of storage driver ${DRIVER} in it`);
  throw invalid(`delta data root ${at.root} is of storage driver ${others.join(', ')}: only ${DRIVER} can be read`);
}

const namesIn = ({ disk }: Room, directory: string): string[] => disk.list(directory).filter(isHex64).map((hex) => `sha256:${hex}`);

/** undefined where it is not there, or not whole. */
function imageOf(room: Room, id: ImageId): ImageConfig | undefined {
  const path = imagePath(room.at, id);
  return attempt(room, path, () => {
    const bytes = room.disk.read(path, MAX_RECORD_BYTES);
    if (bytes === undefined) return undefined;
    if (digestOf(bytes) as string !== id) throw corrupt('its bytes do not hash to its name');
    const config = parseImageConfig(bytes);
    return chainIds(config.diffIds).every((chainId) => layerOf(room, chainId) !== undefined) ? config : undefined;
  });
}

const imagesOf = (room: Room): ImageConfig[] => namesIn(room, room.at.imageContent).map(parseImageId).flatMap((id) => imageOf(room, id) ?? []);

function layerOf(room: Room, chainId: ChainId): LayerInfo | undefined {
  const path = layerPath(room.at, chainId);
  return attempt(room, path, () => {
    if (room.disk.kind(path) !== 'directory') return undefined;
    const { diffId, parent, cacheId, sizeBytes, diffPath } = readLayer(room, chainId);
    return { chainId, diffId, parent, cacheId, sizeBytes, diffPath };
  });
}

function filesOf(room: Room, chainId: ChainId): LayerFiles | undefined {
  const layer = layerOf(room, chainId);
  return layer && { diffId: layer.diffId, diffPath: layer.diffPath, tarSplitPath: tarSplitPath(room.at, chainId) };
}

// eslint-disable-next-line typescript/require-await -- reading is synchronous, what takes it is not
async function* tarOf(room: Room, chainId: ChainId): AsyncGenerator<Uint8Array> {
  const layer = filesOf(room, chainId);
  if (!layer) throw notFound(`no such layer in ${room.at.root}: ${chainId}`);
  yield* layerTarChunks(layer.tarSplitPath, layer.diffPath, (fd) => room.files.dropCache(fd));
}

function attempt<T>({ log, told }: Room, path: string, read: () => T | undefined): T | undefined {
  try { return read(); } catch (error) {
    if (!told.has(path)) log.warn('record of the delta data root passed over', { path, reason: messageOf(error), ...(errnoOf(error) === undefined ? {} : { code: errnoOf(error) }) });
    told.add(path);
    return undefined;
  }
}
