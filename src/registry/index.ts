// The registry client's face: a reference becomes a descriptor, a descriptor becomes verified bytes.
import type { Descriptor, Platform } from '../oci/manifest.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { Referrer } from '../oci/referrers.ts';
import type { RegistryAuth } from '../wire/types.ts';

export interface RegistryConfig {
  /** Hosts or CIDRs that may be spoken to over plain HTTP or with unverified certificates; loopback always may. */
  insecureRegistries: readonly string[];
  /** Mirrors for names of docker.io, tried in order before the hub itself. URLs. */
  registryMirrors: readonly string[];
  /** Folder of per-host TLS material: HOST/ca.crt, client.cert, client.key. */
  certsDir: string;
  userAgent: string;
  /** http_proxy, https_proxy, no_proxy, in either case. */
  proxy: { http?: string; https?: string; no?: string };
  limits: RegistryLimits;
}

export interface RegistryLimits {
  /** Largest manifest or index that is read. */
  manifestBytes: number;
  /** Largest image config that is read. */
  configBytes: number;
  /** Attempts without a single new byte before a transfer fails; any progress starts the count anew. */
  attempts: number;
  /** First wait between attempts; doubles up to retryMaxMs. */
  retryBaseMs: number;
  retryMaxMs: number;
  /** Attempts at uploading one blob; each begins anew. Read for each, so that it may change meanwhile. */
  readonly uploadAttempts: number;
  /** No byte for so long: the connection counts as dead and is made anew. */
  stallMs: number;
  /** The same once the last byte of an upload is sent: storage behind a registry may copy it then. */
  commitMs: number;
  connectMs: number;
}

export const DEFAULT_REGISTRY_LIMITS: RegistryLimits = {
  manifestBytes: 4 << 20, configBytes: 4 << 20, attempts: 5, retryBaseMs: 1000, retryMaxMs: 30_000, uploadAttempts: 5, stallMs: 60_000, commitMs: 600_000, connectMs: 30_000,
};

/** One image as a registry describes it. */
export interface Resolved {
  /** Descriptor of what the reference itself names: a manifest, or an index. Its digest is what `RepoDigests` shows. */
  top: Descriptor;
  /** The manifest for the wanted platform: the same as `top` when that is no index. */
  manifest: Descriptor;
  config: Descriptor;
  layers: readonly Descriptor[];
  annotations: Readonly<Record<string, string>>;
}

export interface RegistryCall {
  auth: RegistryAuth | undefined;
  signal?: AbortSignal | undefined;
}

export interface BlobCall extends RegistryCall {
  /** Told before each wait, so that a person sees why nothing moves. */
  onRetry?(info: { attempt: number; waitMs: number; error: Error }): void;
}

/** What a push needs of a registry; all of it asks for the right to push where a challenge names a scope. */
export interface RegistryPush {
  /** How many bytes the repository has of the blob; undefined when it has none. */
  blobSize(reference: Reference, digest: Digest, call: RegistryCall): Promise<number | undefined>;
  /** Takes a blob over from another repository of the same registry (`NAME` as in Reference.path); false when the registry would rather have it uploaded. */
  mountBlob(reference: Reference, digest: Digest, call: RegistryCall & { from: string }): Promise<boolean>;
  /**
   * Uploads what `open` gives, which is called anew for each attempt and must give the same bytes. The digest may be unknown before the last byte.
   * Resolves with what the registry has now.
   */
  upload(reference: Reference, open: () => AsyncIterable<Uint8Array>, call: BlobCall & { digest?: Digest | undefined; sizeBytes?: number | undefined; onProgress?(sentBytes: number): void }): Promise<{ digest: Digest; size: number }>;
  /** Puts a manifest or index under `at` (a tag or its own digest). `subjectTaken`: the registry keeps the list of referrers itself. */
  putManifest(reference: Reference, what: { at: string; mediaType: string; bytes: Uint8Array }, call: RegistryCall): Promise<{ digest: Digest; subjectTaken: boolean }>;
}

/** Artifacts that refer to a manifest, by the referrers API or where that is missing by the fallback tag (`sha256-HEX`) of OCI distribution 1.1. */
export interface RegistryReferrers {
  /** Those of one type; [] when there are none or the registry knows no such thing. Errors only for what would fail a pull too (unauthorized, unavailable …). */
  referrers(reference: Reference, subject: Digest, call: RegistryCall & { artifactType: string }): Promise<Referrer[]>;
  /** The bytes of a manifest named by digest, held to it and to limits.manifestBytes. */
  manifestBytes(reference: Reference, want: Descriptor, call: RegistryCall): Promise<Uint8Array>;
  /**
   * Pushes an artifact manifest that has a `subject`, and lists it under the fallback tag where the registry does not list it itself; there it
   * takes the place of an older one of its type that has the same values for the annotations named in `sameBy`.
   */
  putReferrer(reference: Reference, what: ReferrerPut, call: RegistryCall): Promise<{ digest: Digest }>;
}

export interface ReferrerPut {
  subject: Digest;
  mediaType: string;
  artifactType: string;
  bytes: Uint8Array;
  annotations: Readonly<Record<string, string>>;
  sameBy: readonly string[];
}

export interface Registry extends RegistryPush, RegistryReferrers {
  /**
   * Reads the manifest that `reference` names (an index is followed to the manifest that fits `platform` best).
   * Errors: not-found (manifest unknown), unauthorized, forbidden, invalid (media type, platform), unavailable, corrupt.
   */
  resolve(reference: Reference, call: RegistryCall & { platform: Platform }): Promise<Resolved>;
  /** The verbatim bytes of a config blob, held to digest, size and limits.configBytes. */
  config(reference: Reference, want: Descriptor, call: RegistryCall): Promise<Uint8Array>;
  /**
   * The bytes of a blob as they arrive, in chunks of any size. Connections that break are made anew from where they broke;
   * nothing that was received is fetched again as long as the server honours Range. Throws `corrupt`, at the latest after
   * the last byte, when digest or size are not as promised; 401, 403 and 404 fail at once.
   */
  blob(reference: Reference, want: Descriptor, call: BlobCall): AsyncIterable<Uint8Array>;
  /** The tags of a repository, in the registry's order. */
  tags(reference: Reference, call: RegistryCall): Promise<string[]>;
  /** Tries credentials against a registry (POST /auth). Returns the identity token, or ''. Rejects with unauthorized. */
  login(auth: RegistryAuth, call: { signal?: AbortSignal | undefined }): Promise<string>;
  /** The descriptor of what a reference names and the platforms it offers (GET /distribution/NAME/json). */
  inspect(reference: Reference, call: RegistryCall): Promise<{ top: Descriptor; platforms: readonly Platform[] }>;
  /** Bytes received from registries since the start, bodies only: what `quickstart` and the tests report. */
  readonly bytesReceived: number;
  close(): Promise<void>;
}

export type { Digest, Referrer };
export { isConnectionLost } from './errors.ts';
export { openRegistry } from './registry.ts';
