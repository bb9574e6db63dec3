// Pushing: what a repository has already, what another one lends it, blobs and manifests that it is given.
import { createHash } from 'node:crypto';
import type { Access } from './auth.ts';
import { RegistryFailure, isTransient, pushFailure, shownUrl } from './errors.ts';
import { at, isInsecure } from './hosts.ts';
import { pullScope, pushScope, type Place, type Reach } from './reach.ts';
import { waitMs } from './retry.ts';
import type { Request, Response } from './transport.ts';
import { corrupt, invalid, kindOf, messageOf } from '../lib/errors.ts';
import { digestOf, isDigest, type Digest } from '../oci/digest.ts';
import { MAX_BLOB_BYTES } from '../oci/parse-manifest.ts';
import type { Reference } from '../oci/reference.ts';
import type { RegistryCall, RegistryPush } from './index.ts';

type UploadCall = Parameters<RegistryPush['upload']>[2];
/** An upload at one server: what is sent, and for whom. */
interface Upload { reference: Reference; open: () => AsyncIterable<Uint8Array>; call: UploadCall; base: URL }

const OCTETS = { 'Content-Type': 'application/octet-stream' };

export function makePush(reach: Reach): RegistryPush {
  return {
    blobSize: (reference, digest, call) => reach.askOwn(reference, call, (place) => blobSize(reach, { reference, digest, signal: call.signal }, place)),
    async mountBlob(reference, digest, call) {
      try {
        return await reach.askOwn(reference, call, (place) => mountBlob(reach, { reference, digest, from: call.from, signal: call.signal }, place));
      } catch (error) {
        // Who may not read there, or is told so, uploads: a mount only saves time. So does one that a registry fails at.
        if (['unauthorized', 'forbidden', 'not-found', 'invalid'].includes(kindOf(error)) || (error instanceof RegistryFailure && error.status !== undefined)) return false;
        throw error;
      }
    },
    upload: (reference, open, call) => upload(reach, { reference, open, call }),
    putManifest: (reference, what, call) => reach.askOwn(reference, call, (place) => putManifest(reach, { reference, ...what, signal: call.signal }, place)),
  };
}

async function blobSize({ authorizer, transport }: Reach, asked: { reference: Reference; digest: Digest; signal: AbortSignal | undefined }, { base, auth, connectMs }: Place): Promise<number | undefined> {
  const { reference, digest, signal } = asked;
  const url = at(base, `/v2/${reference.path}/blobs/${digest}`);
  const response = await authorizer.send({ method: 'HEAD', url, headers: {}, signal, isVerified: true, ...(connectMs === undefined ? {} : { connectMs }) }, { base, scope: pushScope(reference), auth });
  const answer = await transport.text(response, signal);
  // Storage that a registry sends to may answer downloads alone: what it refuses says nothing about who may push.
  if (answer.status === 404 || (answer.status >= 400 && answer.status < 500 && answer.url.origin !== base.origin)) return undefined;
  if (answer.status !== 200) throw pushFailure(answer, { auth });
  // What does not say how long it is cannot stand in a manifest; some servers say 0 of an answer without a body.
  const size = Number(answer.headers['content-length'] ?? NaN);
  return Number.isSafeInteger(size) && size > 0 && size <= MAX_BLOB_BYTES ? size : undefined;
}

async function mountBlob(reach: Reach, asked: { reference: Reference; digest: Digest; from: string; signal: AbortSignal | undefined }, { base, auth }: Place): Promise<boolean> {
  const { reference, digest, from, signal } = asked;
  const access: Access = { base, scope: `${pushScope(reference)} ${pullScope({ ...reference, path: from })}`, auth };
  const url = at(base, `/v2/${reference.path}/blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`);
  const response = await reach.authorizer.send({ method: 'POST', url, headers: {}, body: new Uint8Array(0), signal }, access);
  const answer = await reach.transport.text(response, signal);
  if (answer.status === 201) return true;
  if (answer.status !== 202) throw pushFailure(answer, { auth });
  await abandon(reach, { place: placeOf(reach, response, base), access, signal });
  return false;
}

