// Descriptors, manifests, indexes and image configs: the types; parsers stand in parse-manifest.ts.
import type { Digest, DiffId, ImageId } from './digest.ts';

/** Source: OCI image spec, media-types.md; Docker image manifest v2 schema 2. */
export const MEDIA = {
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeign: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
} as const;

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
  osVersion?: string;
}

/** A promise about bytes that are somewhere else. */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  platform?: Platform;
  annotations?: Readonly<Record<string, string>>;
}

export interface Manifest {
  mediaType: string;
  config: Descriptor;
  layers: readonly Descriptor[];
  annotations?: Readonly<Record<string, string>>;
}

export interface Index {
  mediaType: string;
  manifests: readonly Descriptor[];
}

/** How a layer's bytes are packed. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** What of an image config the engine reads; the bytes themselves are kept verbatim. */
export interface ImageConfig {
  id: ImageId;
  architecture: string;
  variant: string;
  os: string;
  osVersion: string;
  author: string;
  comment: string;
  /** RFC 3339, or '' where the config has none. */
  created: string;
  container: string;
  dockerVersion: string;
  config: ImageRunConfig;
  diffIds: readonly DiffId[];
  history: readonly HistoryEntry[];
  /** The verbatim JSON. */
  bytes: Uint8Array;
}

export interface HistoryEntry {
  created: string;
  createdBy: string;
  author: string;
  comment: string;
  emptyLayer: boolean;
}

/** `config` of an image config, each absent field as its zero value. */
export interface ImageRunConfig {
  User: string;
  Env: string[];
  Entrypoint: string[] | null;
  Cmd: string[] | null;
  ArgsEscaped: boolean;
  WorkingDir: string;
  ExposedPorts: Record<string, Record<string, never>> | null;
  Volumes: Record<string, Record<string, never>> | null;
  Labels: Record<string, string> | null;
  StopSignal: string;
  StopTimeout: number | null;
  Healthcheck: { Test?: string[]; Interval?: number; Timeout?: number; StartPeriod?: number; StartInterval?: number; Retries?: number } | null;
  OnBuild: string[] | null;
  Shell: string[] | null;
  /** The object as it stands in the config, with fields unknown to us, for inspect. */
  raw: Readonly<Record<string, unknown>>;
}
