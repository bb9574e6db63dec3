// Manifests and indexes from bytes that a registry sent or an archive held; image configs stand in parse-config.ts.
import { isDigest } from './digest.ts';
import { MEDIA, type Compression, type Descriptor, type Index, type Manifest, type Platform } from './manifest.ts';
import { asArray, asObject, optionalObject, optionalString, optionalStringMap, parseJsonObject, requiredString, type JsonObject } from './shape.ts';
import { invalid } from '../lib/errors.ts';

export { parseImageConfig } from './parse-config.ts';

/** Docker's own store stops at 127 layers; whoever writes more than this writes an attack. */
export const MAX_LAYERS = 4096;
export const MAX_INDEX_ENTRIES = 4096;
/** 1 TiB: more than any device can store, and far from the end of exact numbers. */
export const MAX_BLOB_BYTES = 2 ** 40;

export type ManifestOrIndex = { kind: 'manifest'; manifest: Manifest } | { kind: 'index'; index: Index };

/** Media types of manifests and indexes, for an Accept header, most wanted first. */
export const MANIFEST_TYPES: readonly string[] = [MEDIA.dockerManifest, MEDIA.dockerList, MEDIA.ociManifest, MEDIA.ociIndex];

const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1(\+prettyjws|\+json)?$/;
/** What servers say that know nothing about the content; then the content has to know. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['', 'application/json', 'application/octet-stream', 'text/plain', 'text/html']);
const CONFIG_TYPES: ReadonlySet<string> = new Set([MEDIA.dockerConfig, MEDIA.ociConfig, 'application/octet-stream']);
const COMPRESSION: ReadonlyMap<string, Compression> = new Map([
  [MEDIA.dockerLayer, 'none'], [MEDIA.ociLayer, 'none'],
  [MEDIA.dockerLayerGzip, 'gzip'], [MEDIA.ociLayerGzip, 'gzip'],
  [MEDIA.dockerLayerZstd, 'zstd'], [MEDIA.ociLayerZstd, 'zstd'],
]);
const FOREIGN = /foreign|nondistributable/;

/** Reads either form; `mediaTypeHint` is the Content-Type it came with, or ''. */
export function parseManifestOrIndex(bytes: Uint8Array, mediaTypeHint: string): ManifestOrIndex {
  const json = parseJsonObject(bytes, 'manifest');
  const mediaType = mediaTypeOf(json, mediaTypeHint);
  switch (mediaType) {
    case MEDIA.dockerManifest: case MEDIA.ociManifest: return { kind: 'manifest', manifest: manifestFrom(json, mediaType) };
    case MEDIA.dockerList: case MEDIA.ociIndex: return { kind: 'index', index: indexFrom(json, mediaType) };
    default: throw invalid(`unsupported manifest media type ${JSON.stringify(mediaType)}; supported are ${MANIFEST_TYPES.join(', ')}`);
  }
}

/** Reads a manifest; refuses an index, and layers or configs that are not an image's. */
export function parseManifest(bytes: Uint8Array, mediaTypeHint: string): Manifest {
  const parsed = parseManifestOrIndex(bytes, mediaTypeHint);
  if (parsed.kind !== 'manifest') throw invalid(`a manifest is needed, an index (${parsed.index.mediaType}) is there`);
  return parsed.manifest;
}

export function parseIndex(bytes: Uint8Array, mediaTypeHint: string): Index {
  const parsed = parseManifestOrIndex(bytes, mediaTypeHint);
  if (parsed.kind !== 'index') throw invalid(`an index is needed, a manifest (${parsed.manifest.mediaType}) is there`);
  return parsed.index;
}

/** How the bytes of a layer are packed, or invalid with what is supported. */
export function compressionOf(mediaType: string): Compression {
  const compression = COMPRESSION.get(mediaType);
  if (compression !== undefined) return compression;
  if (FOREIGN.test(mediaType)) {
    throw invalid(`foreign layers (${mediaType}) are not supported: their bytes are not in the registry, and only Windows images have them`);
  }
  throw invalid(`unsupported layer media type ${JSON.stringify(mediaType)}; supported are ${[...COMPRESSION.keys()].join(', ')}`);
}

