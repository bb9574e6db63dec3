// Where everything stands under the data root, and with which modes: Docker's layout, plus one directory of our own that it ignores.
import { assert } from '../lib/errors.ts';
import { hexOf, type ChainId, type ImageId } from '../oci/digest.ts';

export const DRIVER = 'overlay2';
export const MODE = { record: 0o600, plain: 0o644, layerDir: 0o710, volume: 0o701, diff: 0o755, private: 0o700 } as const;

export interface Layout {
  root: string;
  overlay: string;
  links: string;
  layers: string;
  mounts: string;
  /** Write-sets: what is not committed yet, or not any more. Everything in it is swept at opening. */
  tmp: string;
  imageContent: string;
  imageMetadata: string;
  repositories: string;
  blobsByDiffId: string;
  diffIdsByBlob: string;
  containers: string;
  volumes: string;
  /** Docker's own database of its networks; never written. */
  dockerNetworks: string;
  /** Ours alone, as all below. */
  networks: string;
  /** Our own deltas, one directory each. */
  deltas: string;
  /** Ours alone: lock, quarantine, and what is being removed. */
  own: string;
  quarantine: string;
  removed: string;
}

export function layoutOf(root: string): Layout {
  const image = `${root}/image/${DRIVER}`;
  const own = `${root}/vaquita`;
  return {
    root,
    overlay: `${root}/overlay2`,
    links: `${root}/overlay2/l`,
    layers: `${image}/layerdb/sha256`,
    mounts: `${image}/layerdb/mounts`,
    tmp: `${image}/layerdb/tmp`,
    imageContent: `${image}/imagedb/content/sha256`,
    imageMetadata: `${image}/imagedb/metadata/sha256`,
    repositories: `${image}/repositories.json`,
    blobsByDiffId: `${image}/distribution/v2metadata-by-diffid/sha256`,
    diffIdsByBlob: `${image}/distribution/diffid-by-digest/sha256`,
    containers: `${root}/containers`,
    volumes: `${root}/volumes`,
    dockerNetworks: `${root}/network/files/local-kv.db`,
    networks: `${own}/networks`,
    deltas: `${own}/deltas`,
    own,
    quarantine: `${own}/quarantine`,
    removed: `${own}/removed`,
  };
}

/** Every directory that opening makes where it is missing, parents first, with the modes that Docker 20.10 gives them. */
export function directoriesOf(root: string): ReadonlyArray<readonly [path: string, mode: number]> {
  const image = `${root}/image/${DRIVER}`;
  return [
    [`${root}/overlay2`, 0o710], [`${root}/overlay2/l`, 0o700],
    [`${root}/image`, 0o700], [image, 0o700],
    [`${image}/layerdb`, 0o700], [`${image}/layerdb/sha256`, 0o755], [`${image}/layerdb/mounts`, 0o755], [`${image}/layerdb/tmp`, 0o755],
    [`${image}/imagedb`, 0o700], [`${image}/imagedb/content`, 0o700], [`${image}/imagedb/content/sha256`, 0o700],
    [`${image}/imagedb/metadata`, 0o700], [`${image}/imagedb/metadata/sha256`, 0o700],
    [`${image}/distribution`, 0o700],
    [`${image}/distribution/v2metadata-by-diffid`, 0o755], [`${image}/distribution/v2metadata-by-diffid/sha256`, 0o755],
    [`${image}/distribution/diffid-by-digest`, 0o755], [`${image}/distribution/diffid-by-digest/sha256`, 0o755],
    [`${root}/containers`, 0o710],
    [`${root}/volumes`, MODE.volume],
    [`${root}/vaquita/quarantine`, 0o700], [`${root}/vaquita/removed`, 0o700], [`${root}/vaquita/networks`, 0o700], [`${root}/vaquita/deltas`, 0o700],
  ];
}

export const layerPath = (at: Layout, chainId: ChainId): string => `${at.layers}/${hexOf(chainId)}`;
export const tarSplitPath = (at: Layout, chainId: ChainId): string => `${layerPath(at, chainId)}/tar-split.json.gz`;
export const imagePath = (at: Layout, id: ImageId): string => `${at.imageContent}/${hexOf(id)}`;
export const diffPath = (at: Layout, cacheId: string): string => `${at.overlay}/${cacheId}/diff`;
export const containerPath = (at: Layout, containerId: string): string => `${at.containers}/${containerId}`;

export const volumePath = (at: Layout, name: string): string => `${at.volumes}/${name}`;

/** Docker's rule for the names of local volumes, of which it demands two characters; a folder of one may be an old one. */
export const isVolumeName = (name: string): boolean => /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name);
export const isHex64 = (name: string): boolean => /^[0-9a-f]{64}$/.test(name);

/** IDs become paths: nothing else gets that far. `what` has it. */
export function checkedId(id: string, what: string): string {
  assert(isHex64(id), `${JSON.stringify(id)} is a ${what} ID`);
  return id;
}
/** A name of a directory in overlay2: Docker's are 64 hex digits, BuildKit's 25 letters and digits; never a path. */
export const isSnapshotId = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/.test(name) && name !== 'l';
export const isLinkId = (name: string): boolean => /^[A-Z0-9]{26}$/.test(name);
