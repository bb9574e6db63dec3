// What a registry can answer or fail to, in words: Docker's where clients match on them, and never with a secret inside.
import { STATUS_CODES, type IncomingHttpHeaders } from 'node:http';
import { EngineError, errnoOf, messageOf, type Kind } from '../lib/errors.ts';
import { familiarName, familiarString, type Reference } from '../oci/reference.ts';
import { redacted } from './credentials.ts';
import { parseChallenges } from './challenge.ts';
import type { RegistryAuth } from '../wire/types.ts';

interface Circumstances {
  /** Trying again may help. */
  transient?: boolean;
  /** False when there was no connection to speak over. */
  reached?: boolean;
  status?: number;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** A failure at a registry, with what the retry loops need to know about it. */
export class RegistryFailure extends EngineError {
  readonly transient: boolean;
  readonly reached: boolean;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(kind: Kind, message: string, circumstances: Circumstances = {}) {
    super(kind, message, circumstances.cause === undefined ? undefined : { cause: circumstances.cause });
    this.transient = circumstances.transient ?? false;
    this.reached = circumstances.reached ?? true;
    this.status = circumstances.status;
    this.retryAfterMs = circumstances.retryAfterMs;
  }
}

/** Whether nobody answered at all, or no longer: then it is the network that failed, and what else is asked of that server will fail as well. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof RegistryFailure) || error.kind !== 'unavailable' || error.status !== undefined) return false;
  return error.cause === undefined || isConnectionLost(error.cause);
}

export const isTransient = (error: unknown): boolean => error instanceof RegistryFailure && error.transient;

/** No byte came, or went, for too long. */
export const stalled = (url: URL, ms: number, method = 'GET') =>
  new RegistryFailure('unavailable', `${verbOf(method)} "${shownUrl(url)}": no data for ${ms} ms`, { transient: true });

/** `Get`, as Docker opens messages about a request. */
export const verbOf = (method: string): string => method.slice(0, 1) + method.slice(1).toLowerCase();

/** A URL without what must not be shown: credentials and the query, in which storage hosts put signatures. */
export const shownUrl = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`;

/** Why there is no connection, or no longer one. `established` when the request had gone out. */
export function connectionFailure(url: URL, error: unknown, { established = false, method = 'GET' }: { established?: boolean; method?: string } = {}): EngineError {
  if (error instanceof EngineError) return error;
  const code = errnoOf(error) ?? '';
  const isTrust = /CERT|ISSUER|LEAF_SIGNATURE/.test(code);
  // The error of node is not kept as the cause: it may hold the request's headers, and credentials with them.
  return new RegistryFailure('unavailable', `${verbOf(method)} "${shownUrl(url)}": ${reasonOf(url.hostname, code, error)}`, { transient: !isTrust, reached: established });
}

function reasonOf(host: string, code: string, error: unknown): string {
  switch (code) {
    case 'ENOTFOUND': return `lookup ${host}: no such host; check the name, and the DNS and network of this device`;
    case 'EAI_AGAIN': return `lookup ${host}: the DNS does not answer; check the network of this device`;
    case 'ECONNREFUSED': return `dial tcp ${host}: connection refused; is a registry running there?`;
    case 'EHOSTUNREACH': case 'ENETUNREACH': return `dial tcp ${host}: no route to host; check the network of this device`;
    case 'ECONNRESET': return 'connection reset by peer';
    case 'EPROTO': case 'ERR_SSL_WRONG_VERSION_NUMBER': case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'http: server gave HTTP response to HTTPS client; name it in insecure-registries if it is meant to';
    case 'ERR_TLS_CERT_ALTNAME_INVALID': return `x509: the certificate is not for ${host}`;
    default: break;
  }
  if (/CERT|ISSUER|LEAF_SIGNATURE/.test(code)) {
    return `x509: the certificate of ${host} is not trusted (${code}); put its authority into certs.d/${host}/ca.crt, or name the host in insecure-registries`;
  }
  return messageOf(error) || code || 'the connection failed';
}

/** One error of a registry's JSON answer. */
interface Told { code: string; message: string }

/** What the server says went wrong: its errors, an OAuth error in the challenge, or nothing. */
export function toldBy(headers: IncomingHttpHeaders, body: string): Told | undefined {
  for (const { scheme, params } of parseChallenges(headers['www-authenticate'] ?? '')) {
    if (scheme !== 'bearer') continue;
    const described = params.get('error_description');
    if (params.get('error') === 'insufficient_scope') return { code: 'DENIED', message: described ?? 'requested access to the resource is denied' };
    if (params.get('error') === 'invalid_token') return { code: 'UNAUTHORIZED', message: described ?? 'authentication required' };
  }
  return firstError(body);
}

function firstError(body: string): Told | undefined {
  let json: unknown;
  try { json = JSON.parse(body); } catch { return undefined; }
  if (typeof json !== 'object' || json === null) return undefined;
  const errors = 'errors' in json && Array.isArray(json.errors) ? json.errors : [];
  const first: unknown = errors[0];
  if (typeof first === 'object' && first !== null && 'code' in first && typeof first.code === 'string') {
    const message = 'message' in first && typeof first.message === 'string' ? first.message : '';
    return { code: first.code.slice(0, 100), message: printable(message) };
  }
  // Token services are not registries; they answer in a form of their own.
  const details = 'details' in json ? json.details : 'message' in json ? json.message : undefined;
  return typeof details === 'string' ? { code: '', message: printable(details) } : undefined;
}

const printable = (text: string): string => text.slice(0, 500).replace(/\p{Cc}+/gu, ' ');

/** `manifest unknown: manifest unknown`, as Docker writes a registry's error. */
function sentence(told: Told): string {
  const code = told.code.toLowerCase().replaceAll('_', ' ');
  if (code === '') return told.message;
  return told.message === '' ? code : `${code}: ${told.message}`;
}

export interface Answer { status: number; headers: IncomingHttpHeaders; body: string; url: URL; method: string }
/** What was asked for, for the error text. */
export interface Asked { reference: Reference; what: 'manifest' | 'blob'; digest?: string | undefined; auth: RegistryAuth | undefined }

/** The error for an answer that is none of the hoped-for ones to a request about an image. */
export function imageFailure(answer: Answer, asked: Asked): RegistryFailure {
  const { reference, what } = asked;
  const told = toldBy(answer.headers, answer.body);
  const because = redacted(told ? sentence(told) : '', asked.auth);
  const { status } = answer;
  if (status === 404) {
    if (told?.code === 'NAME_UNKNOWN') return permanent('not-found', `repository ${familiarName(reference)} not found: ${because}`, status);
    if (what === 'blob') return permanent('not-found', `blob ${asked.digest} not found in ${familiarName(reference)}: ${because || 'blob unknown'}`, status);
    return permanent('not-found', `manifest for ${familiarString(reference)} not found: ${because || 'manifest unknown: manifest unknown'}`, status);
  }
  if (told?.code === 'DENIED' && (status === 401 || status === 403)) {
    // A 404 in Docker too: who may not see a repository is not told whether it exists.
    return permanent('not-found', `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': ${because}`, status);
  }
  if (status === 401) return permanent('unauthorized', `${familiarName(reference)}: ${because || 'unauthorized: authentication required'}`, status);
  return statusFailure(answer, asked.auth);
}

