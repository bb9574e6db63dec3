// events: what happens in the engine, as it happens.
import type { EventLine } from '../../wire/types.ts';
import { filtersParameter, textLines } from '../client.ts';
import { print, type Call, type Command } from '../command.ts';
import { flag } from '../flags.ts';
import { Failure, EXIT_TEMPLATE } from '../failure.ts';
import { EngineError } from '../../lib/errors.ts';
import { compileTemplate } from '../../wire/template.ts';
import { toJson } from '../../wire/template-functions.ts';
import { parseTimestamp, rfc3339Nanos } from '../time.ts';

export const events: Command = {
  name: 'events', usage: '[OPTIONS]', short: 'Get real time events from the server', args: { min: 0, max: 0 },
  flags: [
    flag('f, filter', 'filter', 'Show only what meets the condition'),
    flag('format', 'string', 'Print each event by a Go template'),
    flag('since', 'string', 'Begin with events since this time'),
    flag('until', 'string', 'End at this time'),
  ],
  run: runEvents,
};

const ATTRIBUTES: ReadonlySet<string> = new Set(['Attributes']);
const NO_EVENT: EventLine = { status: '', id: '', from: '', Type: '', Action: '', Actor: { ID: '', Attributes: {} }, scope: 'local', time: 0, timeNano: 0 };

async function runEvents(call: Call): Promise<void> {
  const { flags, client, io } = call;
  const typed = flags.text('format');
  const show = typed === '' ? undefined : templateFailures(() => compileTemplate(typed === 'json' ? '{{json .}}' : typed, { typeName: '*events.Message', openMaps: ATTRIBUTES }));
  if (show) templateFailures(() => show(templateFields(NO_EVENT, '0'))); // a mistake in it is told now, not when something happens
  const time = (name: string) => (flags.text(name) === '' ? undefined : parseTimestamp(flags.text(name), io.clock.now()));
  const stream = await client.stream('GET', '/events', { query: { filters: filtersParameter(flags.filters()), since: time('since'), until: time('until') } });
  for await (const line of textLines(stream)) {
    // Nanoseconds need more digits than a JavaScript number has: they are taken from the text.
    const nanos = /"timeNano":(\d+)/.exec(line)?.[1] ?? '0';
    const event = JSON.parse(line) as EventLine;
    if (typed === 'json' || typed === '{{json .}}') print(call, toJson(event).replace(/"timeNano":\d+/, `"timeNano":${nanos}`));
    else print(call, show ? templateFailures(() => show(templateFields(event, nanos))) : eventText(event, BigInt(nanos)));
    await io.stdout.drained();
  }
}

/** Go's names of the fields lead to what the JSON holds, and JSON to the JSON. */
function templateFields(event: EventLine, nanos: string): unknown {
  const names = { Status: event.status ?? '', ID: event.id ?? '', From: event.from ?? '', Scope: event.scope, Time: event.time, TimeNano: nanos };
  const fields: Record<string, unknown> = { ...event };
  for (const [name, value] of Object.entries(names)) Object.defineProperty(fields, name, { value, enumerable: false });
  return fields;
}

function eventText(event: EventLine, timeNano: bigint): string {
  const nanos = timeNano > 0n ? timeNano : BigInt(event.time) * 1_000_000_000n;
  const attributes = Object.entries(event.Actor.Attributes).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value}`);
  return `${rfc3339Nanos(nanos)} ${event.Type} ${event.Action} ${event.Actor.ID}${attributes.length === 0 ? '' : ` (${attributes.join(', ')})`}`;
}

function templateFailures<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof EngineError) throw new Failure(`Error parsing format: ${error.message}`, EXIT_TEMPLATE);
    throw error;
  }
}
