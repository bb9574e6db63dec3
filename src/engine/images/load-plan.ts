// What an archive says it holds: its images with their configs, the files of their layers and their names, before anything is made of them.
import { EngineError, invalid } from '../../lib/errors.ts';
import { archivePath, assertOciLayout, blobPath, INDEX_FILE, MANIFEST_FILE, nameInIndex, OCI_LAYOUT_FILE, parseArchiveManifest, REPOSITORIES_FILE } from '../../oci/archive-layout.ts';
import { digestOf, parseImageId, type ImageId } from '../../oci/digest.ts';
import type { Descriptor, ImageConfig, Platform } from '../../oci/manifest.ts';
import { parseImageConfig, parseManifestOrIndex } from '../../oci/parse-manifest.ts';
import { choosePlatform, formatPlatform } from '../../oci/platform.ts';
import { familiarString, parseReference } from '../../oci/reference.ts';
import type { Parts } from './load-parts.ts';

export interface Archived {
  config: ImageConfig;
  /** Where each layer stands in the archive, bottom first; as many as the config has. */
  layers: readonly string[];
  /** Familiar, with tags. */
  names: readonly string[];
  /** The image it was built from, where the archive has that too. */
  parent: ImageId | undefined;
}

/** An index names an index, and that one manifests. */
const MAX_INDEX_DEPTH = 3;

/** Errors: invalid, mostly in Docker's words. */
export function readPlan(parts: Pick<Parts, 'bytes' | 'has'>, platform: Platform): Archived[] {
  if (parts.has(MANIFEST_FILE)) return fromManifest(parts);
  if (parts.has(INDEX_FILE)) return fromIndex(parts, platform);
  throw invalid(parts.has(REPOSITORIES_FILE)
    ? 'the archive is of the format before Docker 1.10, which is not supported: load it with an older engine, and save it there again'
    : `no ${MANIFEST_FILE} and no ${INDEX_FILE}: this is no archive of images. A file system as a tar is no image`);
}

function fromManifest(parts: Pick<Parts, 'bytes' | 'has'>): Archived[] {
  const images = parseArchiveManifest(parts.bytes(MANIFEST_FILE)).map((item) => ({ ...checked(parseImageConfig(parts.bytes(item.config)), item.layers), names: item.repoTags.map(taggedName), parentText: item.parent }));
  const ids = new Set<string>(images.map(({ config }) => config.id));
  return images.map(({ parentText, ...image }) => ({ ...image, parent: parentText !== undefined && ids.has(parentText) ? parseImageId(parentText) : undefined }));
}

/** OCI's layout: each entry of the index is an image, or another index to choose from by platform. Blobs are held to their digests. */
function fromIndex(parts: Pick<Parts, 'bytes' | 'has'>, platform: Platform): Archived[] {
  if (parts.has(OCI_LAYOUT_FILE)) assertOciLayout(parts.bytes(OCI_LAYOUT_FILE));
  const top = parseManifestOrIndex(parts.bytes(INDEX_FILE), '');
  if (top.kind !== 'index') throw invalid(`${INDEX_FILE}: an index is needed, a manifest is there`);
  const images = new Map<string, Archived>();
  // Tools write an entry for each name; those of attestations and of other platforms stand beside them.
  const usable = top.index.manifests.filter((entry) => entry.platform?.os !== 'unknown');
  for (const entry of usable) {
    const manifest = manifestOf(parts, entry, { platform, depth: 1 });
    const config = parseImageConfig(blobOf(parts, manifest.config));
    const name = nameInIndex(entry.annotations);
    const image = checked(config, manifest.layers.map(({ digest }) => blobPath(digest)));
    const known = images.get(config.id);
    images.set(config.id, { ...image, names: [...known?.names ?? [], ...name === undefined ? [] : [taggedName(name)]], parent: undefined });
  }
  return [...images.values()];
}

function manifestOf(parts: Pick<Parts, 'bytes'>, descriptor: Descriptor, { platform, depth }: { platform: Platform; depth: number }) {
  const parsed = parseManifestOrIndex(blobOf(parts, descriptor), descriptor.mediaType);
  if (parsed.kind === 'manifest') return parsed.manifest;
  if (depth >= MAX_INDEX_DEPTH) throw invalid(`index ${descriptor.digest}: indexes lie more than ${MAX_INDEX_DEPTH} deep`);
  const chosen = choosePlatform(parsed.index, platform);
  if (chosen === undefined) throw invalid(`index ${descriptor.digest}: no image for ${formatPlatform(platform)} in it`);
  return manifestOf(parts, chosen, { platform, depth: depth + 1 });
}

function blobOf(parts: Pick<Parts, 'bytes'>, { digest }: Descriptor): Buffer {
  const bytes = parts.bytes(blobPath(digest));
  if (digestOf(bytes) !== digest) throw new EngineError('corrupt', `blob ${digest}: its content hashes to ${digestOf(bytes)}`);
  return bytes;
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
