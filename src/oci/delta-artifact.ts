// How our deltas stand in a registry: an OCI artifact that refers to its target's manifest, and what it says of itself before it is fetched.
import { corrupt, kindOf, messageOf } from '../lib/errors.ts';
import { digestOf, isDigest, type Digest, type DiffId, type ImageId } from './digest.ts';
import { MEDIA, type Descriptor } from './manifest.ts';
import { MAX_BLOB_BYTES, MAX_LAYERS, descriptorFrom } from './parse-manifest.ts';
import { asArray, optionalStringMap, parseJsonObject } from './shape.ts';

/** `artifactType` of the manifest. */
export const DELTA_ARTIFACT_TYPE = 'application/vnd.vaquita.delta.v1';
/** Of each of its layers: a delta of one layer of the target (docs/delta-format.md). */
export const DELTA_LAYER_TYPE = 'application/vnd.vaquita.delta.layer.v1';

/** Annotations of the manifest, and of its descriptor in a list of referrers. */
export const DELTA_ANNOTATIONS = {
  /** Image ID of the base. */
  base: 'vaquita.delta.base',
  /** Image ID of the target. */
  target: 'vaquita.delta.target',
  /** Sum of the sizes of the layers, decimal. */
  bytes: 'vaquita.delta.bytes',
  /** Digest of the base's manifest, when it is known. */
  baseManifest: 'vaquita.delta.base-manifest',
  created: 'org.opencontainers.image.created',
} as const;

/** Annotations of its layers. */
export const DELTA_LAYER_ANNOTATIONS = {
  /** diffID of the layer that the delta makes. */
  diffId: 'vaquita.delta.diff-id',
  /** diffIDs of the layers that it reads, comma separated; '' when it reads none. */
  sources: 'vaquita.delta.sources',
  /** Length of the tar that it makes, decimal. */
  targetBytes: 'vaquita.delta.target-bytes',
} as const;

/** What stands where an artifact has nothing to say. Source: OCI image spec, manifest.md, "Guidance for an Empty Descriptor". */
export const EMPTY_BLOB: Uint8Array = Buffer.from('{}');
export const EMPTY_DESCRIPTOR: Descriptor = { mediaType: MEDIA.ociEmpty, digest: digestOf(EMPTY_BLOB), size: EMPTY_BLOB.length };

/** What a list of referrers tells of a delta. */
export interface DeltaOffer {
  base: ImageId;
  target: ImageId;
  bytes: number;
  baseManifest: Digest | undefined;
  /** As it stands there; ''. */
  created: string;
}

/** The delta of one layer. */
export interface DeltaArtifactLayer {
  /** Of the blob in the registry. */
  digest: Digest;
  size: number;
  diffId: DiffId;
  sources: readonly DiffId[];
  targetBytes: number;
}

export interface DeltaArtifact extends Omit<DeltaOffer, 'bytes'> {
  /** The target's manifest. */
  subject: Descriptor;
  /** Those of the target that the base has not, bottom first; [] when only the image configs differ. */
  layers: readonly DeltaArtifactLayer[];
}

/** The manifest, the same bytes for the same artifact, and the annotations that it is listed with. */
export function buildDeltaArtifact(artifact: DeltaArtifact): { bytes: Uint8Array; annotations: Readonly<Record<string, string>> } {
  const { base, target, baseManifest, created, subject } = artifact;
  const annotations = {
    [DELTA_ANNOTATIONS.created]: created,
    [DELTA_ANNOTATIONS.base]: base,
    ...(baseManifest === undefined ? {} : { [DELTA_ANNOTATIONS.baseManifest]: baseManifest }),
    [DELTA_ANNOTATIONS.bytes]: String(sizeOf(artifact.layers)),
    [DELTA_ANNOTATIONS.target]: target,
  };
  const layers = artifact.layers.map(({ digest, size, diffId, sources, targetBytes }) => ({
    mediaType: DELTA_LAYER_TYPE, digest, size,
    annotations: { [DELTA_LAYER_ANNOTATIONS.diffId]: diffId, [DELTA_LAYER_ANNOTATIONS.sources]: sources.join(','), [DELTA_LAYER_ANNOTATIONS.targetBytes]: String(targetBytes) },
  }));
  const manifest = {
    schemaVersion: 2, mediaType: MEDIA.ociManifest, artifactType: DELTA_ARTIFACT_TYPE, config: plain(EMPTY_DESCRIPTOR),
    layers: layers.length > 0 ? layers : [plain(EMPTY_DESCRIPTOR)], subject: plain(subject), annotations,
  };
  return { bytes: Buffer.from(JSON.stringify(manifest)), annotations };
}