/** An upload that is not wanted would lie in the registry's storage for days. That it cannot be told so is no failure of ours. */
async function abandon(reach: Reach, at: { place: URL; access: Access; signal: AbortSignal | undefined }): Promise<void> {
  try {
    const response = await sendTo(reach, { method: 'DELETE', url: at.place, headers: {}, signal: at.signal }, at.access);
    await reach.transport.text(response, at.signal);
  } catch (error) {
    at.signal?.throwIfAborted();
    reach.log.debug('an upload that is not needed could not be cancelled', { url: shownUrl(at.place), error });
  }
}

async function upload(reach: Reach, what: Omit<Upload, 'base'>): Promise<{ digest: Digest; size: number }> {
  const { limits } = reach.config;
  const { signal } = what.call;
  const endpoint = reach.own(what.reference);
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await reach.overAnyScheme(endpoint, (base) => uploadOnce(reach, { ...what, base }));
    } catch (error) {
      signal?.throwIfAborted();
      if (!isTransient(error)) throw error;
      if (attempt >= limits.uploadAttempts) throw new RegistryFailure('unavailable', `${messageOf(error)} (gave up after ${attempt} attempts)`, { cause: error });
      await pause(reach, what.call, { attempt, error });
    }
  }
}

async function pause({ config, clock, log }: Reach, call: UploadCall, failed: { attempt: number; error: unknown }): Promise<void> {
  const { attempt } = failed;
  const error = failed.error instanceof Error ? failed.error : new Error(String(failed.error));
  const ms = waitMs(attempt, config.limits, error);
  log.warn('blob upload interrupted', { error, attempt, waitMs: ms });
  call.onRetry?.({ attempt, waitMs: ms, error });
  await clock.sleep(ms, { signal: call.signal });
}

/** What is known beforehand goes in one request, as containerd sends it; the rest in two, as Docker does. */
async function uploadOnce(reach: Reach, what: Upload): Promise<{ digest: Digest; size: number }> {
  const { reference, base, call } = what;
  const { auth, signal, digest, sizeBytes } = call;
  const { commitMs } = reach.config.limits;
  const access: Access = { base, scope: pushScope(reference), auth };
  const begun = await reach.authorizer.send({ method: 'POST', url: at(base, `/v2/${reference.path}/blobs/uploads/`), headers: {}, body: new Uint8Array(0), signal }, access);
  await expectStatus(reach, begun, { allowed: [202], call });
  let place = placeOf(reach, begun, base);

  const counted = counting(what);
  const length: Record<string, string> = sizeBytes === undefined ? {} : { 'Content-Length': String(sizeBytes) };
  const body = { headers: { ...OCTETS, ...length }, stream: counted.open, answerMs: commitMs, signal };
  if (digest !== undefined && sizeBytes !== undefined) {
    await expectStatus(reach, await sendTo(reach, { method: 'PUT', url: withDigest(place, digest), ...body }, access), { allowed: [201, 204], call, step: 'upload' });
    return counted.held();
  }
  const sent = await sendTo(reach, { method: 'PATCH', url: place, ...body }, access);
  await expectStatus(reach, sent, { allowed: [202, 204, 201], call, step: 'upload' });
  if (sent.message.headers.location !== undefined) place = placeOf(reach, sent, base);
  const result = counted.held();
  const ended = await sendTo(reach, { method: 'PUT', url: withDigest(place, result.digest), headers: OCTETS, body: new Uint8Array(0), answerMs: commitMs, signal }, access);
  await expectStatus(reach, ended, { allowed: [201, 204], call, step: 'upload' });
  return result;
}

/**
 * The bytes on their way, counted and hashed; `held` says what was sent, and that it was what had been promised. Who has sent in vain may still
 * wait for its source when it is begun anew, so each sending counts for itself, and the last one holds.
 */
