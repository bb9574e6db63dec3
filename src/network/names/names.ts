// The resolver of user-defined networks: per sandbox a listener in its namespace, answers out of the zone, and all else passed on to servers.
import type { Clock } from '../../lib/clock.ts';
import { assert, errnoOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { NetNamespace, Programs } from '../../kernel/index.ts';
import type { NetworkSettings } from '../index.ts';
import { openListener, type Answerer, type Listener } from './listener.ts';
import { RCODE, readQuery, reverseAddress, TYPE, writeAnswer, writeFailure, writeTruncated, MAX_MESSAGE_BYTES, type Finding, type Query, type Question } from './message.ts';
import { portsIn, Redirect, type Ports } from './redirect.ts';
import { wantsDots, RESOLVER_ADDRESS } from './resolv-conf.ts';
import { decideServers, openHostServers, type HostServers, type ReadHostFile } from './servers.ts';
import { ask, type Transport } from './upstream.ts';
import { Zone, type ZoneEndpoint } from './zone.ts';

/** As dockerd. */
const TTL_SECONDS = 600;
const MAX_QUESTIONS_PER_SANDBOX = 1024;
/** Each is a socket. */
const MAX_QUESTIONS = 8192;
const LOG_PAUSE_MS = 2000;
const DNS_PORT = 53;
const ANY_PORTS: Ports = { udp: 0, tcp: 0 };

export interface NameSandbox {
  id: string;
  /** Stays open until `close`; not disposed here. */
  namespace: NetNamespace;
  /** The container's own; empty: the daemon's, then the host's. */
  dns: readonly string[];
  dnsOptions: readonly string[];
  /** Whether an earlier daemon opened it: its ports are taken again when they are free, so that the rules in there hold. */
  adopted: boolean;
}

export interface Names {
  /** From now on it is answered at 127.0.0.11. */
  open(sandbox: NameSandbox): Promise<void>;
  /** Who is in which network under which names, also of sandboxes that ask nobody here. Joining again replaces. */
  join(id: string, endpoint: ZoneEndpoint): void;
  leave(id: string, networkId: string): void;
  /** New names in one network, all of them. */
  rename(id: string, networkId: string, names: readonly string[]): void;
  /** Answers nothing more and forgets its names. Fine when it was never opened. */
  close(id: string): void;
  /** Everybody who was there at the start has joined: until then an adopted sandbox that asks for what is not known here waits for its answer. */
  settle(): void;
  end(): void;
}

export interface NamesNeeds {
  log: Log;
  clock: Clock;
  settings: Pick<NetworkSettings, 'dns' | 'dnsOptions'>;
  hostNamespace: NetNamespace;
  programs: Programs;
  readHostFile: ReadHostFile;
}

interface Open { listener: Listener; stop: AbortController; asking: number; sandbox: NameSandbox }

export function openNames(needs: NamesNeeds): Names {
  const zone = new Zone();
  const redirect = new Redirect(needs.programs);
  const hostServers = openHostServers(needs);
  const open = new Map<string, Open>();
  const limits = { asking: 0, loggedAt: Number.NEGATIVE_INFINITY };
  const settled = Promise.withResolvers<void>();
  const start = { over: false, settled: settled.promise };
  const close = (id: string) => {
    const one = open.get(id);
    open.delete(id);
    one?.stop.abort();
    one?.listener[Symbol.dispose]();
  };
  return {
    async open(sandbox) {
      assert(!open.has(sandbox.id), `sandbox ${sandbox.id} is opened once`);
      const answer = (message: Buffer, transport: Transport) => {
        const one = open.get(sandbox.id);
        return one && answerTo({ needs, zone, hostServers, limits, start }, one, { message, transport });
      };
      using undo = new DisposableStack();
      const listener = undo.use(await listen({ needs, redirect }, sandbox, answer));
      // A client may ask from a port again that it asked an earlier resolver from, which the kernel would lead there for 30 s more.
      try { sandbox.namespace.forgetFlows({ addresses: [RESOLVER_ADDRESS] }); }
      catch (error) { needs.log.debug('tracked connections to a resolver cannot be forgotten', { container: sandbox.id, error }); }
      undo.move();
      open.set(sandbox.id, { listener, stop: new AbortController(), asking: 0, sandbox });
    },
    join: (id, endpoint) => { zone.join(id, endpoint); },
    leave: (id, networkId) => { zone.leave(id, networkId); },
    rename(id, networkId, names) {
      const endpoint = zone.endpoints(id).find((one) => one.networkId === networkId);
      if (endpoint) zone.join(id, { ...endpoint, names });
    },
    close(id) {
      close(id);
      zone.leaveAll(id);
    },
    settle() {
      start.over = true;
      settled.resolve();
    },
    end() { for (const id of open.keys()) close(id); },
  };
}

interface Answering { needs: NamesNeeds; zone: Zone; hostServers: HostServers; limits: { asking: number; loggedAt: number }; start: { over: boolean; settled: Promise<void> } }
interface Asked { message: Buffer; transport: Transport; query: Query }

/** Never rejects. */
function answerTo(answering: Answering, one: Open, { message, transport }: { message: Buffer; transport: Transport }): Buffer | undefined | Promise<Buffer | undefined> {
  const reading = readQuery(message);
  if (!reading.query) return reading.reply;
  const asked = { message, transport, query: reading.query };
  const known = knownAnswer(answering, one, asked);
  if (known) return known;
  if (answering.start.over || !one.sandbox.adopted) return answerWithoutDots(answering, one, asked) ?? counted(answering, one, { asked, work: () => forward(answering, one, asked) });
  // Somebody who was there before the start may have that name: a client that is told that nobody has does not ask again.
  return counted(answering, one, { asked, work: async () => {
    await answering.start.settled;
    return knownAnswer(answering, one, asked) ?? answerWithoutDots(answering, one, asked) ?? await forward(answering, one, asked);
  } });
}

function knownAnswer({ zone, needs }: Answering, one: Open, { message, transport, query }: Asked): Buffer | undefined {
  const finding = find(zone, one.sandbox.id, query.question);
  return finding && writeAnswer(message, query, { finding: turned(finding, needs.clock), ttlSeconds: TTL_SECONDS, limitBytes: limitOf(query, transport) });
}

/** The client comes again with a search domain. */
function answerWithoutDots(answering: Answering, one: Open, { message, query }: Asked): Buffer | undefined {
  if (!isAddressType(query.question) || query.question.name.includes('.') || !wantsDots(optionsOf(answering, one))) return undefined;
  return writeAnswer(message, query, { finding: {}, ttlSeconds: 0, limitBytes: MAX_MESSAGE_BYTES });
}

/** What is known here; undefined: others must be asked. Of a name that is known nothing is asked elsewhere, whatever the type. */
function find(zone: Zone, id: string, { name, type, internet }: Question): Finding | undefined {
  if (!internet) return undefined;
  if (type === TYPE.ptr) {
    const address = reverseAddress(name);
    const host = address && zone.reverse(id, address);
    if (host) return { name: host };
  }
  const addresses = zone.resolve(id, name, type === TYPE.aaaa ? 'ipv6' : 'ipv4');
  return addresses && (isAddressType({ type }) ? { addresses } : {});
}

/** What takes a while, as far as there is room for it. */
async function counted({ needs, limits }: Answering, one: Open, { asked: { message, query }, work }: { asked: Asked; work: () => Promise<Buffer | undefined> }): Promise<Buffer | undefined> {
  if (one.asking >= MAX_QUESTIONS_PER_SANDBOX || limits.asking >= MAX_QUESTIONS) {
    logFull(needs, limits, one.sandbox.id);
    return writeFailure(message, query, RCODE.failed);
  }
  one.asking++;
  limits.asking++;
  try {
    return await work();
  } catch (error) {
    needs.log.warn('a question of a container could not be passed on', { container: one.sandbox.id, error });
    return writeFailure(message, query, RCODE.failed);
  } finally {
    one.asking--;
    limits.asking--;
  }
}

async function forward({ needs, zone, hostServers }: Answering, one: Open, { message, transport, query }: Asked): Promise<Buffer | undefined> {
  const endpoints = zone.endpoints(one.sandbox.id);
  const servers = decideServers({
    dns: one.sandbox.dns.length > 0 ? one.sandbox.dns : needs.settings.dns, host: hostServers,
    namespaces: { sandbox: one.sandbox.namespace, host: needs.hostNamespace },
    external: endpoints.some(({ internal }) => !internal), ipv6: endpoints.some(({ ipv6 }) => ipv6 !== ''),
  });
  const answer = await ask({ message, question: query.question, servers, transport, clock: needs.clock, signal: one.stop.signal });
  if (one.stop.signal.aborted) return undefined;
  if (!answer) return writeFailure(message, query, RCODE.failed);
  return transport === 'udp' && answer.length > query.answerLimitBytes ? writeTruncated(answer, query) : answer;
}

function logFull({ log, clock }: NamesNeeds, limits: Answering['limits'], id: string): void {
  const now = clock.monotonicMs();
  if (now - limits.loggedAt < LOG_PAUSE_MS) return;
  limits.loggedAt = now;
  log.warn('containers ask for more names at once than are passed on; some are told that it failed', { container: id, perContainer: MAX_QUESTIONS_PER_SANDBOX, total: MAX_QUESTIONS });
}

const isAddressType = ({ type }: { type: number }): boolean => type === TYPE.a || type === TYPE.aaaa;
const limitOf = (query: Query, transport: Transport): number => (transport === 'tcp' ? MAX_MESSAGE_BYTES : query.answerLimitBytes);

/** Those that its resolv.conf shows, beside our own. */
const optionsOf = ({ needs, hostServers }: Answering, { sandbox }: Open): readonly string[] => [sandbox.dnsOptions, needs.settings.dnsOptions].find((own) => own.length > 0) ?? hostServers.now().options;

/** Clients take the first address: each shall get its share of them. */
function turned({ addresses = [], ...finding }: Finding, clock: Clock): Finding {
  if (addresses.length < 2) return { ...finding, addresses };
  const first = Number.parseInt(clock.randomHex(4), 16) % addresses.length;
  return { ...finding, addresses: [...addresses.slice(first), ...addresses.slice(0, first)] };
}

/** Without a program for the rules it listens where it is asked, which takes port 53 of that address from the container. */
async function listen({ needs, redirect }: { needs: NamesNeeds; redirect: Redirect }, { id, namespace, adopted }: NameSandbox, answer: Answerer): Promise<Listener> {
  const at = (ports: Ports) => openListener({ namespace, ports, answer });
  const rules = adopted ? await redirect.read(namespace) : [];
  const before = portsIn(rules);
  const listener = await (before ? at(before).catch((error: unknown) => {
    if (errnoOf(error) !== 'EADDRINUSE') throw error;
    return at(ANY_PORTS); // a program of the container was quicker
  }) : at(ANY_PORTS));
  try {
    await redirect.ensure(namespace, listener.ports, rules);
    return listener;
  } catch (error) {
    listener[Symbol.dispose]();
    needs.log.warn('the NAT rules of the resolver could not be written: it takes port 53 of 127.0.0.11 in the container', { container: id, error });
    return await at({ udp: DNS_PORT, tcp: DNS_PORT });
  }
}
