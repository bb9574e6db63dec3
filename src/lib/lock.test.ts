import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedLock, Limiter } from './lock.ts';

const turn = () => new Promise(setImmediate);

test('holders of one key follow each other, other keys are free', async () => {
  const lock = new KeyedLock();
  const order: string[] = [];
  const first = await lock.hold('a');
  const second = lock.hold('a').then((held) => { order.push('second'); return held; });
  const third = lock.hold('a').then((held) => { order.push('third'); return held; });
  assert.deepEqual([lock.has('a'), lock.has('b')], [true, false]);
  (await lock.hold('b'))[Symbol.dispose]();
  await turn();
  assert.deepEqual(order, []);
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  assert.deepEqual([order, lock.size], [['second', 'third'], 0]);
});

test('who leaves the queue lets nobody pass whoever holds the key', async () => {
  const lock = new KeyedLock();
  const holder = await lock.hold('a');
  const leaver = new AbortController();
  const left = lock.hold('a', { signal: leaver.signal });
  leaver.abort(new Error('no patience'));
  await assert.rejects(left, /no patience/);
  let isIn = false;
  const next = lock.hold('a').then((held) => { isIn = true; return held; });
  await turn();
  assert.deepEqual([isIn, lock.has('a')], [false, true]);
  holder[Symbol.dispose]();
  (await next)[Symbol.dispose]();
  await turn();
  assert.deepEqual([isIn, lock.size], [true, 0]);
  await assert.rejects(lock.hold('a', { signal: leaver.signal }), /no patience/);
  assert.equal(lock.size, 0);
});

test('at most so many at once, in the order of asking, without those who left', async () => {
  const limiter = new Limiter(2);
  const [one, two] = [await limiter.hold(), await limiter.hold()];
  const leaver = new AbortController();
  const left = limiter.hold({ signal: leaver.signal });
  let isIn = false;
  const next = limiter.hold().then((held) => { isIn = true; return held; });
  leaver.abort(new Error('no patience'));
  await assert.rejects(left, /no patience/);
  assert.equal(isIn, false);
  one[Symbol.dispose]();
  one[Symbol.dispose](); // once is enough, twice does no harm
  (await next)[Symbol.dispose]();
  two[Symbol.dispose]();
});
