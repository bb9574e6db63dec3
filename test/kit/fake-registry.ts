// A registry in the test's own process: serves images from memory over HTTP, and misbehaves exactly when told.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { FakeShelf } from './fake-shelf.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA, type Descriptor, type Platform } from '../../src/oci/manifest.ts';

/** A request as it was answered. */
export interface Seen {
  method: string;
  path: string;
  /** With its question mark; ''. */
  search: string;
  kind: 'ping' | 'manifest' | 'blob' | 'upload' | 'referrers' | 'token' | 'other';
  /** The how many-th request of its kind, from 1. */
  nth: number;
  range: string | undefined;
  authorization: string | undefined;
  headers: IncomingMessage['headers'];
  /** Of a token request: its query or form. */
  form: URLSearchParams;
  /** Of what was sent to us. */
  bodyBytes: number;
  /** Filled in while it is answered. */
  status: number;
  bytesSent: number;
}

/** How one answer goes wrong; fields combine. */
export interface Misbehaviour {
  status?: number;
  headers?: Record<string, string>;
  /** Sent instead of the right content. */
  content?: Uint8Array | string;
  /** The connection is cut after so many bytes of the body. */
  cutAfterBytes?: number;
  /** Nothing more is sent after so many bytes; the connection stays open. */
  stallAfterBytes?: number;
  ignoreRange?: boolean;
  /** A lie in the header. */
  contentLength?: number;
  /** Ends the body in order after so many bytes, without any Content-Length. */
  endAfterBytes?: number;
  redirect?: string;
  /** Closes the connection without an answer. */
  hangUp?: boolean;
  /** The same after so many bytes of the request's body. */
  hangUpAfterBytes?: number;
  /** Reads nothing of the body, and answers nothing. */
  deaf?: boolean;
}

export type Auth =
  | { kind: 'none' }
  | { kind: 'basic'; username: string; password: string }
  | {
    kind: 'bearer';
    /** Whoever shows them gets a token; without them, anyone does. */
    username?: string; password?: string;
    /** Each token is good for so many requests. */
    tokenUses?: number;
    expiresInS?: number;
    /** A token that is always right: what a caller hands over as registrytoken. */
    fixedToken?: string;
    identityToken?: string;
    /** A token is good for the scopes alone that it was asked for with; of these the service grants only those that match. */
    grants?: RegExp;
  };

export interface ImageSpec {
  layers: readonly Uint8Array[];
  diffIds?: readonly string[];
  platform?: Platform;
  config?: Readonly<Record<string, unknown>>;
  layerType?: string;
  annotations?: Readonly<Record<string, string>>;
}

export interface AddedImage { manifest: Descriptor; config: Descriptor; layers: Descriptor[] }

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const errorBody = (code: string, message: string) => json({ errors: [{ code, message }] });

