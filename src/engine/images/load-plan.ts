// What an archive says it holds: its images with their configs, the files of their layers and their names, before anything is made of them.
import { EngineError, invalid } from '../../lib/errors.ts';
import { archivePath, assertOciLayout, blobPath, INDEX_FILE, MANIFEST_FILE, nameInIndex, OCI_LAYOUT_FILE, parseArchiveManifest, REPOSITORIES_FILE } from '../../oci/archive-layout.ts';
import { digestOf, parseImageId, type Digest, type ImageId } from '../../oci/digest.ts';
import type { Descriptor, ImageConfig, Platform } from '../../oci/manifest.ts';
import { parseImageConfig, parseManifestOrIndex, type ManifestOrIndex } from '../../oci/parse-manifest.ts';
import { choosePlatform, formatPlatform } from '../../oci/platform.ts';
import { familiarString, parseReference } from '../../oci/reference.ts';
import type { Parts } from './load-parts.ts';

export interface Archived {
  config: ImageConfig;
  /** Where each layer stands in the archive, bottom first; as many as the config has. */
  layers: readonly string[];
  /** Familiar, with tags. */
  names: string[];
  /** The image it was built from, where the archive has that too. */
  parent: ImageId | undefined;
}

/** An index names an index, and that one manifests. */
const MAX_INDEX_DEPTH = 3;

/** An archive may name one description thousands of times: each is read, and hashed, once. */
class Descriptions {
  readonly has: Parts['has'];
  readonly #bytes: Parts['bytes'];
  readonly #configs = new Map<Buffer, ImageConfig>();
  readonly #digests = new Map<Buffer, Digest>();
  readonly #manifests = new Map<Buffer, ManifestOrIndex>();

  constructor(parts: Pick<Parts, 'bytes' | 'has'>) {
    this.has = (path) => parts.has(path);
    this.#bytes = (path) => parts.bytes(path);
  }

  bytes(path: string): Buffer { return this.#bytes(path); }

  config(bytes: Buffer): ImageConfig { return onceOf(this.#configs, bytes, () => parseImageConfig(bytes)); }

  manifest(bytes: Buffer, mediaType: string): ManifestOrIndex { return onceOf(this.#manifests, bytes, () => parseManifestOrIndex(bytes, mediaType)); }

  /** Held to its digest. */
  blob({ digest }: Descriptor): Buffer {
    const bytes = this.bytes(blobPath(digest));
    const found = onceOf(this.#digests, bytes, () => digestOf(bytes));
    if (found !== digest) throw new EngineError('corrupt', `blob ${digest}: its content hashes to ${found}`);
    return bytes;
  }
}

function onceOf<T>(known: Map<Buffer, T>, bytes: Buffer, read: () => T): T {
  const found = known.get(bytes) ?? read();
  known.set(bytes, found);
  return found;
}

/** Errors: invalid, mostly in Docker's words. */
export function readPlan(from: Pick<Parts, 'bytes' | 'has'>, platform: Platform): Archived[] {
  const parts = new Descriptions(from);
  if (parts.has(MANIFEST_FILE)) return fromManifest(parts);
  if (parts.has(INDEX_FILE)) return fromIndex(parts, platform);
  throw invalid(parts.has(REPOSITORIES_FILE)
    ? 'the archive is of the format before Docker 1.10, which is not supported: load it with an older engine, and save it there again'
    : `no ${MANIFEST_FILE} and no ${INDEX_FILE}: this is no archive of images. A file system as a tar is no image`);
}

/** What stands there twice is one image with the names of both. */
function fromManifest(parts: Descriptions): Archived[] {
  const images = new Map<ImageId, Archived & { parentText: string | undefined }>();
  for (const item of parseArchiveManifest(parts.bytes(MANIFEST_FILE))) {
    const image = checked(parts.config(parts.bytes(item.config)), item.layers);
    const [known, names] = [images.get(image.config.id), item.repoTags.map(taggedName)];
    if (known) known.names.push(...names);
    else images.set(image.config.id, { ...image, names, parent: undefined, parentText: item.parent });
  }
  const ids: ReadonlySet<string> = new Set(images.keys());
  return [...images.values()].map(({ parentText, ...image }) => ({ ...image, parent: parentText !== undefined && ids.has(parentText) ? parseImageId(parentText) : undefined }));
}

/** OCI's layout: each entry of the index is an image, or another index to choose from by platform. Blobs are held to their digests. */
function fromIndex(parts: Descriptions, platform: Platform): Archived[] {
  if (parts.has(OCI_LAYOUT_FILE)) assertOciLayout(parts.bytes(OCI_LAYOUT_FILE));
  const top = parseManifestOrIndex(parts.bytes(INDEX_FILE), '');
  if (top.kind !== 'index') throw invalid(`${INDEX_FILE}: an index is needed, a manifest is there`);
  const images = new Map<string, Archived>();
  // Tools write an entry for each name; those of attestations and of other platforms stand beside them.
  const usable = top.index.manifests.filter((entry) => entry.platform?.os !== 'unknown');
  for (const entry of usable) {
    const manifest = manifestOf(parts, entry, { platform, depth: 1 });
    const config = parts.config(parts.blob(manifest.config));
    const name = nameInIndex(entry.annotations);
    const image = checked(config, manifest.layers.map(({ digest }) => blobPath(digest)));
    const [known, names] = [images.get(config.id), name === undefined ? [] : [taggedName(name)]];
    if (known) known.names.push(...names);
    else images.set(config.id, { ...image, names, parent: undefined });
  }
  return [...images.values()];
}

function manifestOf(parts: Descriptions, descriptor: Descriptor, { platform, depth }: { platform: Platform; depth: number }) {
  const parsed = parts.manifest(parts.blob(descriptor), descriptor.mediaType);
  if (parsed.kind === 'manifest') return parsed.manifest;
  if (depth >= MAX_INDEX_DEPTH) throw invalid(`index ${descriptor.digest}: indexes lie more than ${MAX_INDEX_DEPTH} deep`);
  const chosen = choosePlatform(parsed.index, platform);
  if (chosen === undefined) throw invalid(`index ${descriptor.digest}: no image for ${formatPlatform(platform)} in it`);
  return manifestOf(parts, chosen, { platform, depth: depth + 1 });
}

function checked(config: ImageConfig, layers: readonly string[]): Pick<Archived, 'config' | 'layers'> {
  if (config.os !== '' && config.os !== 'linux') throw invalid(`cannot load ${config.os} image on linux`);
  if (layers.length !== config.diffIds.length) throw invalid(`invalid manifest, layers length mismatch: expected ${layers.length}, got ${config.diffIds.length}`);
  return { config, layers: layers.map((path) => archivePath(path) ?? path) };
}

function taggedName(text: string): string {
  const reference = parseReference(text);
  if (reference.tag === undefined || reference.digest !== undefined) throw invalid(`invalid tag ${JSON.stringify(text)}`);
  return familiarString(reference);
}
