// Who may read: answers a registry's challenges with credentials or tokens, and keeps tokens as long as they last.
import { createHash } from 'node:crypto';
import { parseChallenges, type Challenge } from './challenge.ts';
import { basicHeader, credentialsOf, redacted } from './credentials.ts';
import { RegistryFailure, shownUrl, statusFailure, toldBy, type Answer } from './errors.ts';
import { at, isInsecure } from './hosts.ts';
import type { Request, Response, Transport } from './transport.ts';
import type { Clock } from '../lib/clock.ts';
import type { RegistryAuth } from '../wire/types.ts';

/** Whose images are wanted, from where, for whom. */
export interface Access {
  base: URL;
  /** `repository:NAME:pull`, or '' for no particular one. */
  scope: string;
  auth: RegistryAuth | undefined;
}

interface Granted {
  /** For the Authorization header. */
  header: string;
  expiresAtMs: number;
  /** What a token was asked for with, to ask again before the old one is refused. */
  challenge: Challenge | undefined;
  /** A lasting token in place of the password; only logins ask for one. */
  identityToken: string;
}

const CLIENT_ID = 'vaquita';
/** Token services may leave out how long a token lasts; this is what the specification then says, and also its least. */
const DEFAULT_LIFETIME_S = 60;
/** A token that ends while the request travels is refused; so it is not used in its last moments. */
const MARGIN_MS = 5_000;
/** Longer ones do not fit into the headers that servers accept. */
const MAX_TOKEN_CHARS = 32_768;
/** One per host, repository and user; the oldest goes first. */
const MAX_GRANTS = 256;

export class Authorizer {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #insecure: readonly string[];
  readonly #grants = new Map<string, Granted>();
  readonly #asking = new Map<string, Promise<Granted>>();

  constructor(transport: Transport, clock: Clock, insecure: readonly string[]) {
    this.#transport = transport;
    this.#clock = clock;
    this.#insecure = insecure;
  }

  /** The answer to `request` once more after a 401, if that challenge can be met. A 401 that comes back is the last word. */
  async send(request: Request, access: Access): Promise<Response> {
    const key = keyOf(access);
    const used = await this.#current(key, access, request.signal);
    const response = await this.#transport.send(authorized(request, used));
    // A storage host that we were sent to and that refuses us does not want the registry's credentials.
    if (response.status !== 401 || response.url.origin !== request.url.origin || access.auth?.registrytoken) return response;
    let granted: Granted | undefined;
    try {
      granted = await this.#meet(parseChallenges(response.message.headers['www-authenticate'] ?? ''), { key, access, used, signal: request.signal });
      if (!granted) return response;
      await this.#transport.text(response, request.signal);
    } catch (error) {
      response.message.destroy();
      throw error;
    }
    return await this.#transport.send(authorized(request, granted.header));
  }