/**
 * Refusals that another attempt may not meet. Of an upload: that the registry has lost it, or got it otherwise than it was sent. Of a manifest: that
 * it has a blob no more; distribution 2.8 says so of a blob that another client pushes to the same repository in that moment, since it empties
 * the link to the blob before it writes it again.
 */
const PASSING = {
  upload: new Set(['BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'DIGEST_INVALID', 'SIZE_INVALID', 'RANGE_INVALID']),
  manifest: new Set(['DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN', 'BLOB_UNKNOWN']),
} as const;

/** The error for an answer that refuses a step of a push, in Docker's words. `step`: what was sent, if it was more than a question. */
export function pushFailure(answer: Answer, asked: { auth: RegistryAuth | undefined; step?: keyof typeof PASSING }): RegistryFailure {
  const { status, headers } = answer;
  const told = toldBy(headers, answer.body);
  const isPassing = asked.step !== undefined && PASSING[asked.step].has(told?.code ?? '');
  const isLost = asked.step === 'upload' && ((status === 404 && told === undefined) || status === 416);
  if (isPassing || isLost) return new RegistryFailure('unavailable', statusFailure(answer, asked.auth).message, { transient: true, status });
  if (status < 400 || status === 408 || status === 429 || status >= 500) return statusFailure(answer, asked.auth);
  const usual = status === 401 ? 'unauthorized: authentication required' : status === 403 ? 'denied: requested access to the resource is denied' : undefined;
  const words = told ? redacted(sentence(told), asked.auth) : usual;
  return words === undefined ? statusFailure(answer, asked.auth) : permanent(KINDS.get(status) ?? 'invalid', words, status);
}

/** The error for an unhoped-for answer to any request. */
export function statusFailure(answer: Answer, auth: RegistryAuth | undefined): RegistryFailure {
  const { status, headers, url } = answer;
  const told = toldBy(headers, answer.body);
  const because = redacted(told ? sentence(told) : `received unexpected HTTP status: ${status} ${STATUS_CODES[status] ?? ''}`.trim(), auth);
  const message = `${verbOf(answer.method)} "${shownUrl(url)}": ${because}`;
  if (status === 408 || status === 429 || status >= 500) {
    return new RegistryFailure('unavailable', message, { transient: true, status, retryAfterMs: retryAfterMs(headers) });
  }
  return permanent(KINDS.get(status) ?? (status >= 400 ? 'invalid' : 'unavailable'), message, status);
}

const KINDS: ReadonlyMap<number, Kind> = new Map([[401, 'unauthorized'], [403, 'forbidden'], [404, 'not-found']]);

const permanent = (kind: Kind, message: string, status: number) => new RegistryFailure(kind, message, { status });

/** Retry-After in either form, a date counted from the server's own clock: the one here may be years off. */
export function retryAfterMs(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const wait = Date.parse(text) - Date.parse(headers.date ?? '');
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
