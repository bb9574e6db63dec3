// Who is ended together with an exec.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familyOf, kinOf, parseKin } from './family.ts';

const KIN = [
  { pid: 10, parent: 1, session: 10 }, // the container's own
  { pid: 20, parent: 2, session: 19 }, // the exec, whose session was made by who is gone
  { pid: 21, parent: 20, session: 19 },
  { pid: 22, parent: 10, session: 19 }, // an orphan of it
  { pid: 23, parent: 21, session: 23 }, // with a session of its own, but still a child
  { pid: 24, parent: 10, session: 24 }, // a daemon
];

test('an exec, its children, its orphans; not the container\'s own processes and not daemons', () => {
  assert.deepEqual(familyOf({ pid: 20, session: 19 }, KIN), [20, 21, 22, 23]);
  assert.deepEqual(familyOf({ pid: 20, session: undefined }, KIN), [20, 21, 23]);
  assert.deepEqual(familyOf({ pid: 99, session: 98 }, KIN), []);
});

test('the fields are found behind any name', () => {
  assert.deepEqual(parseKin(7, '7 (a) b) S 3 4 5 0 -1'), { pid: 7, parent: 3, session: 5 });
  assert.equal(parseKin(7, '7 (gone) Z 3 4 5 0 -1'), undefined);
  assert.equal(kinOf(process.pid)?.parent, process.ppid);
  assert.equal(kinOf(2 ** 22 + 1), undefined);
});