  /** Tries `auth` on the registry at `base`; gives the identity token, or '' where there is none. */
  async login(base: URL, auth: RegistryAuth, signal: AbortSignal | undefined): Promise<string> {
    const request: Request = { method: 'GET', url: at(base, '/v2/'), headers: {}, signal };
    const access = { base, scope: '', auth };
    const first = await this.#transport.send(request);
    const answer = await this.#transport.text(first, signal);
    if (first.status === 200) return '';
    const challenges = parseChallenges(first.message.headers['www-authenticate'] ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (first.status !== 401 || challenges.length === 0) throw statusFailure(answer, auth);
    const granted = bearer ? await this.#askToken(bearer, access, { signal, isLogin: true }) : basicGrant(access);
    const second = await this.#transport.text(await this.#transport.send(authorized(request, granted.header)), signal);
    if (second.status === 401 || second.status === 403) throw unauthorized(base, second, auth);
    if (second.status !== 200) throw statusFailure(second, auth);
    return granted.identityToken;
  }

  /** The header to begin with: what the user gave ready-made, or what was granted before. */
  async #current(key: string, access: Access, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (access.auth?.registrytoken) return `Bearer ${headerSafe(access.auth.registrytoken)}`;
    const granted = this.#grants.get(key);
    if (!granted || this.#clock.monotonicMs() < granted.expiresAtMs || !granted.challenge) return granted?.header;
    return (await this.#ask(key, granted.challenge, access, signal)).header;
  }

  async #meet(challenges: readonly Challenge[], at: { key: string; access: Access; used: string | undefined; signal: AbortSignal | undefined }): Promise<Granted | undefined> {
    const known = this.#grants.get(at.key);
    // Another transfer of the same repository was refused before us and has a new token already.
    if (known && known.header !== at.used && this.#clock.monotonicMs() < known.expiresAtMs) return known;
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer) return await this.#ask(at.key, bearer, at.access, at.signal);
    if (!challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    const granted = basicGrant(at.access);
    if (granted.header === at.used) return undefined;
    return this.#keep(at.key, granted);
  }

  /** One question at a time per key; whoever wants the same token meanwhile waits for it. */
  async #ask(key: string, challenge: Challenge, access: Access, signal: AbortSignal | undefined): Promise<Granted> {
    const asking = this.#asking.get(key);
    // Not shared are failures: they may be the other one's cancellation.
    if (asking) { try { return await asking; } catch { signal?.throwIfAborted(); } }
    const question = this.#askToken(challenge, access, { signal, isLogin: false });
    this.#asking.set(key, question);
    try {
      return this.#keep(key, await question);
    } finally {
      if (this.#asking.get(key) === question) this.#asking.delete(key);
    }
  }

  #keep(key: string, granted: Granted): Granted {
    this.#grants.delete(key);
    this.#grants.set(key, granted);
    const oldest = this.#grants.keys().next();
    if (this.#grants.size > MAX_GRANTS && !oldest.done) this.#grants.delete(oldest.value);
    return granted;
  }

  async #askToken(challenge: Challenge, access: Access, options: { signal: AbortSignal | undefined; isLogin: boolean }): Promise<Granted> {
    const realm = this.#realmOf(challenge, access);
    const request = tokenRequest({ realm, challenge, access, isLogin: options.isLogin });
    let answer: Answer;
    try {
      answer = await this.#transport.text(await this.#transport.send({ ...request, signal: options.signal }), options.signal);
    } catch (error) {
      // The registry was reached, only its token service was not: no reason to try it over another scheme.
      if (error instanceof RegistryFailure) throw new RegistryFailure(error.kind, `token service: ${error.message}`, { transient: error.transient });
      throw error;
    }
    if (answer.status === 200) return grantedBy(answer, challenge, this.#clock.monotonicMs());
    if (answer.status >= 400 && answer.status < 404) throw unauthorized(access.base, answer, access.auth);
    throw statusFailure(answer, access.auth);
  }

  #realmOf(challenge: Challenge, access: Access): URL {
    const realm = URL.parse(challenge.params.get('realm') ?? '');
    if (!realm || !/^https?:$/.test(realm.protocol)) throw new RegistryFailure('unavailable', `registry ${access.base.host}: its challenge names no token service`);
    const hasSecret = credentialsOf(access.auth) !== undefined || access.auth?.identitytoken;
    if (hasSecret && realm.protocol === 'http:' && access.base.protocol === 'https:' && !isInsecure(realm, this.#insecure)) {
      throw new RegistryFailure('unauthorized', `registry ${access.base.host} wants the credentials sent to ${shownUrl(realm)} in plain text; refused`);
    }
    return realm;
  }
}

function tokenRequest(ask: { realm: URL; challenge: Challenge; access: Access; isLogin: boolean }): Omit<Request, 'signal'> {
  const { challenge, access } = ask;
  const url = new URL(ask.realm);
  const service = challenge.params.get('service');
  const scopes = scopesOf(challenge.params.get('scope') ?? '', access.scope);
  const credentials = credentialsOf(access.auth);
  if (access.auth?.identitytoken) {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: access.auth.identitytoken, client_id: CLIENT_ID, scope: scopes.join(' ') });
    if (service !== undefined) form.set('service', service);
    return { method: 'POST', url, headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: form.toString() };
  }
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials) url.searchParams.set('account', credentials.username);
  if (ask.isLogin) { url.searchParams.set('offline_token', 'true'); url.searchParams.set('client_id', CLIENT_ID); }
  return { method: 'GET', url, headers: credentials ? { Authorization: basicHeader(credentials) } : {} };
}

