// A tar as it arrives: one entry after the other, the content of each as it comes; what is not read of it is passed over.
import { invalid } from '../lib/errors.ts';
import { textOf } from './byte-string.ts';
import { TarReader, type TarEntry } from './tar-read.ts';

export interface ArrivingEntry {
  entry: TarEntry;
  /** To be read before the next entry is asked for, or not at all. Chunks are the reader's to keep. */
  content: AsyncIterable<Buffer>;
}

type Event = { entry: TarEntry } | { bytes: Buffer } | 'end';

/** Chunks must not change after they were yielded. Errors: the source's, `corrupt` of a broken archive, invalid for sparse files. The rest behind the archive's end is read and thrown away. */
export async function* tarEntries(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArrivingEntry> {
  const events = eventsOf(source)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const event = await events.next();
      if (event.done === true) return;
      if (event.value === 'end' || 'bytes' in event.value) continue; // left of an entry that nobody wanted
      yield { entry: event.value.entry, content: contentOf(events) };
    }
  } finally { await events.return?.(undefined); }
}

/** Ends with the entry. Asked again after that it stays at its end. */
async function* contentOf(events: AsyncIterator<Event>): AsyncGenerator<Buffer> {
  for (;;) {
    const event = await events.next();
    if (event.done === true || event.value === 'end') return;
    if ('bytes' in event.value) yield event.value.bytes;
  }
}

async function* eventsOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Event> {
  let events: Event[] = [];
  let name = '';
  const reader = new TarReader({
    raw() {},
    entry(entry) { name = entry.name; if (entry.sparse) throw sparse(name); events.push({ entry }); },
    data(bytes, start, end) { events.push({ bytes: bytes.subarray(start, end) }); },
    hole() { throw sparse(name); },
    entryEnd() { events.push('end'); },
  });
  for await (const chunk of source) {
    reader.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
    const arrived = events;
    events = [];
    yield* arrived;
  }
  reader.finish();
  yield* events;
}

const sparse = (name: string) => invalid(`${textOf(name)}: a sparse file in an archive of images; pack it without`);
