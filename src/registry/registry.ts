// The registry client: finds out whom to ask, asks, and follows manifests to what they promise.
import type { Access } from './auth.ts';
import { Transfer, download } from './blob.ts';
import { imageFailure, type Asked } from './errors.ts';
import { at, type Endpoint } from './hosts.ts';
import { fetchManifest, nextPage } from './manifests.ts';
import { makePush } from './push.ts';
import { Reach, pullScope, type Place, type ReachOptions } from './reach.ts';
import { makeReferrers } from './referrers.ts';
import type { Response } from './transport.ts';
import { corrupt, invalid, kindOf, notFound } from '../lib/errors.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Platform } from '../oci/manifest.ts';
import { parseImageConfig, parseManifestOrIndex, type ManifestOrIndex } from '../oci/parse-manifest.ts';
import { choosePlatform, formatPlatform } from '../oci/platform.ts';
import { DEFAULT_REGISTRY, DEFAULT_TAG, type Reference } from '../oci/reference.ts';
import type { RegistryAuth } from '../wire/types.ts';
import type { BlobCall, Registry, RegistryCall, RegistryPush, RegistryReferrers, Resolved } from './index.ts';

/** An index may name indexes; one below the other is more than any tool makes. */
const MAX_INDEX_DEPTH = 2;
/** A repository with more tags is not pulled as a whole by anyone; pages may be empty, and lead round in a circle. */
const MAX_TAGS = 10_000, MAX_TAG_PAGES = 256;

/** A client for the registries of `config`. Nothing is connected to before the first call. */
export function openRegistry(options: ReachOptions): Registry {
  const reach = new Reach(options);
  const push = makePush(reach);
  return Object.assign(new RegistryClient(reach), push, makeReferrers(reach, push));
}

/** A manifest as it came, and where it came from. */
interface Found { top: Descriptor; content: ManifestOrIndex }
interface Fetch extends RegistryCall { reference: Reference; digest: Digest | undefined }

class RegistryClient implements Omit<Registry, keyof RegistryPush | keyof RegistryReferrers> {
  readonly #reach: Reach;

  constructor(reach: Reach) { this.#reach = reach; }

  get bytesReceived(): number { return this.#reach.transport.bytesReceived; }

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
    const { configBytes } = this.#reach.config.limits;
    if (want.size > configBytes) throw invalid(`image config ${want.digest}: ${want.size} bytes, at most ${configBytes} are read`);
    const parts: Uint8Array[] = [];
    for await (const chunk of this.blob(reference, want, call)) parts.push(chunk);
    return Buffer.concat(parts);
  }

  async *blob(reference: Reference, want: Descriptor, call: BlobCall): AsyncGenerator<Uint8Array, void> {
    call.signal?.throwIfAborted();
    const transfer = new Transfer(want);
    const notes: string[] = [];
    const { config, clock, log, transport } = this.#reach;
    for (const endpoint of this.#reach.endpoints(reference)) {
      transfer.isRangeRefused = false;
      const asked: Asked = { reference, what: 'blob', digest: want.digest, auth: endpoint.isMirror ? undefined : call.auth };
      const source = {
        open: (offset: number) => this.#openBlob(endpoint, asked, { offset, signal: call.signal }),
        chunks: (response: Response) => transport.chunks(response, call.signal),
      };
      try {
        return yield* download(transfer, source, { ...call, limits: config.limits, clock, log: log.with({ digest: want.digest }) });
      } catch (error) {
        // Bytes that were handed on cannot be taken back; then only the caller can start anew, and the next server is asked.
        const isSpoilt = kindOf(error) === 'corrupt' && transfer.received > 0;
        this.#reach.passOver(endpoint, error, { notes, isFinal: isSpoilt });
      }
    }
  }

  async login(auth: RegistryAuth, call: { signal?: AbortSignal | undefined }): Promise<string> {
    const registry = registryOf(auth.serveraddress ?? '');
    return await this.#reach.askOwn({ registry }, { auth, ...call }, ({ base }) => this.#reach.authorizer.login(base, auth, call.signal));
  }

  async inspect(reference: Reference, call: RegistryCall): Promise<{ top: Descriptor; platforms: readonly Platform[] }> {
    const { top, content } = await this.#manifest({ ...call, reference, digest: reference.digest });
    if (content.kind === 'index') return { top, platforms: content.index.manifests.flatMap(({ platform }) => (platform ? [platform] : [])) };
    const { os, architecture, variant, osVersion } = parseImageConfig(await this.config(reference, content.manifest.config, call));
    return { top, platforms: [{ os, architecture, ...(variant === '' ? {} : { variant }), ...(osVersion === '' ? {} : { osVersion }) }] };
  }

  async tags(reference: Reference, call: RegistryCall): Promise<string[]> {
    return await this.#reach.ask(reference, call, (place) => this.#tagsFrom(reference, place, call.signal));
  }

  async close(): Promise<void> {
    this.#reach.close();
  }

  /** Follows the pages of the list. Source: distribution API v2, "Listing Image Tags". */
  async #tagsFrom(reference: Reference, { base, auth }: Place, signal: AbortSignal | undefined): Promise<string[]> {
    const { transport, authorizer, config } = this.#reach;
    const tags: string[] = [];
    let next: URL | undefined = at(base, `/v2/${reference.path}/tags/list`);
    for (let pages = 0; next !== undefined && pages < MAX_TAG_PAGES && tags.length < MAX_TAGS; pages++) {
      const response: Response = await authorizer.send({ method: 'GET', url: next, headers: { Accept: 'application/json' }, signal }, { base, scope: pullScope(reference), auth });
      if (response.status !== 200) throw imageFailure(await transport.text(response, signal), { reference, what: 'manifest', auth });
      const following = nextPage(response, next);
      tags.push(...tagsIn(await transport.bytes(response, { maxBytes: config.limits.manifestBytes, signal })));
      next = following;
    }
    return tags;
  }

  /** The manifest or index by digest, or by the reference's tag. */
  async #manifest({ reference, digest, ...call }: Fetch): Promise<Found> {
    const { bytes, contentType, digest: got } = await fetchManifest(this.#reach, { ...call, reference, at: digest ?? reference.tag ?? DEFAULT_TAG });
    const content = parseManifestOrIndex(bytes, contentType);
    const mediaType = content.kind === 'index' ? content.index.mediaType : content.manifest.mediaType;
    return { top: { mediaType, digest: got, size: bytes.length }, content };
  }

  async #openBlob(endpoint: Endpoint, asked: Asked, at_: { offset: number; signal: AbortSignal | undefined }): Promise<Response> {
    const { reference, auth } = asked;
    const { offset, signal } = at_;
    const { authorizer, transport } = this.#reach;
    return await this.#reach.overAnyScheme(endpoint, async (base, connectMs) => {
      const access: Access = { base, scope: pullScope(reference), auth };
      const headers = { 'Accept-Encoding': 'identity', ...(offset > 0 ? { Range: `bytes=${offset}-` } : {}) };
      const url = at(base, `/v2/${reference.path}/blobs/${asked.digest}`);
      const response = await authorizer.send({ method: 'GET', url, headers, signal, isVerified: true, ...(connectMs === undefined ? {} : { connectMs }) }, access);
      const isUseful = response.status === 200 || (offset > 0 && (response.status === 206 || response.status === 416));
      if (!isUseful) throw imageFailure(await transport.text(response, signal), asked);
      return response;
    });
  }
}

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