function counting({ open, call }: Upload): { open: () => AsyncGenerator<Uint8Array>; held: () => { digest: Digest; size: number } } {
  const none = () => ({ size: 0, isWhole: false, hash: createHash('sha256') });
  let last = none();
  return {
    async *open() {
      const sending = last = none();
      for await (const chunk of open()) {
        sending.size += chunk.length;
        if (sending.size > (call.sizeBytes ?? MAX_BLOB_BYTES)) throw corrupt(`upload of ${call.digest ?? 'a blob'}: there are more than ${call.sizeBytes ?? MAX_BLOB_BYTES} bytes`);
        sending.hash.update(chunk);
        yield chunk;
        call.onProgress?.(sending.size);
      }
      if (sending.size < (call.sizeBytes ?? 0)) throw corrupt(`upload of ${call.digest ?? 'a blob'}: there are ${sending.size} of ${call.sizeBytes} bytes`);
      sending.isWhole = true;
    },
    held() {
      const digest = `sha256:${last.hash.copy().digest('hex')}`;
      if (!last.isWhole) throw new RegistryFailure('unavailable', 'the registry called the upload done before it was', { transient: true });
      if (!isDigest(digest) || (call.digest !== undefined && digest !== call.digest)) throw corrupt(`upload of ${call.digest}: content hashes to ${digest}`);
      return { digest, size: last.size };
    },
  };
}

async function expectStatus(reach: Reach, response: Response, how: { allowed: readonly number[]; call: RegistryCall; step?: 'upload' }): Promise<void> {
  const answer = await reach.transport.text(response, how.call.signal);
  if (!how.allowed.includes(answer.status)) throw pushFailure(answer, { auth: how.call.auth, ...(how.step ? { step: how.step } : {}) });
}

/**
 * Where an upload goes on: relative or whole, with a query that must be kept as it is. Registries behind a proxy that ends TLS name themselves
 * with http, as they see themselves.
 */
function placeOf({ config }: Reach, response: Response, base: URL): URL {
  const place = URL.parse(response.message.headers.location ?? '', response.url);
  if (response.message.headers.location === undefined || !place || !/^https?:$/.test(place.protocol)) {
    throw new RegistryFailure('unavailable', `Post "${shownUrl(response.url)}": the registry does not say where the upload goes on`);
  }
  if (place.host === base.host) place.protocol = base.protocol;
  const isDowngrade = base.protocol === 'https:' && place.protocol === 'http:';
  if (isDowngrade && !isInsecure(place, config.insecureRegistries)) throw new RegistryFailure('unavailable', `Post "${shownUrl(response.url)}": the upload is to go on over plain HTTP (${shownUrl(place)}); refused`);
  return place;
}

/** Set behind the rest: parsing and writing the query again could change what the registry wrote there. */
function withDigest(place: URL, digest: Digest): URL {
  const url = new URL(place);
  url.search = `${place.search === '' ? '?' : `${place.search}&`}digest=${encodeURIComponent(digest)}`;
  return url;
}

/** Another host than the registry's own knows by its URL that we may; our credentials are not for it. */
const sendTo = (reach: Reach, request: Request, access: Access): Promise<Response> =>
  (request.url.origin === access.base.origin ? reach.authorizer.send(request, access) : reach.transport.send(request));

interface ManifestPut { reference: Reference; at: string; mediaType: string; bytes: Uint8Array; signal: AbortSignal | undefined }

async function putManifest({ authorizer, transport, config }: Reach, what: ManifestPut, { base, auth, connectMs }: Place): Promise<{ digest: Digest; subjectTaken: boolean }> {
  const { reference, mediaType, bytes, signal } = what;
  if (bytes.length > config.limits.manifestBytes) throw invalid(`the manifest has ${bytes.length} bytes, at most ${config.limits.manifestBytes} are pushed`);
  const digest = digestOf(bytes);
  const url = at(base, `/v2/${reference.path}/manifests/${what.at}`);
  const request = { method: 'PUT' as const, url, headers: { 'Content-Type': mediaType, 'Content-Length': String(bytes.length) }, body: bytes, signal, ...(connectMs === undefined ? {} : { connectMs }) };
  const answer = await transport.text(await authorizer.send(request, { base, scope: pushScope(reference), auth }), signal);
  if (![200, 201, 202, 204].includes(answer.status)) throw pushFailure(answer, { auth, step: 'manifest' });
  const told = answer.headers['docker-content-digest'];
  if (told !== undefined && told !== digest) throw corrupt(`the registry has kept the manifest ${digest} as ${String(told).slice(0, 100)}`);
  return { digest, subjectTaken: answer.headers['oci-subject'] !== undefined };
}
