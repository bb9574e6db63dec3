import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProgressLine } from '../../wire/types.ts';
import { totalProgress } from './progress.ts';

test('all layers of a pull together go from nothing to everything and never back, as often as one layer', () => {
  const lines: ProgressLine[] = [];
  let nowMs = 0;
  const all = totalProgress({ now: () => nowMs, onLine: (line) => lines.push(line) });
  const [large, small] = [all.part(3000), all.part(1000)];
  const told = () => lines.splice(0).map(({ progressDetail }) => progressDetail);
  const after = (ms: number, share: number, of: typeof large) => { nowMs += ms; of(share); };
  after(0, 0, large);
  after(50, 0.2, large);
  after(50, 0.5, small);
  assert.deepEqual(told(), [{ current: 0, total: 4000 }, { current: 1100, total: 4000 }], 'what came in between is counted and not told');
  after(100, 0.1, large); // a delta was no good, and the whole layer begins
  after(100, 0.2, large);
  assert.deepEqual(told(), []);
  after(1, 1, small);
  after(1, 1.5, large);
  assert.deepEqual(told(), [{ current: 1600, total: 4000 }, { current: 4000, total: 4000 }], 'the end is told whatever the time');
  after(100, 1, large);
  assert.deepEqual(told(), []);
  after(100, 0, all.part(10));
  assert.deepEqual(lines.map(({ id, status, progress }) => [id, status, progress?.slice(0, 3)]), [['Total', '', '[==']]);
});
