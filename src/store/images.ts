// imagedb: image configs by the digest of their bytes, all of them in memory (a few kilobytes each).
import { parseNanos } from '../lib/clock.ts';
import { conflict, invalid, messageOf } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import { chainIds, digestOf, hexOf, parseImageId, type ChainId, type ImageId } from '../oci/digest.ts';
import type { ImageConfig } from '../oci/manifest.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import { replaceFile, STAGED_PREFIX } from './disk.ts';
import type { ImageStore } from './index.ts';
import type { LayerState } from './layer-state.ts';
import { imagePath, isHex64, MODE } from './layout.ts';
import { MAX_RECORD_BYTES, readWord } from './records.ts';
import { passOver, setAside, type Room } from './room.ts';

/** An image and the top of its layers. */
interface Known { config: ImageConfig; top: ChainId | undefined }

export interface OpenedImages {
  store: ImageStore;
  /** Whether there is a config, even one whose layers are missing just now: names of such an image are kept. */
  known: (id: ImageId) => boolean;
  /** Top layers of all configs. */
  roots: () => Iterable<ChainId>;
}

export async function openImages(room: Room, state: LayerState): Promise<OpenedImages> {
  const images = await loadImages(room);
  // Its layers may be missing after damage. The config stays: a pull that brings them back brings the image back.
  const whole = (image: Known | undefined): image is Known => image !== undefined && (image.top === undefined || state.layers.has(image.top));
  for (const [id, image] of images) if (!whole(image)) passOver(room, imagePath(room.at, id), 'hidden, since some of its layers are missing: pull it again');

  const writing = new KeyedLock(); // two pulls of one image finish together, and both have to find it whole
  const store: ImageStore = {
    get(id) {
      const image = images.get(id);
      return whole(image) ? image.config : undefined;
    },
    list: () => [...images.values()].filter(whole).map(({ config }) => config),
    async add(config, options) {
      const image = knownOf(config);
      if (digestOf(config.bytes) as string !== config.id) throw conflict(`image config ${config.id} does not hash to its ID`);
      using _keeps = state.lease(image.top === undefined ? [] : [image.top]);
      using _guard = await writing.hold(config.id);
      if (!whole(image)) throw conflict(`image ${config.id} cannot be recorded before all of its layers are`);
      if (!images.has(config.id)) await replaceFile(room.disk, imagePath(room.at, config.id), { data: config.bytes, mode: MODE.record });
      if (options?.parent !== undefined) await writeMetadata(room, config.id, { name: 'parent', text: options.parent });
      images.set(config.id, image);
    },
    async remove(id) {
      const { disk, at } = room;
      using _guard = await writing.hold(id);
      if (!images.has(id)) return;
      await disk.remove(imagePath(at, id));
      await disk.syncDir(at.imageContent);
      images.delete(id);
      await disk.remove(`${at.imageMetadata}/${hexOf(id)}`); // without its config it says nothing: no need to wait for it
    },
    withPrefix: (hexPrefix) => [...images].filter(([id, image]) => hexOf(id).startsWith(hexPrefix) && whole(image)).map(([id]) => id),
    parentOf: (id) => metadata(room, id, 'parent', parseImageId),
    async tagged(id, time) {
      using _guard = await writing.hold(id);
      if (images.has(id)) await writeMetadata(room, id, { name: 'lastUpdated', text: time });
    },
    lastTagged: (id) => metadata(room, id, 'lastUpdated', parseMoment),
  };
  return { store, known: (id) => images.has(id), *roots() { for (const { top } of images.values()) if (top !== undefined) yield top; } };
}

const knownOf = (config: ImageConfig): Known => ({ config, top: chainIds(config.diffIds).at(-1) });

async function loadImages(room: Room): Promise<Map<ImageId, Known>> {
  const { disk, at } = room;
  const images = new Map<ImageId, Known>();
  for (const name of disk.list(at.imageContent)) {
    if (name.startsWith(STAGED_PREFIX)) {
      await disk.remove(`${at.imageContent}/${name}`);
      room.report.swept.push(`${at.imageContent}/${name}`);
    }
    if (!isHex64(name)) continue;
    const id = parseImageId(`sha256:${name}`);
    const path = imagePath(at, id);
    try {
      const bytes = disk.read(path, MAX_RECORD_BYTES);
      if (bytes === undefined) continue;
      if (digestOf(bytes) as string !== id) await setAside(room, path, bytes.length === 0 ? 'empty file' : 'its bytes do not hash to its name');
      else images.set(id, knownOf(parseImageConfig(bytes)));
    } catch (error) {
      passOver(room, path, messageOf(error)); // the right bytes, but none that we understand, or that cannot be read just now
    }
  }
  return images;
}

function metadata<T>(room: Room, id: ImageId, name: string, parse: (text: string) => T): T | undefined {
  try {
    return readWord(room.disk, `${room.at.imageMetadata}/${hexOf(id)}/${name}`, parse);
  } catch {
    return undefined; // of no consequence: it is only shown
  }
}

async function writeMetadata({ disk, at }: Room, id: ImageId, { name, text }: { name: 'parent' | 'lastUpdated'; text: string }): Promise<void> {
  const directory = `${at.imageMetadata}/${hexOf(id)}`;
  await disk.mkdir(directory, MODE.private);
  await replaceFile(disk, `${directory}/${name}`, { data: text, mode: MODE.record, durable: false });
}

function parseMoment(text: string): string {
  if (parseNanos(text) === undefined) throw invalid(`no time: ${JSON.stringify(text)}`);
  return text;
}
