// Entries of a tar as they arrive: in pieces of any size, read, passed over or left in the middle.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf } from '../lib/errors.ts';
import { tarEntries } from './tar-entries.ts';
import { tarBytes, type TarItem } from './tar-write.ts';

const ITEMS: ReadonlyArray<TarItem & { content?: string }> = [
  { name: 'd/', type: 'dir', mode: 0o755 }, { name: 'd/a', type: 'file', mode: 0o644, content: 'a'.repeat(1300) }, { name: 'd/l', type: 'symlink', mode: 0o777, linkName: 'a' },
  { name: 'empty', type: 'file', mode: 0o644, content: '' }, { name: `${'long/'.repeat(60)}é`, type: 'file', mode: 0o644, content: 'last' },
];
const ARCHIVE = Buffer.concat([tarBytes(ITEMS), Buffer.from('whatever comes behind')]);

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> { for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size); }

test('entries and contents are those of the archive, whatever is read of them', async () => {
  for (const size of [1, 511, 512, 700, 100_000]) {
    for (const how of ['all', 'nothing', 'a bit'] as const) {
      const found: string[] = [];
      for await (const { entry, content } of tarEntries(pieces(ARCHIVE, size))) {
        const read: Buffer[] = [];
        if (how !== 'nothing') for await (const piece of content) { read.push(piece); if (how === 'a bit') break; }
        found.push(`${entry.type} ${entry.sizeBytes}${how === 'all' ? ` ${Buffer.concat(read).toString()}` : ''}`);
      }
      assert.deepEqual(found, ITEMS.map(({ type, content = '' }) => `${type} ${content.length}${how === 'all' ? ` ${content}` : ''}`), `${how}, ${size}`);
    }
  }
});

test('an archive that is cut, and a source that fails, are told to whoever reads', async () => {
  const reading = async (source: AsyncIterable<Uint8Array>) => { for await (const { content } of tarEntries(source)) for await (const _piece of content) { /* read */ } };
  await assert.rejects(reading(pieces(ARCHIVE.subarray(0, 1700), 300)), (error) => kindOf(error) === 'corrupt' && /cut short/.test(String(error)));
  let closed = false;
  const failing = (async function* () { try { yield ARCHIVE.subarray(0, 600); throw new Error('gone'); } finally { closed = true; } })();
  await assert.rejects(reading(failing), { message: 'gone' });
  assert.ok(closed);
  closed = false;
  const endless = (async function* () { try { for (;;) yield ARCHIVE.subarray(0, 512); } finally { closed = true; } })();
  for await (const { entry } of tarEntries(endless)) { assert.equal(entry.type, 'dir'); break; }
  assert.ok(closed, 'who leaves, leaves nothing open');
});
