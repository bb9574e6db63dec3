// What may and what must survive a cut, on logs made by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogEntry } from './blocklog.ts';
import { decideSurvivors, diceOf, flushedBefore } from './cutstates.ts';

const write = (sector: number, more: Partial<LogEntry> = {}): LogEntry =>
  ({ sector, sectors: 8, flush: false, fua: false, discard: false, dataOffset: 0, ...more });
const flush = write(0, { sectors: 0, flush: true });

test('only a flush before the cut makes writes safe', () => {
  const entries = [write(0), flush, write(8), write(16), flush, write(24)];
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map((cut) => flushedBefore(entries, cut)), [0, 0, 2, 2, 2, 5, 5]);
});

test('survivors come from the unflushed writes before the cut, in their order', () => {
  const entries = [write(0), flush, write(8), write(16), write(24), write(32)];
  const seen = new Set<string>();
  for (let seed = 0; seed < 300; seed++) {
    const pieces = decideSurvivors(entries, 5, diceOf(seed));
    const sectors = pieces.map((piece) => piece.entry.sector);
    assert.deepEqual(sectors, sectors.toSorted((a, b) => a - b), `seed ${seed}`);
    assert.ok(sectors.every((sector) => sector >= 8 && sector <= 24), `seed ${seed}`);
    for (const { entry, from, to } of pieces) assert.ok(from >= 0 && from < to && to <= entry.sectors, `seed ${seed}`);
    seen.add(pieces.map(({ entry, from, to }) => `${entry.sector}${to - from < entry.sectors ? 'torn' : ''}`).join());
  }
  for (const state of ['', '8', '16', '24', '8,16', '8,24', '16,24', '8,16,24']) assert.ok(seen.has(state), `never seen: ${state}`);
  assert.ok([...seen].some((state) => state.includes('torn')));
});

test('a write with FUA survives whole without any flush', () => {
  const entries = [write(0), write(8, { fua: true })];
  for (let seed = 0; seed < 100; seed++) {
    const kept = decideSurvivors(entries, 2, diceOf(seed)).find((piece) => piece.entry.sector === 8);
    assert.deepEqual([kept?.from, kept?.to], [0, 8], `seed ${seed}`);
  }
});
