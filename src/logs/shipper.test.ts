// A log is passed on whole and once: through turns, receivers that take little, and daemons that stop anywhere; and what the journal exports is cut into entries.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../lib/clock.ts';
import { ExportCutter } from './journal-export.ts';
import { Pace } from './pace.ts';
import type { Piece } from './pieces.ts';
import { openShipper } from './shipper.ts';
import type { Sink } from './sink.ts';

test('what one daemon did not pass on the next one does, and nothing twice, wherever it stopped', async (t) => {
  for (let stop = 1; stop <= 12; stop++) {
    const place = scratch(t);
    const got: string[] = [];
    const lines = Array.from({ length: 8 }, (_, n) => line(n, `n${n}`));
    lines.splice(3, 0, `${line(3, 'part', 'P')}${line(3, 'ed')}`);
    writeFileSync(place.path, lines.slice(0, 5).join(''));
    renameSync(place.path, `${place.path}.now`); // turned by conmon, and by nobody else yet
    writeFileSync(place.path, lines.slice(5).join(''));
    const stopping = new AbortController();
    const first = sinkOf(got, { most: stop, full: () => stopping.abort() });
    await shipped(place, first, stopping.signal).catch((error: unknown) => { if (!stopping.signal.aborted) throw error; });
    assert.equal(got.length, Math.min(stop, 9));
    await shipped(place, sinkOf(got, { most: Infinity }), new AbortController().signal);
    assert.deepEqual(got, ['n0', 'n1', 'n2', 'parted', 'n3', 'n4', 'n5', 'n6', 'n7'], `stopped after ${stop}`);
    assert.ok(!existsSync(`${place.path}.now`), 'what is passed on goes');
  }
});

test('what a kept log held before is not passed on, and what is written meanwhile is', async (t) => {
  const place = scratch(t);
  const got: string[] = [];
  writeFileSync(place.path, line(1, 'old'));
  const sink = sinkOf(got, { most: Infinity });
  await using shipper = await openShipper({ ...place, consume: false, sink, pace: new Pace(systemClock) });
  const { signal } = new AbortController();
  assert.equal(await shipper.ship(signal), false);
  appendFileSync(place.path, line(2, 'new') + line(3, 'begun', 'P'));
  assert.equal(await shipper.ship(signal), true);
  assert.deepEqual(got, ['new']);
  await shipper.flush(signal);
  assert.deepEqual(got, ['new', 'begun']);
  assert.ok(existsSync(place.path));
});

test('the file that was full when its program ended is passed on, though there is none in its place', async (t) => {
  const place = scratch(t);
  const got: string[] = [];
  writeFileSync(place.path, line(1, 'a'));
  await using shipper = await openShipper({ ...place, consume: true, sink: sinkOf(got, { most: Infinity }), pace: new Pace(systemClock) });
  const { signal } = new AbortController();
  assert.equal(await shipper.ship(signal), true);
  renameSync(place.path, `${place.path}.2`);
  assert.equal(await shipper.ship(signal), false, 'nothing while the next one is not there');
  writeFileSync(`${place.path}.1`, line(2, 'b'));
  assert.equal(await shipper.ship(signal), true);
  assert.deepEqual(got, ['a', 'b']);
});

test('a file that is deleted unread is a loss of its length; one that is being read is none', async (t) => {
  const place = scratch(t);
  const got: string[] = [];
  writeFileSync(`${place.path}.2`, line(1, 'a'));
  writeFileSync(`${place.path}.1`, line(2, 'b'));
  writeFileSync(place.path, line(3, 'c'));
  const stopping = new AbortController();
  await using shipper = await openShipper({ ...place, consume: true, sink: sinkOf(got, { most: 0, full: () => stopping.abort() }), pace: new Pace(systemClock) });
  await assert.rejects(shipper.ship(stopping.signal));
  assert.equal(await shipper.noteDeletion(`${place.path}.2`), 0);
  assert.equal(await shipper.noteDeletion(`${place.path}.1`), line(2, 'b').length);
  assert.equal(await shipper.noteDeletion(`${place.path}.9`), 0);
});

test('exported entries are the same however the bytes are cut', () => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(5n);
  const bytes = Buffer.concat([Buffer.from('__CURSOR=a\nMESSAGE\n'), length, Buffer.from('x\n=\n\0\nPRIORITY=6\n\n__CURSOR=b\nMESSAGE=a=b\n\n\n__CURSOR=c\n')]);
  for (const size of [1, 2, 7, bytes.length]) {
    const cutter = new ExportCutter();
    const entries: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) for (const entry of cutter.push(bytes.subarray(at, at + size))) entries.push(Object.fromEntries([...entry].map(([name, value]) => [name, value.toString()])));
    assert.deepEqual(entries, [{ __CURSOR: 'a', MESSAGE: 'x\n=\n\0', PRIORITY: '6' }, { __CURSOR: 'b', MESSAGE: 'a=b' }], `cut into ${size}`);
  }
});

interface Place { path: string; positionPath: string }

function scratch(t: TestContext): Place {
  const folder = mkdtempSync(`${tmpdir()}/shipper-`);
  t.after(() => rmSync(folder, { recursive: true }));
  return { path: `${folder}/log`, positionPath: `${folder}/position` };
}

async function shipped(place: Place, sink: Sink, signal: AbortSignal): Promise<void> {
  await using shipper = await openShipper({ ...place, consume: true, sink, pace: new Pace(systemClock) });
  await shipper.ship(signal);
}

/** Takes one at a time, and `most` at all. */
function sinkOf(got: string[], { most, full }: { most: number; full?: () => void }): Sink {
  let left = most;
  return {
    offer(pieces: readonly Piece[], from: number) {
      const piece = pieces[from];
      if (left === 0 || !piece) return 0;
      left--;
      got.push(Buffer.from(piece.bytes).toString());
      return 1;
    },
    async ready() { if (left === 0) full?.(); },
    async [Symbol.asyncDispose]() { /* nothing is held */ },
  };
}

function line(second: number, what: string, tag = 'F'): string {
  return `${new Date(second * 1000).toISOString().replace('Z', '000000+00:00')} stdout ${tag} ${what}\n`;
}
