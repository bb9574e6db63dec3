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
        return one && answerTo({ needs, zone, hostServers, limits }, one, { message, transport });
      };
      using undo = new DisposableStack();
      const listener = undo.use(await listen({ needs, redirect }, sandbox, answer));
      // A client may ask from a port again that it asked an earlier resolver from, which the kernel would lead there for 30 s more.
      sandbox.namespace.forgetFlows({ addresses: [RESOLVER_ADDRESS] });
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
    end() { for (const id of open.keys()) close(id); },
  };
}

interface Answering { needs: NamesNeeds; zone: Zone; hostServers: HostServers; limits: { asking: number; loggedAt: number } }

/** Never rejects. */
function answerTo(answering: Answering, one: Open, { message, transport }: { message: Buffer; transport: Transport }): Buffer | undefined | Promise<Buffer | undefined> {
  const reading = readQuery(message);
  if (!reading.query) return reading.reply;
  const { query } = reading;
  const finding = find(answering.zone, one.sandbox.id, query.question);
  if (finding) return writeAnswer(message, query, { finding: turned(finding, answering.needs.clock), ttlSeconds: TTL_SECONDS, limitBytes: limitOf(query, transport) });
  // The client comes again with a search domain.
  if (isAddressType(query.question) && !query.question.name.includes('.') && wantsDots(optionsOf(answering, one))) return writeAnswer(message, query, { finding: {}, ttlSeconds: 0, limitBytes: MAX_MESSAGE_BYTES });
  return forward(answering, one, { message, transport, query });
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

async function forward({ needs, zone, hostServers, limits }: Answering, one: Open, { message, transport, query }: { message: Buffer; transport: Transport; query: Query }): Promise<Buffer | undefined> {
  const { question } = query;
  if (one.asking >= MAX_QUESTIONS_PER_SANDBOX || limits.asking >= MAX_QUESTIONS) {
    logFull(needs, limits, one.sandbox.id);
    return writeFailure(message, query, RCODE.failed);
  }
  one.asking++;
  limits.asking++;
  try {
    const endpoints = zone.endpoints(one.sandbox.id);
    const servers = decideServers({
      dns: one.sandbox.dns.length > 0 ? one.sandbox.dns : needs.settings.dns, host: hostServers,
      namespaces: { sandbox: one.sandbox.namespace, host: needs.hostNamespace },
      external: endpoints.some(({ internal }) => !internal), ipv6: endpoints.some(({ ipv6 }) => ipv6 !== ''),
    });
    const answer = await ask({ message, question, servers, transport, clock: needs.clock, signal: one.stop.signal });
    if (one.stop.signal.aborted) return undefined;
    if (!answer) return writeFailure(message, query, RCODE.failed);
    return transport === 'udp' && answer.length > query.answerLimitBytes ? writeTruncated(answer, query) : answer;
  } catch (error) {
    needs.log.warn('a question of a container could not be passed on', { container: one.sandbox.id, error });
    return writeFailure(message, query, RCODE.failed);
  } finally {
    one.asking--;
    limits.asking--;
  }
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