/** Reads such a manifest. Error: corrupt, for whatever is not as we write it. */
export function parseDeltaArtifact(bytes: Uint8Array): DeltaArtifact {
  try {
    return artifactFrom(bytes);
  } catch (error) {
    if (kindOf(error) === 'corrupt') throw error;
    throw corrupt(`delta artifact: ${messageOf(error)}`, { cause: error });
  }
}

/** What the annotations of a referrer tell; undefined when they are not those of a delta of ours. */
export function parseDeltaReferrer(annotations: Readonly<Record<string, string>>): DeltaOffer | undefined {
  const at = (name: string) => (Object.hasOwn(annotations, name) ? annotations[name] ?? '' : '');
  const [base, target, baseManifest] = [at(DELTA_ANNOTATIONS.base), at(DELTA_ANNOTATIONS.target), at(DELTA_ANNOTATIONS.baseManifest)];
  const bytes = bytesIn(at(DELTA_ANNOTATIONS.bytes));
  if (!isDigest(base) || !isDigest(target) || bytes === undefined || (baseManifest !== '' && !isDigest(baseManifest))) return undefined;
  return {
    base: base as string as ImageId, target: target as string as ImageId, bytes,
    baseManifest: isDigest(baseManifest) ? baseManifest : undefined, created: at(DELTA_ANNOTATIONS.created),
  };
}

function artifactFrom(bytes: Uint8Array): DeltaArtifact {
  const json = parseJsonObject(bytes, 'manifest');
  if (json['schemaVersion'] !== 2 || json['mediaType'] !== MEDIA.ociManifest || json['artifactType'] !== DELTA_ARTIFACT_TYPE) {
    throw corrupt(`delta artifact: it is no ${DELTA_ARTIFACT_TYPE}`);
  }
  const offer = parseDeltaReferrer(optionalStringMap(json['annotations'], 'manifest.annotations') ?? {});
  if (!offer) throw corrupt('delta artifact: its annotations do not name base, target and size');
  const config = descriptorFrom(json['config'], 'manifest.config');
  if (config.digest !== EMPTY_DESCRIPTOR.digest || config.size !== EMPTY_DESCRIPTOR.size) throw corrupt('delta artifact: its config is not the empty one');
  const descriptors = asArray(json['layers'], 'manifest.layers', MAX_LAYERS).map((entry, i) => descriptorFrom(entry, `manifest.layers[${i}]`));
  const isBare = descriptors.length === 1 && descriptors[0]?.mediaType === MEDIA.ociEmpty;
  const layers = isBare ? [] : descriptors.map((descriptor, i) => layerFrom(descriptor, `layer ${i}`));
  const { bytes: promised, ...rest } = offer;
  if (promised !== sizeOf(layers)) throw corrupt(`delta artifact: it promises ${promised} bytes, its layers have ${sizeOf(layers)}`);
  return { ...rest, subject: descriptorFrom(json['subject'], 'manifest.subject'), layers };
}

function layerFrom({ mediaType, digest, size, annotations = {} }: Descriptor, where: string): DeltaArtifactLayer {
  if (mediaType !== DELTA_LAYER_TYPE) throw corrupt(`delta artifact: ${where} is ${JSON.stringify(mediaType)}, no ${DELTA_LAYER_TYPE}`);
  const at = (name: string) => (Object.hasOwn(annotations, name) ? annotations[name] : undefined);
  const [diffId, sources, targetBytes] = [at(DELTA_LAYER_ANNOTATIONS.diffId) ?? '', at(DELTA_LAYER_ANNOTATIONS.sources), bytesIn(at(DELTA_LAYER_ANNOTATIONS.targetBytes) ?? '')];
  const ids = sources === undefined || sources === '' ? [] : sources.split(',');
  const isWhole = isDigest(diffId) && sources !== undefined && targetBytes !== undefined && ids.length <= MAX_LAYERS && ids.every(isDigest) && new Set(ids).size === ids.length; // each is read, and verified where something is wrong
  if (!isWhole) throw corrupt(`delta artifact: ${where} does not say which layer it makes of which`);
  return { digest, size, diffId: diffId as string as DiffId, sources: ids as string[] as DiffId[], targetBytes };
}

/** Of a decimal number as we write it; undefined for anything else, and for more than a blob can have. */
function bytesIn(text: string): number | undefined {
  const value = /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : Infinity;
  return value <= MAX_BLOB_BYTES ? value : undefined;
}

const sizeOf = (layers: readonly DeltaArtifactLayer[]): number => layers.reduce((sum, { size }) => sum + size, 0);

const plain = ({ mediaType, digest, size }: Descriptor) => ({ mediaType, digest, size });
