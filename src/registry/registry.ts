// The registry client: finds out whom to ask, asks, and follows manifests to what they promise.
import { Authorizer, type Access } from './auth.ts';
import { Transfer, download } from './blob.ts';
import { RegistryFailure, imageFailure, shownUrl, type Asked } from './errors.ts';
import { at, endpointsOf, type Endpoint } from './hosts.ts';
import { retrying } from './retry.ts';
import { Transport, type Response } from './transport.ts';
import { corrupt, invalid, kindOf, messageOf, notFound } from '../lib/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { digestOf, type Digest } from '../oci/digest.ts';
import type { Descriptor, Platform } from '../oci/manifest.ts';
import { MANIFEST_TYPES, parseImageConfig, parseManifestOrIndex, type ManifestOrIndex } from '../oci/parse-manifest.ts';
import { choosePlatform, formatPlatform } from '../oci/platform.ts';
import { DEFAULT_REGISTRY, DEFAULT_TAG, familiarName, type Reference } from '../oci/reference.ts';
import type { RegistryAuth } from '../wire/types.ts';
import type { BlobCall, Registry, RegistryCall, RegistryConfig, Resolved } from './index.ts';

/** An index may name indexes; one below the other is more than any tool makes. */
const MAX_INDEX_DEPTH = 2;
/** A mirror that could not be reached is left alone for so long, or each layer would wait for it. */
const AVOID_MIRROR_MS = 60_000;
/** A repository with more tags is not pulled as a whole by anyone. */
const MAX_TAGS = 10_000;
/** Finding out whether a registry on the local network speaks HTTPS must not take as long as a connection may. */
const PROBE_MS = 5_000;

export interface RegistryOptions {
  config: RegistryConfig;
  log: Log;
  clock: Clock;
  /** Told of bytes that have arrived, the ones before them being garbage by then. */
  onReceived?: (bytes: number) => void;
}

/** A client for the registries of `config`. Nothing is connected to before the first call. */
export function openRegistry(options: RegistryOptions): Registry {
  return new RegistryClient(options);
}

/** A manifest as it came, and where it came from. */
interface Found { top: Descriptor; content: ManifestOrIndex }
interface Fetch extends RegistryCall { reference: Reference; digest: Digest | undefined }

class RegistryClient implements Registry {
  readonly #config: RegistryConfig;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  /** By host: the scheme that worked. */
  readonly #spoken = new Map<string, URL>();
  readonly #avoidUntilMs = new Map<string, number>();

  constructor({ config, log, clock, onReceived }: RegistryOptions) {
    endpointsOf({ registry: DEFAULT_REGISTRY }, config); // a mirror that is no URL is to be known at the start
    this.#config = config;
    this.#log = log;
    this.#clock = clock;
    this.#transport = new Transport(config, clock, onReceived);
    this.#authorizer = new Authorizer(this.#transport, clock, config.insecureRegistries);
  }

