import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ooms, type Kills } from './ooms.ts';

test('a strike is told once, by the file of the monitor, the count of the cgroup, or that above it when the cgroup went at once', () => {
  const root = mkdtempSync(join(tmpdir(), 'vq-'));
  const counted = new Map<string, Kills>();
  const told: string[] = [];
  using ooms = new Ooms({ tasks: root }, (id) => counted.get(id) ?? { own: undefined, above: 0 });
  using _listening = ooms.listen((id) => { told.push(id); });
  const ends = (id: string, exitCode: number) => {
    const struck = ooms.struck(id, exitCode);
    ooms.ending(id, exitCode);
    ooms.forget(id);
    return struck;
  };
  for (const id of ['file', 'count', 'above', 'beside', 'stopped']) {
    mkdirSync(join(root, id));
    counted.set(id, { own: 0, above: 4 });
    ooms.watch(id);
  }
  writeFileSync(join(root, 'file/oom'), '');
  assert.equal(ends('file', 3), true);
  counted.set('count', { own: 1, above: 4 });
  assert.equal(ends('count', 0), true);
  const all = (above: number, own: number | undefined) => { for (const id of ['above', 'beside', 'stopped']) counted.set(id, { own, above }); };
  all(5, 0);
  counted.set('above', { own: undefined, above: 5 });
  assert.equal(ends('above', 137), true);
  all(5, undefined);
  assert.equal(ends('beside', 137), false, 'the strike was the other one\'s');
  all(6, undefined);
  assert.equal(ends('stopped', 0), false, 'it ended by itself, whatever happened beside it');
  assert.deepEqual(told, ['file', 'count', 'above']);
  rmSync(root, { recursive: true });
});
