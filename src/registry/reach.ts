// How a registry is reached: which servers are asked in which order, over which scheme, and whose failure is the last word.
import { Authorizer } from './auth.ts';
import { RegistryFailure } from './errors.ts';
import { endpointsOf, type Endpoint } from './hosts.ts';
import { retrying } from './retry.ts';
import { Transport } from './transport.ts';
import { kindOf, messageOf } from '../lib/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { DEFAULT_REGISTRY, familiarName, type Reference } from '../oci/reference.ts';
import type { RegistryAuth } from '../wire/types.ts';
import type { RegistryCall, RegistryConfig } from './index.ts';

/** A mirror that could not be reached is left alone for so long, or each layer would wait for it. */
const AVOID_MIRROR_MS = 60_000;
/** Finding out whether a registry on the local network speaks HTTPS must not take as long as a connection may. */
const PROBE_MS = 5_000;

export interface ReachOptions {
  config: RegistryConfig;
  log: Log;
  clock: Clock;
  /** Told of bytes that have arrived, the ones before them being garbage by then. */
  onReceived?: (bytes: number) => void;
}

/** One server to ask, over one scheme. */
export interface Place {
  base: URL;
  /** Undefined for mirrors: they are no party to the user's credentials. */
  auth: RegistryAuth | undefined;
  connectMs: number | undefined;
}

export class Reach {
  readonly config: RegistryConfig;
  readonly log: Log;
  readonly clock: Clock;
  readonly transport: Transport;
  readonly authorizer: Authorizer;
  /** By host: the scheme in which there was an answer. */
  readonly #spoken = new Map<string, URL>();
  readonly #avoidUntilMs = new Map<string, number>();

  constructor({ config, log, clock, onReceived }: ReachOptions) {
    endpointsOf({ registry: DEFAULT_REGISTRY }, config); // a mirror that is no URL is to be known at the start
    this.config = config;
    this.log = log;
    this.clock = clock;
    this.transport = new Transport(config, clock, onReceived);
    this.authorizer = new Authorizer(this.transport, clock, config.insecureRegistries);
  }

  /** Asks one server after the other until one has the answer; short requests, tried again a few times. */
  async ask<T>(reference: Reference, call: RegistryCall, work: (place: Place) => Promise<T>): Promise<T> {
    call.signal?.throwIfAborted();
    const notes: string[] = [];
    for (const endpoint of this.endpoints(reference)) {
      try {
        return await this.#asking(endpoint, call, work);
      } catch (error) {
        this.passOver(endpoint, error, { notes, isFinal: false });
      }
    }
    throw new RegistryFailure('unavailable', `no registry to ask for ${familiarName(reference)}`);
  }

  /** The same of the registry itself, no mirror of it. */
  async askOwn<T>(reference: Pick<Reference, 'registry'>, call: RegistryCall, work: (place: Place) => Promise<T>): Promise<T> {
    call.signal?.throwIfAborted();
    return await this.#asking(this.own(reference), call, work);
  }

  async #asking<T>(endpoint: Endpoint, call: RegistryCall, work: (place: Place) => Promise<T>): Promise<T> {
    const auth = endpoint.isMirror ? undefined : call.auth;
    return await this.overAnyScheme(endpoint, (base, connectMs) => retrying(() => work({ base, auth, connectMs }), this.patience(call.signal)));
  }

  /** Whom to ask; mirrors that could not be reached a moment ago are left out. */
  endpoints(reference: Reference): Endpoint[] {
    const now = this.clock.monotonicMs();
    return endpointsOf(reference, this.config).filter((endpoint) => !endpoint.isMirror || (this.#avoidUntilMs.get(nameOf(endpoint)) ?? 0) <= now);
  }

  /** Whom to push to. */
  own(reference: Pick<Reference, 'registry'>): Endpoint {
    const endpoint = endpointsOf(reference, this.config).at(-1);
    if (!endpoint) throw new RegistryFailure('invalid', `invalid registry ${JSON.stringify(reference.registry)}`);
    return endpoint;
  }

  /** Swallows the failure of a mirror, so that the next server is asked; throws any other with what the mirrors said. */
  passOver(endpoint: Endpoint, error: unknown, { notes, isFinal }: { notes: string[]; isFinal: boolean }): void {
    const kind = kindOf(error);
    if (endpoint.isMirror) {
      this.log.warn('registry mirror failed', { mirror: nameOf(endpoint), error: messageOf(error) });
      notes.push(`mirror ${nameOf(endpoint)}: ${messageOf(error)}`);
      if (kind === 'unavailable' || kind === 'corrupt') this.#avoidUntilMs.set(nameOf(endpoint), this.clock.monotonicMs() + AVOID_MIRROR_MS);
    }
    if (endpoint.isMirror && !isFinal && kind !== 'cancelled' && kind !== 'system') return;
    if (notes.length === 0 || !(error instanceof RegistryFailure) || endpoint.isMirror) throw error;
    throw new RegistryFailure(kind, `${error.message} (${notes.join('; ')})`, { status: error.status ?? 0, cause: error });
  }

  /** Runs `work` on the scheme that worked before, or on each that may be spoken until one connects. */
  async overAnyScheme<T>(endpoint: Endpoint, work: (base: URL, connectMs: number | undefined) => Promise<T>): Promise<T> {
    const name = nameOf(endpoint);
    const known = this.#spoken.get(name);
    const bases = known ? [known] : endpoint.bases;
    let failure: unknown;
    for (const base of bases) {
      const isProbe = bases.length > 1 && base.protocol === 'https:';
      try {
        const result = await work(base, isProbe ? Math.min(PROBE_MS, this.config.limits.connectMs) : undefined);
        this.#spoken.set(name, base);
        return result;
      } catch (error) {
        failure = error;
        const isUnconnected = error instanceof RegistryFailure && !error.reached;
        if (isUnconnected || isWrongScheme(base, error)) this.#spoken.delete(name);
        else if (error instanceof RegistryFailure && error.status !== undefined) this.#spoken.set(name, base);
        if (!isUnconnected) throw error;
      }
    }
    throw failure;
  }

  patience(signal: AbortSignal | undefined) { return { limits: this.config.limits, clock: this.clock, signal }; }

  close(): void { this.transport.close(); }
}

export const pullScope = (reference: Reference): string => `repository:${reference.path}:pull`;
export const pushScope = (reference: Reference): string => `repository:${reference.path}:pull,push`;

/** Servers that want TLS say so to what comes in plain text. That TLS could not be had for a moment must not decide for good. */
const isWrongScheme = (base: URL, error: unknown): boolean => base.protocol === 'http:' && error instanceof RegistryFailure && error.status === 400;

const nameOf = (endpoint: Endpoint): string => endpoint.bases[0]?.href ?? '';
