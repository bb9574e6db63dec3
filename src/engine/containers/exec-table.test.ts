// How long execs are known, and how many.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container } from './container.ts';
import { ExecTable, type Exec } from './exec-table.ts';

const MINUTE_MS = 60_000;
const container = () => ({ execIds: new Set<string>() }) as unknown as Container;

function world() {
  const forgotten: string[] = [];
  const table = new ExecTable((exec) => forgotten.push(exec.id));
  const add = (id: string, of: Container, changes: Partial<Exec> = {}): Exec => {
    const exec: Exec = { id, container: of, body: {}, argv: ['true'], probe: false, started: true, process: undefined, exitCode: null, endedAtMs: undefined, waiting: [], ...changes };
    table.add(exec);
    return exec;
  };
  return { table, forgotten, add };
}

test('an ended one is known for ten minutes, marked in the second half of them; a probe not at all', () => {
  const { table, forgotten, add } = world();
  const home = container();
  const [one, probe] = [add('one', home), add('probe', home, { probe: true })];
  assert.deepEqual([...home.execIds], ['one', 'probe']);
  table.end(one, { exitCode: 3, now: 1000 });
  table.end(probe, { exitCode: 0, now: 1000 });
  assert.deepEqual([[...home.execIds], table.find('one', 1000)?.exitCode, table.find('probe', 1000)], [[], 3, undefined]);
  assert.deepEqual([table.isMarked(one, 1000 + 4 * MINUTE_MS), table.isMarked(one, 1000 + 5 * MINUTE_MS)], [false, true]);
  assert.equal(table.find('one', 999 + 10 * MINUTE_MS), one);
  assert.equal(table.find('one', 1000 + 10 * MINUTE_MS), undefined);
  assert.deepEqual(forgotten, ['one']);
});

test('with a run end those that had not begun, with a container all of it', () => {
  const { table, add } = world();
  const [home, other] = [container(), container()];
  for (const [id, of, started] of [['created', home, false], ['ran', home, true], ['elsewhere', other, false]] as const) add(id, of, { started });
  table.endOf(home);
  assert.deepEqual(['created', 'ran', 'elsewhere'].map((id) => table.find(id, 0) !== undefined), [false, true, true]);
  assert.equal(home.execIds.size, 0);
  table.forget(home);
  assert.deepEqual(['ran', 'elsewhere'].map((id) => table.find(id, 0) !== undefined), [false, true]);
});

test('of very many ended ones the oldest are forgotten first', () => {
  const { table, forgotten, add } = world();
  const home = container();
  for (let n = 0; n < 1002; n++) table.end(add(`e${n}`, home), { exitCode: 0, now: n });
  assert.deepEqual(forgotten, ['e0', 'e1']);
  assert.ok(table.find('e2', 1002));
});

test('whoever waits for the beginning is told when it failed', () => {
  const { table, add } = world();
  let told = 0;
  const exec = add('one', container(), { waiting: [() => told++] });
  table.end(exec, { exitCode: 126, now: 0 });
  assert.deepEqual([told, exec.waiting.length], [1, 0]);
});