/** `type/subtype` of a Content-Type without its parameters, in lower case. */
export const bareMediaType = (contentType: string): string => (contentType.split(';')[0] ?? '').trim().toLowerCase();

/**
 * What the bytes are. When header and content disagree the bytes mean two things at once, which has been used to show one
 * image to a scanner and another one to the engine; so they are refused.
 */
function mediaTypeOf(json: JsonObject, hint: string): string {
  const told = bareMediaType(hint);
  const own = optionalString(json['mediaType'], 'manifest.mediaType');
  if (SCHEMA1.test(told) || SCHEMA1.test(own) || json['schemaVersion'] === 1) {
    throw invalid('manifest schema 1 is not supported; push the image again with a current tool');
  }
  if (json['schemaVersion'] !== 2) throw invalid(`manifest: unsupported schemaVersion ${JSON.stringify(json['schemaVersion'])}, only 2 is supported`);
  if (!SAYS_NOTHING.has(told) && own !== '' && told !== own) {
    throw invalid(`manifest: the server calls it ${JSON.stringify(told)}, it calls itself ${JSON.stringify(own)}`);
  }
  const looksLikeIndex = json['manifests'] !== undefined;
  const looksLikeManifest = json['layers'] !== undefined || json['config'] !== undefined;
  if (looksLikeIndex && looksLikeManifest) throw invalid('manifest: it has the fields of a manifest and of an index');
  if (own !== '') return own;
  if (!SAYS_NOTHING.has(told)) return told;
  return looksLikeIndex ? MEDIA.ociIndex : MEDIA.ociManifest;
}

function manifestFrom(json: JsonObject, mediaType: string): Manifest {
  const config = descriptorFrom(json['config'], 'manifest.config');
  if (!CONFIG_TYPES.has(config.mediaType)) {
    throw invalid(`not a container image: its config is ${JSON.stringify(config.mediaType)}; supported are ${[...CONFIG_TYPES].join(', ')}`);
  }
  const layers = asArray(json['layers'], 'manifest.layers', MAX_LAYERS).map((entry, i) => descriptorFrom(entry, `manifest.layers[${i}]`));
  for (const layer of layers) compressionOf(layer.mediaType);
  const annotations = optionalStringMap(json['annotations'], 'manifest.annotations');
  return { mediaType, config, layers, ...(annotations ? { annotations } : {}) };
}

function indexFrom(json: JsonObject, mediaType: string): Index {
  const entries = asArray(json['manifests'] ?? [], 'index.manifests', MAX_INDEX_ENTRIES);
  return { mediaType, manifests: entries.map((entry, i) => descriptorFrom(entry, `index.manifests[${i}]`)) };
}

/** Reads one descriptor; `where` opens every message about it. */
export function descriptorFrom(value: unknown, where: string): Descriptor {
  const json = asObject(value, where);
  const digest = requiredString(json['digest'], `${where}.digest`);
  if (!isDigest(digest)) throw invalid(`${where}.digest: ${JSON.stringify(digest.slice(0, 200))} is not sha256 and 64 hex digits`);
  const size = json['size'];
  if (typeof size !== 'number' || !Number.isInteger(size) || size < 0 || size > MAX_BLOB_BYTES) {
    throw invalid(`${where}.size: a number of bytes from 0 to ${MAX_BLOB_BYTES} is needed`);
  }
  const platform = optionalObject(json['platform'], `${where}.platform`);
  const annotations = optionalStringMap(json['annotations'], `${where}.annotations`);
  return {
    mediaType: requiredString(json['mediaType'], `${where}.mediaType`), digest, size,
    ...(platform ? { platform: platformFrom(platform, `${where}.platform`) } : {}),
    ...(annotations ? { annotations } : {}),
  };
}

function platformFrom(json: JsonObject, where: string): Platform {
  const variant = optionalString(json['variant'], `${where}.variant`);
  const osVersion = optionalString(json['os.version'], `${where}.os.version`);
  return {
    os: optionalString(json['os'], `${where}.os`), architecture: optionalString(json['architecture'], `${where}.architecture`),
    ...(variant === '' ? {} : { variant }), ...(osVersion === '' ? {} : { osVersion }),
  };
}