export class FakeRegistry implements AsyncDisposable {
  readonly requests: Seen[] = [];
  auth: Auth = { kind: 'none' };
  /** Asked for each request; what it gives is done. */
  misbehave: (seen: Seen) => Misbehaviour | undefined = () => undefined;
  readonly #server: Server;
  readonly #scheme: string;
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #manifests = new Map<string, { bytes: Uint8Array; mediaType: string }>();
  readonly #tokens = new Map<string, { uses: number; scopes: string[] }>();
  /** What is pushed to it. */
  readonly shelf = new FakeShelf({ blobs: this.#blobs, manifests: this.#manifests, url: () => this.url });
  #issued = 0;

  constructor(tls?: { cert: string; key: string; requestCert?: boolean; ca?: string }) {
    const listener: RequestListener = (request, response) => { void this.#serve(request, response); };
    this.#server = tls ? createTlsServer({ ...tls, rejectUnauthorized: tls.requestCert ?? false }, listener) : createServer(listener);
    this.#scheme = tls ? 'https' : 'http';
  }

  listen(): Promise<this> {
    return new Promise((resolve) => { this.#server.listen(0, '127.0.0.1', () => resolve(this)); });
  }

  get port(): number { return (this.#server.address() as AddressInfo).port; }
  /** As it stands in image names. */
  get host(): string { return `127.0.0.1:${this.port}`; }
  get url(): string { return `${this.#scheme}://${this.host}`; }
  /** Bytes of bodies that were handed to the sockets. */
  get bytesSent(): number { return this.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0); }
  seen(kind: Seen['kind']): Seen[] { return this.requests.filter((request) => request.kind === kind); }
  connections(): Promise<number> { return new Promise((resolve) => { this.#server.getConnections((_error, count) => resolve(count)); }); }

  addBlob(bytes: Uint8Array, mediaType: string): Descriptor {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** A manifest or index under a tag and its digest. */
  addManifest(name: string, tag: string | undefined, manifest: { bytes: Uint8Array; mediaType: string }): Descriptor {
    const digest = digestOf(manifest.bytes);
    this.#manifests.set(`${name}@${digest}`, manifest);
    if (tag !== undefined) this.#manifests.set(`${name}@${tag}`, manifest);
    return { mediaType: manifest.mediaType, digest, size: manifest.bytes.length };
  }

  addImage(name: string, tag: string | undefined, spec: ImageSpec): AddedImage {
    const platform = spec.platform ?? { os: 'linux', architecture: 'amd64' };
    const layers = spec.layers.map((bytes) => this.addBlob(bytes, spec.layerType ?? MEDIA.dockerLayerGzip));
    const config = this.addBlob(json({
      ...platform, config: {}, history: [], ...spec.config, rootfs: { type: 'layers', diff_ids: spec.diffIds ?? layers.map(({ digest }) => digest) },
    }), MEDIA.dockerConfig);
    const body = { schemaVersion: 2, mediaType: MEDIA.dockerManifest, config, layers, ...(spec.annotations ? { annotations: spec.annotations } : {}) };
    const manifest = this.addManifest(name, tag, { bytes: json(body), mediaType: MEDIA.dockerManifest });
    return { manifest: { ...manifest, platform }, config, layers };
  }

  addIndex(name: string, tag: string, manifests: readonly Descriptor[]): Descriptor {
    return this.addManifest(name, tag, { bytes: json({ schemaVersion: 2, mediaType: MEDIA.dockerList, manifests }), mediaType: MEDIA.dockerList });
  }

  /** Ends every connection, stalled ones too. */
  cut(): void { this.#server.closeAllConnections(); }

  forget(digest: Digest): void { this.#blobs.delete(digest); }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => { this.#server.close(() => resolve()); });
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const isForm = (request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
    const form = isForm ? new URLSearchParams((await readAll(request)).toString('utf8')) : url.searchParams;
    const seen = this.#record(request, url, form);
    const wrong = this.misbehave(seen) ?? {};
    if (wrong.deaf) return;
    const { socket } = request;
    if (wrong.hangUpAfterBytes !== undefined) await readAll(request, wrong.hangUpAfterBytes);
    if (wrong.hangUp || wrong.hangUpAfterBytes !== undefined) return void socket.destroy();
    if (wrong.redirect !== undefined) return send({ seen, response, wrong }, { status: 307, headers: { Location: wrong.redirect }, body: Buffer.alloc(0) });
    if (wrong.status !== undefined) return send({ seen, response, wrong }, { status: wrong.status, headers: {}, body: Buffer.from(wrong.content ?? '') });
    const refused = seen.kind === 'token' ? undefined : this.#refusal(seen);
    if (refused) return send({ seen, response, wrong }, refused);
    const body = isForm ? Buffer.alloc(0) : await readAll(request);
    seen.bodyBytes = body.length;
    send({ seen, response, wrong }, this.shelf.answer(seen, body) ?? this.#answer(seen, wrong));
  }

  #record(request: IncomingMessage, url: URL, form: URLSearchParams): Seen {
    const path = url.pathname;
    const kind = path === '/v2/' ? 'ping' : path === '/token' ? 'token' : /\/blobs\/uploads\//.test(path) ? 'upload' : /\/referrers\/[^/]+$/.test(path) ? 'referrers' : /\/manifests\/[^/]+$/.test(path) ? 'manifest' : /\/blobs\/[^/]+$/.test(path) ? 'blob' : 'other';
    const seen: Seen = {
      method: request.method ?? '', path, search: url.search, kind, nth: this.seen(kind).length + 1, range: request.headers.range,
      authorization: request.headers.authorization, headers: request.headers, form, bodyBytes: 0, status: 0, bytesSent: 0,
    };
    this.requests.push(seen);
    return seen;
  }

  #answer(seen: Seen, wrong: Misbehaviour): Answer {
    if (seen.kind === 'token') return this.#token(seen);
    if (seen.kind === 'ping') return { status: 200, headers: { 'Docker-Distribution-Api-Version': 'registry/2.0' }, body: json({}) };
    const [, name = '', reference = ''] = /^\/v2\/(.+)\/(?:manifests|blobs)\/([^/]+)$/.exec(seen.path) ?? [];
    if (seen.kind === 'manifest') {
      const found = this.#manifests.get(`${name}@${reference}`);
      if (!found) return { status: 404, headers: {}, body: errorBody('MANIFEST_UNKNOWN', 'manifest unknown') };
      return { status: 200, headers: { 'Content-Type': found.mediaType, 'Docker-Content-Digest': digestOf(found.bytes) }, body: found.bytes };
    }
    const blob = this.#blobs.get(reference);
    if (!blob) return { status: 404, headers: {}, body: errorBody('BLOB_UNKNOWN', 'blob unknown to registry') };
    return ranged(wrong.content === undefined ? blob : Buffer.from(wrong.content), wrong.ignoreRange ? undefined : seen.range);
  }

  #refusal({ authorization, path, method, form }: Seen): Answer | undefined {
    const { auth } = this;
    if (auth.kind === 'none') return undefined;
    if (auth.kind === 'basic') {
      if (authorization === basic(auth.username, auth.password)) return undefined;
      return unauthorized('Basic realm="fake registry"');
    }
    const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
    if (auth.fixedToken !== undefined && token === auth.fixedToken) return undefined;
    const granted = this.#tokens.get(token);
    const name = /^\/v2\/(.+)\/(?:manifests|blobs|referrers)\//.exec(path)?.[1];
    const from = form.get('from');
    const wanted = name === undefined ? [] : [`repository:${name}:${['GET', 'HEAD'].includes(method) ? 'pull' : 'pull,push'}`, ...(from === null ? [] : [`repository:${from}:pull`])];
    const isEnough = auth.grants === undefined || wanted.every((scope) => granted?.scopes.some((other) => other === scope || other === scope.replace(/:pull$/, ':pull,push')));
    if (granted && granted.uses-- > 0 && isEnough) return undefined;
    const scope = wanted.length === 0 ? '' : `,scope="${wanted.join(' ')}"`;
    const error = token === '' ? '' : granted && granted.uses >= 0 ? ',error="insufficient_scope"' : ',error="invalid_token"';
    return unauthorized(`Bearer realm="${this.url}/token",service="fake registry"${scope}${error}`);
  }

  #token({ authorization, form }: Seen): Answer {
    const { auth } = this;
    if (auth.kind !== 'bearer') return { status: 404, headers: {}, body: Buffer.alloc(0) };
    const isRefresh = auth.identityToken !== undefined && form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === auth.identityToken;
    const isKnown = auth.username === undefined || isRefresh || authorization === basic(auth.username, auth.password ?? '');
    if (!isKnown) return { status: 401, headers: {}, body: json({ details: 'incorrect username or password' }) };
    const token = `token-${++this.#issued}`;
    this.#tokens.set(token, { uses: auth.tokenUses ?? Infinity, scopes: form.getAll('scope').filter((scope) => auth.grants?.test(scope) !== false) });
    const refresh = form.get('offline_token') === 'true' && auth.identityToken !== undefined ? { refresh_token: auth.identityToken } : {};
    return { status: 200, headers: { 'Content-Type': 'application/json' }, body: json({ token, expires_in: auth.expiresInS ?? 300, issued_at: new Date().toISOString(), ...refresh }) };
  }
}

/** A registry that listens on loopback; with a certificate it speaks HTTPS. */
export const openFakeRegistry = (tls?: { cert: string; key: string; requestCert?: boolean; ca?: string }): Promise<FakeRegistry> => new FakeRegistry(tls).listen();

export interface Answer { status: number; headers: Record<string, string>; body: Uint8Array }

const basic = (username: string, password: string) => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

const unauthorized = (challenge: string): Answer =>
  ({ status: 401, headers: { 'WWW-Authenticate': challenge }, body: errorBody('UNAUTHORIZED', 'authentication required') });

function ranged(blob: Uint8Array, range: string | undefined): Answer {
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? NaN);
  const headers = { 'Content-Type': 'application/octet-stream' };
  if (Number.isNaN(start)) return { status: 200, headers, body: blob };
  if (start >= blob.length) return { status: 416, headers: { ...headers, 'Content-Range': `bytes */${blob.length}` }, body: Buffer.alloc(0) };
  return { status: 206, headers: { ...headers, 'Content-Range': `bytes ${start}-${blob.length - 1}/${blob.length}` }, body: blob.subarray(start) };
}

function send({ seen, response, wrong }: { seen: Seen; response: ServerResponse; wrong: Misbehaviour }, answer: Answer): void {
  const limit = wrong.cutAfterBytes ?? wrong.stallAfterBytes ?? wrong.endAfterBytes ?? Infinity;
  const body = answer.body.subarray(0, Math.min(limit, answer.body.length));
  seen.status = answer.status;
  seen.bytesSent = body.length;
  const length = wrong.endAfterBytes === undefined ? { 'Content-Length': String(wrong.contentLength ?? answer.body.length) } : {};
  response.on('error', () => {});
  response.strictContentLength = false;
  response.writeHead(answer.status, { ...answer.headers, ...length, ...wrong.headers });
  response.flushHeaders();
  if (wrong.stallAfterBytes !== undefined) return void response.write(body);
  if (wrong.cutAfterBytes === undefined) return void response.end(body);
  // The bytes before the cut are to arrive: half-close, so that no reset overtakes them.
  response.write(body, () => response.socket?.end());
}

async function readAll(request: IncomingMessage, limitBytes = Infinity): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      parts.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes >= limitBytes) break;
    }
  } catch { /* The client has gone. */ }
  return Buffer.concat(parts);
}
