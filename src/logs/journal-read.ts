// Reads a container's entries back from the journal, through journalctl where it is installed.
import type { Kernel } from '../kernel/index.ts';
import { parseNanos } from '../lib/clock.ts';
import { EngineError } from '../lib/errors.ts';
import { ExportCutter, type Entry } from './journal-export.ts';
import type { LogQuery, LogRecord } from './index.ts';

const NANOS_PER_SECOND = 1_000_000_000n;
/** Fields of an entry that say nothing about the container's own labels and variables. Source: what dockerd was seen to show. */
const KNOWN = new Set([
  'MESSAGE', 'MESSAGE_ID', 'PRIORITY', 'CODE_FILE', 'CODE_LINE', 'CODE_FUNC', 'ERRNO', 'SYSLOG_FACILITY', 'SYSLOG_IDENTIFIER', 'SYSLOG_PID', 'SYSLOG_TIMESTAMP',
  'CONTAINER_NAME', 'CONTAINER_ID', 'CONTAINER_ID_FULL', 'CONTAINER_TAG',
]);

export interface JournalReadNeeds {
  kernel: Pick<Kernel, 'programs'>;
  id: string;
  /** Until what was written by now has been sent to the journal. */
  caughtUp: () => Promise<void>;
}

/** Whether the journal can be read on this machine. */
export const canReadJournal = (kernel: Pick<Kernel, 'programs'>): boolean => kernel.programs.find('journalctl') !== undefined;

export async function * readJournal(needs: JournalReadNeeds, query: LogQuery): AsyncGenerator<LogRecord> {
  const journalctl = needs.kernel.programs.find('journalctl');
  if (journalctl === undefined) throw new EngineError('not-implemented', 'configured logging driver does not support reading');
  await settle(needs, journalctl);
  const place: Place = { cursor: undefined };
  const match = [journalctl, '--output=export', '--no-pager', '--quiet', `CONTAINER_ID_FULL=${needs.id}`] as const;
  const past = query.tail === 'all' ? ['--no-tail'] : [`--lines=${Math.max(0, query.tail)}`];
  const since = query.sinceNs === undefined ? [] : [`--since=@${query.sinceNs / NANOS_PER_SECOND}`];
  if (!query.follow) return yield* entries(needs, { command: [...match, ...(query.tail === 'all' ? [] : past), ...since], query, place });
  const over = new AbortController();
  const end = () => over.abort();
  query.signal?.addEventListener('abort', end, { once: true });
  void query.ended.then(end, end);
  try {
    const done = yield* entries(needs, { command: [...match, '--follow', ...past, ...since], query, place, signal: over.signal });
    if (done || query.signal?.aborted) return;
    // What came between the last look of journalctl and the end of the program.
    await settle(needs, journalctl);
    const rest = place.cursor === undefined ? [...(query.tail === 'all' ? [] : past), ...since] : [`--after-cursor=${place.cursor}`];
    yield* entries(needs, { command: [...match, ...rest], query, place });
  } finally {
    query.signal?.removeEventListener('abort', end);
    over.abort();
  }
}

interface Place { cursor: string | undefined }
interface Reading { command: readonly [string, ...string[]]; query: LogQuery; place: Place; signal?: AbortSignal }

/** True when an entry lies behind what was asked for. */
async function * entries({ kernel }: JournalReadNeeds, { command, query, place, signal }: Reading): AsyncGenerator<LogRecord, boolean> {
  const cutter = new ExportCutter();
  for await (const bytes of kernel.programs.output(command, signal ? { signal } : {})) {
    for (const entry of cutter.push(bytes)) {
      place.cursor = entry.get('__CURSOR')?.toString() ?? place.cursor;
      const record = recordOf(entry);
      if (query.signal?.aborted) return true;
      if (!record) continue;
      if (query.untilNs !== undefined && record.timeNs > query.untilNs) return true;
      if (query.sinceNs !== undefined && record.timeNs < query.sinceNs) continue;
      if (record.stream === 'stdout' ? query.stdout : query.stderr) yield record;
    }
  }
  return false;
}

/** Docker's attributes are the fields that are not the journal's and not its own. */
function recordOf(entry: Entry): LogRecord | undefined {
  const message = entry.get('MESSAGE');
  const written = parseNanos(entry.get('SYSLOG_TIMESTAMP')?.toString() ?? '');
  const journalled = /^\d{1,18}$/.exec(entry.get('__REALTIME_TIMESTAMP')?.toString() ?? '')?.[0];
  const timeNs = written ?? (journalled === undefined ? undefined : BigInt(journalled) * 1000n);
  if (!message || timeNs === undefined) return undefined;
  const partial = entry.get('CONTAINER_PARTIAL_MESSAGE')?.toString() === 'true';
  return {
    stream: Number(entry.get('PRIORITY')?.toString() ?? '6') <= 3 ? 'stderr' : 'stdout', timeNs,
    bytes: partial ? message : Buffer.concat([message, Buffer.from('\n')]),
    attributes: Object.fromEntries([...entry].filter(([name]) => !name.startsWith('_') && !KNOWN.has(name)).map(([name, value]) => [name, value.toString()])),
  };
}

/** So that a reader finds what the program has written by now. Without the journal's socket for it there is no waiting, and the newest lines may come late. */
async function settle({ kernel, caughtUp }: JournalReadNeeds, journalctl: string): Promise<void> {
  await caughtUp();
  try {
    for await (const said of kernel.programs.output([journalctl, '--sync'])) void said;
  } catch { /* an old journal, or none of this machine's own */ }
}