/**
 * What a token is to be good for: what the challenge names and, of the same repositories, what the work will need. A challenge speaks of
 * one request only; with a token for that alone, a push would ask again at its next step.
 */
function scopesOf(challenged: string, needed: string): string[] {
  const words = (text: string) => text.split(' ').filter((scope) => scope !== '');
  const split = (scope: string) => ({ what: scope.slice(0, scope.lastIndexOf(':') + 1), actions: scope.slice(scope.lastIndexOf(':') + 1).split(',') });
  const asked = words(challenged);
  const wide = words(needed).filter((scope) => asked.length === 0 || asked.some((other) => split(other).what === split(scope).what));
  const isCovered = (scope: string) => wide.some((other) => split(other).what === split(scope).what && split(scope).actions.every((action) => split(other).actions.includes(action)));
  return [...new Set([...asked.filter((scope) => !isCovered(scope)), ...wide])];
}

function grantedBy(answer: Answer, challenge: Challenge, nowMs: number): Granted {
  let json: unknown;
  try { json = JSON.parse(answer.body); } catch { json = null; }
  const fields = new Map<string, unknown>(typeof json === 'object' && json !== null ? Object.entries(json) : []);
  const token = fields.get('token') || fields.get('access_token');
  if (typeof token !== 'string') throw new RegistryFailure('unavailable', `token service ${answer.url.host}: there is no token in its answer`);
  const lifetimeS = Number(fields.get('expires_in') || DEFAULT_LIFETIME_S);
  const refresh = fields.get('refresh_token');
  const remainingMs = lifetimeS * 1000 - ageMs(fields.get('issued_at'), answer.headers.date);
  return {
    header: `Bearer ${headerSafe(token)}`, challenge, identityToken: typeof refresh === 'string' ? refresh : '',
    expiresAtMs: nowMs + Math.max(0, remainingMs - Math.min(MARGIN_MS, remainingMs / 10)),
  };
}

/** How old a token is when it is handed out, both ends by the server's clock: a device's own may be years off. */
function ageMs(issuedAt: unknown, date: string | undefined): number {
  const age = Date.parse(date ?? '') - Date.parse(typeof issuedAt === 'string' ? issuedAt : '');
  return Number.isNaN(age) ? 0 : Math.max(0, age);
}

function basicGrant(access: Access): Granted {
  const credentials = credentialsOf(access.auth);
  if (!credentials) throw new RegistryFailure('unauthorized', `registry ${access.base.host}: no basic auth credentials; log in with 'docker login ${access.base.host}'`, { status: 401 });
  return { header: basicHeader(credentials), expiresAtMs: Infinity, challenge: undefined, identityToken: '' };
}

function headerSafe(token: string): string {
  if (token.length > MAX_TOKEN_CHARS || !/^[\x21-\x7e]+$/.test(token)) throw new RegistryFailure('unauthorized', 'the registry token has characters that no token has, or is too long');
  return token;
}

const authorized = (request: Request, header: string | undefined): Request =>
  (header === undefined ? request : { ...request, headers: { ...request.headers, Authorization: header } });

/** Tokens of different users must not be mixed up, and the passwords need not stay in memory for that. */
function keyOf(access: Access): string {
  const { username, password, auth, identitytoken } = access.auth ?? {};
  return `${access.base.href} ${access.scope} ${createHash('sha256').update(JSON.stringify([username, password, auth, identitytoken])).digest('base64')}`;
}

function unauthorized(base: URL, answer: Answer, auth: RegistryAuth | undefined): RegistryFailure {
  const told = toldBy(answer.headers, answer.body);
  const because = told?.message || 'authentication required';
  return new RegistryFailure('unauthorized', `Get "${shownUrl(at(base, '/v2/'))}": unauthorized: ${redacted(because, auth)}`, { status: answer.status });
}
