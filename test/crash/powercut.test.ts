// A few power cuts at every run of the suite; `npm run powercut` makes two hundred of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { powercut } from './powercut.ts';

const CUTS = 10;

test('nothing is lost, corrupt or stuck after a power cut', { timeout: 300_000 }, async (t) => {
  const seed = Number(process.env['POWERCUT_SEED'] ?? Date.now() % 1_000_000);
  const report = await powercut({ engine: 'vaquita', seed, cuts: CUTS, files: 600, idleMs: 1000, progress: (line) => { t.diagnostic(line); } });
  t.diagnostic(`${report.kept} layers were whole without the one below, and used again`);
  assert.deepEqual(report.findings, [], `repeat it with POWERCUT_SEED=${seed}`);
  assert.deepEqual([report.good, report.lost, report.corrupt, report.notStarted, report.notCompletable], [CUTS, 0, 0, 0, 0]);
  assert.ok(report.flushes > 0, 'the recording has no flush: it would prove nothing');
});
