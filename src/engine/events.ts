// What happened, told after the fact is on disk: a short past to replay and live listeners with bounded queues.
import type { Clock } from '../lib/clock.ts';
import { unavailable } from '../lib/errors.ts';
import type { EventLine, StringMap } from '../wire/types.ts';
import { assertFilterKeys, matchesLabels } from './filters.ts';
import type { EventsFace, Filters } from './index.ts';

/** Docker keeps as many for `since`. */
const KEPT_EVENTS = 256;
/** A listener that is so far behind is cut off: its queue would grow for ever. */
const QUEUE_EVENTS = 4096;

export interface Fact { type: 'container' | 'image' | 'network' | 'volume' | 'daemon'; action: string; id: string; attributes: StringMap }

export interface Events extends EventsFace {
  publish(fact: Fact): void;
  readonly listeners: number;
  /** Events since the daemon began. */
  readonly published: number;
}

/** `overrun`: it missed something, so nothing that came later is told either. */
interface Listener { queue: EventLine[]; wake: () => void; overrun: boolean }

/** Opens the log of events; time stamps are unique and ascending. */
export function openEvents(clock: Clock): Events {
  const past: EventLine[] = [];
  const listeners = new Set<Listener>();
  let published = 0;

  return {
    get listeners() { return listeners.size; },
    get published() { return published; },
    publish(fact) {
      const line = lineOf(fact, clock.nowNanos());
      published++;
      past.push(line);
      if (past.length > KEPT_EVENTS) past.shift();
      for (const listener of listeners) {
        if (listener.queue.length >= QUEUE_EVENTS) listener.overrun = true;
        if (!listener.overrun) listener.queue.push(line);
        listener.wake();
      }
    },
    async *subscribe(options) {
      assertFilterKeys(options.filters, FILTER_KEYS);
      const listener: Listener = { queue: options.sinceNs === undefined && options.untilNs === undefined ? [] : past.filter((line) => nanosOf(line) >= (options.sinceNs ?? 0n)), wake: () => {}, overrun: false };
      listeners.add(listener);
      const wake = () => listener.wake();
      options.signal.addEventListener('abort', wake, { once: true });
      try {
        yield* drain(listener, clock, options);
      } finally {
        listeners.delete(listener);
        options.signal.removeEventListener('abort', wake);
      }
    },
  };
}

async function* drain(listener: Listener, clock: Clock, options: { untilNs: bigint | undefined; filters: Filters; signal: AbortSignal }): AsyncGenerator<EventLine> {
  const untilNs = options.untilNs;
  for (;;) {
    for (let line = listener.queue.shift(); line; line = listener.queue.shift()) {
      if (untilNs !== undefined && nanosOf(line) > untilNs) return;
      if (matches(line, options.filters)) yield line;
    }
    if (listener.overrun) throw unavailable(`events: the client is ${QUEUE_EVENTS} events behind; listen again with since`);
    const leftMs = untilNs === undefined ? undefined : Number((untilNs - clock.nowNanos()) / 1_000_000n);
    if (options.signal.aborted || (leftMs !== undefined && leftMs <= 0)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    listener.wake = resolve;
    using _timer = leftMs === undefined ? undefined : clock.after(Math.min(leftMs + 1, 2 ** 31 - 1), resolve);
    await promise;
  }
}

const FILTER_KEYS = ['config', 'container', 'daemon', 'event', 'image', 'label', 'network', 'node', 'plugin', 'scope', 'secret', 'service', 'type', 'volume'] as const;

function matches(line: EventLine, filters: Filters): boolean {
  const any = (key: string, accepts: (value: string) => boolean) => {
    const values = filters.get(key);
    return values === undefined || values.length === 0 || values.some(accepts);
  };
  // As Docker has it: the beginning of an ID or of a name is enough, whatever the thing is.
  const about = (value: string) => line.Actor.ID.startsWith(value) || line.Actor.Attributes['name']?.startsWith(value) === true;
  return any('event', (value) => line.Action === value || line.Action.startsWith(`${value}:`))
    && any('type', (value) => line.Type === value)
    && any('scope', (value) => line.scope === value)
    && any('container', about)
    && any('network', about)
    && any('volume', about)
    && any('daemon', about)
    && any('image', (value) => imageNames(line).some((name) => name === value || withoutTag(name) === value))
    && matchesLabels(filters.get('label') ?? [], line.Actor.Attributes);
}

const imageNames = (line: EventLine): string[] => [line.Type === 'image' ? line.Actor.ID : '', line.Actor.Attributes[line.Type === 'image' ? 'name' : 'image'] ?? ''].filter((name) => name !== '');

/** The colon of a port stands before a slash. */
const withoutTag = (name: string): string => name.replace(/@.*$/, '').replace(/:[^/:]*$/, '');

const nanosOf = (line: EventLine): bigint => EXACT.get(line) ?? 0n;
/** timeNano exceeds what a JSON number holds exactly, so the exact time stands beside the line. */
const EXACT = new WeakMap<EventLine, bigint>();

function lineOf(fact: Fact, nanos: bigint): EventLine {
  const legacy = fact.type === 'container' || fact.type === 'image';
  const line: EventLine = {
    ...(legacy ? { status: fact.action, id: fact.id } : {}),
    ...(fact.type === 'container' && fact.attributes['image'] !== undefined ? { from: fact.attributes['image'] } : {}),
    Type: fact.type,
    Action: fact.action,
    Actor: { ID: fact.id, Attributes: fact.attributes },
    scope: 'local',
    time: Number(nanos / 1_000_000_000n),
    timeNano: Number(nanos),
  };
  EXACT.set(line, nanos);
  return line;
}
