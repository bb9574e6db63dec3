// The files of a log are turned without a loss, whatever conmon does meanwhile, and come to rest when the program has ended.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { Keeper } from './keeper.ts';
import { turn } from './turns.ts';

const LIMITS = { maxBytes: 4, maxFiles: 3, compress: true };

test('a last file that is full is turned and compressed like any other, and nobody is asked for a next one', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(path, 'full');
  let asked = 0;
  const keeper = new Keeper({ id: 'c', path, limits: LIMITS, shipper: undefined, clock: systemClock, log: silentLog, reopen: async () => { asked++; return false; } });
  keeper.end();
  await keeper.done;
  assert.deepEqual([keeper.finished, asked, filesIn(path)], [true, 0, ['log.1.gz']]);
});

test('a file that conmon puts in the place of a full one while that is turned stays, and conmon is asked for no further one', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(path, 'full');
  const asked: string[] = [];
  const needs = { clock: systemClock, isWritten: () => true, beforeNames: async () => {}, beforeDelete: async () => {}, reopen: async () => { asked.push('too early'); writeFileSync(path, 'new'); return true; } };
  await turn(path, { ...LIMITS, maxBytes: 5 }, needs);
  writeFileSync(`${path}.tmp`, 'next');
  const turning = turn(path, LIMITS, needs);
  for (const end = performance.now() + 20; performance.now() < end;); // it has found the full one by now, and waits for this process to go on
  renameSync(`${path}.tmp`, path);
  assert.deepEqual(await turning, { sizeBytes: 4, turned: true });
  assert.deepEqual([asked, filesIn(path), readFileSync(path, 'utf8')], [[], ['log', 'log.1', 'log.now'], 'next']);
});

test('conmon is asked until it listens, and then not again', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(path, 'full');
  let asked = 0, told = 0;
  const reopen = async () => {
    if (++asked < 3) return false;
    told++;
    setTimeout(() => { writeFileSync(path, 'new'); }, 20);
    return true;
  };
  await turn(path, LIMITS, { clock: systemClock, isWritten: () => true, beforeNames: async () => {}, beforeDelete: async () => {}, reopen });
  assert.deepEqual([told, filesIn(path), readFileSync(`${path}.1`, 'utf8')], [1, ['log', 'log.1', 'log.now'], 'full']);
});

function scratch(t: TestContext): string {
  const folder = mkdtempSync(`${tmpdir()}/keeper-`);
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function filesIn(path: string): string[] { return readdirSync(path.slice(0, path.lastIndexOf('/'))).toSorted(); }