  get bytesReceived(): number { return this.#transport.bytesReceived; }

  async resolve(reference: Reference, call: RegistryCall & { platform: Platform }): Promise<Resolved> {
    const top = await this.#manifest({ ...call, reference, digest: reference.digest });
    let found = top;
    for (let depth = 0; found.content.kind === 'index'; depth++) {
      const fitting = depth < MAX_INDEX_DEPTH ? choosePlatform(found.content.index, call.platform) : undefined;
      if (!fitting) throw notFound(`no matching manifest for ${formatPlatform(call.platform)} in the manifest list entries`);
      found = await this.#manifest({ ...call, reference, digest: fitting.digest });
    }
    const { config, layers, annotations = {} } = found.content.manifest;
    return { top: top.top, manifest: found.top, config, layers, annotations };
  }

  async config(reference: Reference, want: Descriptor, call: RegistryCall): Promise<Uint8Array> {
    const { configBytes } = this.#config.limits;
    if (want.size > configBytes) throw invalid(`image config ${want.digest}: ${want.size} bytes, at most ${configBytes} are read`);
    const parts: Uint8Array[] = [];
    for await (const chunk of this.blob(reference, want, call)) parts.push(chunk);
    return Buffer.concat(parts);
  }

  async *blob(reference: Reference, want: Descriptor, call: BlobCall): AsyncGenerator<Uint8Array, void> {
    call.signal?.throwIfAborted();
    const transfer = new Transfer(want);
    const notes: string[] = [];
    for (const endpoint of this.#endpoints(reference)) {
      transfer.isRangeRefused = false;
      const asked: Asked = { reference, what: 'blob', digest: want.digest, auth: endpoint.isMirror ? undefined : call.auth };
      const source = {
        open: (offset: number) => this.#openBlob(endpoint, asked, { offset, signal: call.signal }),
        chunks: (response: Response) => this.#transport.chunks(response, call.signal),
      };
      try {
        return yield* download(transfer, source, { ...call, limits: this.#config.limits, clock: this.#clock, log: this.#log.with({ digest: want.digest }) });
      } catch (error) {
        // Bytes that were handed on cannot be taken back; then only the caller can start anew, and the next server is asked.
        const isSpoilt = kindOf(error) === 'corrupt' && transfer.received > 0;
        this.#passOver(endpoint, error, { notes, isFinal: isSpoilt });
      }
    }
  }

  async login(auth: RegistryAuth, call: { signal?: AbortSignal | undefined }): Promise<string> {
    const registry = registryOf(auth.serveraddress ?? '');
    const endpoint = endpointsOf({ registry }, this.#config).at(-1);
    if (!endpoint) throw invalid(`invalid registry ${JSON.stringify(registry)}`);
    return await this.#overAnyScheme(endpoint, (base) => retrying(() => this.#authorizer.login(base, auth, call.signal), this.#patience(call.signal)));
  }

  async inspect(reference: Reference, call: RegistryCall): Promise<{ top: Descriptor; platforms: readonly Platform[] }> {
    const { top, content } = await this.#manifest({ ...call, reference, digest: reference.digest });
    if (content.kind === 'index') return { top, platforms: content.index.manifests.flatMap(({ platform }) => (platform ? [platform] : [])) };
    const { os, architecture, variant, osVersion } = parseImageConfig(await this.config(reference, content.manifest.config, call));
    return { top, platforms: [{ os, architecture, ...(variant === '' ? {} : { variant }), ...(osVersion === '' ? {} : { osVersion }) }] };
  }

  async tags(reference: Reference, call: RegistryCall): Promise<string[]> {
    call.signal?.throwIfAborted();
    const notes: string[] = [];
    for (const endpoint of this.#endpoints(reference)) {
      const auth = endpoint.isMirror ? undefined : call.auth;
      try {
        return await this.#overAnyScheme(endpoint, (base) => retrying(() => this.#tagsFrom({ ...call, auth, reference }, base), this.#patience(call.signal)));
      } catch (error) {
        this.#passOver(endpoint, error, { notes, isFinal: false });
      }
    }
    throw new RegistryFailure('unavailable', `no registry to ask for ${familiarName(reference)}`);
  }

  async close(): Promise<void> {
    this.#transport.close();
  }

  /** Follows the pages of the list. Source: distribution API v2, "Listing Image Tags". */
  async #tagsFrom({ reference, auth, signal }: RegistryCall & { reference: Reference }, base: URL): Promise<string[]> {
    const tags: string[] = [];
    let next: URL | undefined = at(base, `/v2/${reference.path}/tags/list`);
    while (next !== undefined && tags.length < MAX_TAGS) {
      const response: Response = await this.#authorizer.send({ method: 'GET', url: next, headers: { Accept: 'application/json' }, signal }, { base, scope: scopeOf(reference), auth });
      if (response.status !== 200) throw imageFailure(await this.#transport.text(response, signal), { reference, what: 'manifest', auth });
      const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(response.message.headers.link ?? ""))?.[1];
      tags.push(...tagsIn(await this.#transport.bytes(response, { maxBytes: this.#config.limits.manifestBytes, signal })));
      next = link === undefined ? undefined : new URL(link, next);
    }
    return tags;
  }

  /** The manifest or index by digest, or by the reference's tag. */
  async #manifest(fetch: Fetch): Promise<Found> {
    fetch.signal?.throwIfAborted();
    const notes: string[] = [];
    for (const endpoint of this.#endpoints(fetch.reference)) {
      const auth = endpoint.isMirror ? undefined : fetch.auth;
      try {
        return await this.#overAnyScheme(endpoint, (base, connectMs) =>
          retrying(() => this.#manifestFrom({ ...fetch, auth }, base, connectMs), this.#patience(fetch.signal)));
      } catch (error) {
        this.#passOver(endpoint, error, { notes, isFinal: false });
      }
    }
    throw new RegistryFailure('unavailable', `no registry to ask for ${familiarName(fetch.reference)}`);
  }

  async #manifestFrom(fetch: Fetch, base: URL, connectMs: number | undefined): Promise<Found> {
    const { reference, digest, auth, signal } = fetch;
    const url = at(base, `/v2/${reference.path}/manifests/${digest ?? reference.tag ?? DEFAULT_TAG}`);
    const request = { method: 'GET' as const, url, headers: { Accept: MANIFEST_TYPES.join(', ') }, signal, ...(connectMs === undefined ? {} : { connectMs }) };
    const response = await this.#authorizer.send(request, { base, scope: scopeOf(reference), auth });
    if (response.status !== 200) {
      throw imageFailure(await this.#transport.text(response, signal), { reference: digest ? { ...reference, digest } : reference, what: 'manifest', auth });
    }
    const bytes = await this.#transport.bytes(response, { maxBytes: this.#config.limits.manifestBytes, signal });
    const got = digestOf(bytes);
    if (digest !== undefined && got !== digest) throw corrupt(`manifest verification failed for digest ${digest}: content hashes to ${got}`);
    const told = response.message.headers['docker-content-digest'];
    if (told !== undefined && told !== got) this.#log.warn('registry names another digest than its manifest has', { url: shownUrl(url), told: String(told).slice(0, 100), got });
    const content = parseManifestOrIndex(bytes, response.message.headers['content-type'] ?? '');
    const mediaType = content.kind === 'index' ? content.index.mediaType : content.manifest.mediaType;
    return { top: { mediaType, digest: got, size: bytes.length }, content };
  }

  async #openBlob(endpoint: Endpoint, asked: Asked, at_: { offset: number; signal: AbortSignal | undefined }): Promise<Response> {
    const { reference, auth } = asked;
    const { offset, signal } = at_;
    return await this.#overAnyScheme(endpoint, async (base, connectMs) => {
      const access: Access = { base, scope: scopeOf(reference), auth };
      const headers = { 'Accept-Encoding': 'identity', ...(offset > 0 ? { Range: `bytes=${offset}-` } : {}) };
      const url = at(base, `/v2/${reference.path}/blobs/${asked.digest}`);
      const response = await this.#authorizer.send({ method: 'GET', url, headers, signal, isVerified: true, ...(connectMs === undefined ? {} : { connectMs }) }, access);
      const isUseful = response.status === 200 || (offset > 0 && (response.status === 206 || response.status === 416));
      if (!isUseful) throw imageFailure(await this.#transport.text(response, signal), asked);
      return response;
    });
  }

  /** Whom to ask; mirrors that could not be reached a moment ago are left out. */
  #endpoints(reference: Reference): Endpoint[] {
    const now = this.#clock.monotonicMs();
    return endpointsOf(reference, this.#config).filter((endpoint) => !endpoint.isMirror || (this.#avoidUntilMs.get(nameOf(endpoint)) ?? 0) <= now);
  }

  /** Swallows the failure of a mirror, so that the next server is asked; throws any other with what the mirrors said. */
  #passOver(endpoint: Endpoint, error: unknown, { notes, isFinal }: { notes: string[]; isFinal: boolean }): void {
    const kind = kindOf(error);
    if (endpoint.isMirror) {
      this.#log.warn('registry mirror failed', { mirror: nameOf(endpoint), error: messageOf(error) });
      notes.push(`mirror ${nameOf(endpoint)}: ${messageOf(error)}`);
      if (kind === 'unavailable' || kind === 'corrupt') this.#avoidUntilMs.set(nameOf(endpoint), this.#clock.monotonicMs() + AVOID_MIRROR_MS);
    }
    if (endpoint.isMirror && !isFinal && kind !== 'cancelled' && kind !== 'system') return;
    if (notes.length === 0 || !(error instanceof RegistryFailure) || endpoint.isMirror) throw error;
    throw new RegistryFailure(kind, `${error.message} (${notes.join('; ')})`, { status: error.status ?? 0, cause: error });
  }

  /** Runs `work` on the scheme that worked before, or on each that may be spoken until one connects. */
  async #overAnyScheme<T>(endpoint: Endpoint, work: (base: URL, connectMs: number | undefined) => Promise<T>): Promise<T> {
    const name = nameOf(endpoint);
    const known = this.#spoken.get(name);
    const bases = known ? [known] : endpoint.bases;
    let failure: unknown;
    for (const base of bases) {
      const isProbe = bases.length > 1 && base.protocol === 'https:';
      try {
        const result = await work(base, isProbe ? Math.min(PROBE_MS, this.#config.limits.connectMs) : undefined);
        this.#spoken.set(name, base);
        return result;
      } catch (error) {
        failure = error;
        const isUnconnected = error instanceof RegistryFailure && !error.reached;
        if (isUnconnected) this.#spoken.delete(name);
        else { if (error instanceof RegistryFailure) this.#spoken.set(name, base); throw error; }
      }
    }
    throw failure;
  }

  #patience = (signal: AbortSignal | undefined) => ({ limits: this.#config.limits, clock: this.#clock, signal });
}

const scopeOf = (reference: Reference): string => `repository:${reference.path}:pull`;

const nameOf = (endpoint: Endpoint): string => endpoint.bases[0]?.href ?? '';

/** The registry of a login: a host as in image names, or a URL as old configuration files hold it. */
function registryOf(serverAddress: string): string {
  const host = serverAddress.trim().replace(/^https?:\/\//i, '').replace(/\/.*$/, '').toLowerCase();
  return ['', 'docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'].includes(host) ? DEFAULT_REGISTRY : host;
}

function tagsIn(bytes: Uint8Array): string[] {
  let parsed: unknown;
  try { parsed = JSON.parse(new TextDecoder().decode(bytes)); } catch (cause) { throw corrupt('the registry\'s list of tags is no JSON', { cause }); }
  const tags = typeof parsed === 'object' && parsed !== null && 'tags' in parsed ? parsed.tags : undefined;
  if (tags === null) return [];
  if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === 'string')) throw corrupt('the registry\'s list of tags has no list of strings in "tags"');
  return tags;
}
