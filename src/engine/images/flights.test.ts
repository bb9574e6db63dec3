import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChainId } from '../../oci/digest.ts';
import { Flights } from './flights.ts';

const CHAIN = parseChainId(`sha256:${'a'.repeat(64)}`);
const quiet = { status() {}, moved() {} };

test('two who want one layer share the work and both hear of it', async () => {
  const flights = new Flights();
  const land = Promise.withResolvers<void>();
  let flown = 0;
  const told: string[] = [];
  const fly = async (events: { status(text: string): void }) => { flown++; events.status('Waiting'); await land.promise; };
  const signal = new AbortController().signal;
  const one = flights.join(CHAIN, { ...quiet, status: (text) => told.push(`1 ${text}`) }, { signal, fly });
  const two = flights.join(CHAIN, { ...quiet, status: (text) => told.push(`2 ${text}`) }, { signal, fly });
  land.resolve();
  await Promise.all([one, two, flights.landed(CHAIN)]);
  assert.equal(flown, 1);
  assert.deepEqual(told.toSorted(), ['1 Waiting', '2 Waiting']);
});

test('one who leaves does not stop the other; the last one who leaves stops the work and waits for it', async () => {
  const flights = new Flights();
  const [first, second] = [new AbortController(), new AbortController()];
  let stopped = false;
  const fly = async (_events: unknown, signal: AbortSignal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => resolve());
    await promise;
    await new Promise(setImmediate); // cleaning up
    stopped = true;
    signal.throwIfAborted();
  };
  const one = flights.join(CHAIN, { ...quiet }, { signal: first.signal, fly });
  const two = flights.join(CHAIN, { ...quiet }, { signal: second.signal, fly });
  first.abort(new Error('first left'));
  await assert.rejects(one, /first left/);
  assert.equal(stopped, false);
  second.abort(new Error('second left'));
  await assert.rejects(two, /second left/);
  assert.equal(stopped, true);
  await flights.landed(CHAIN); // nothing is on its way any more
});

test('who comes while an abandoned flight is being taken down gets one of its own', async () => {
  const flights = new Flights();
  const leaver = new AbortController();
  const down = Promise.withResolvers<void>();
  const abandoned = flights.join(CHAIN, { ...quiet }, { signal: leaver.signal, fly: async (_events, signal) => { await down.promise; signal.throwIfAborted(); } });
  leaver.abort(new Error('gone'));
  const landed = Promise.withResolvers<void>();
  const fresh = flights.join(CHAIN, { ...quiet }, { signal: new AbortController().signal, fly: () => landed.promise });
  down.resolve();
  await assert.rejects(abandoned, /gone/);
  let isOver = false;
  const waited = flights.landed(CHAIN).then(() => { isOver = true; });
  await new Promise(setImmediate);
  assert.equal(isOver, false, 'the fresh one is still on its way');
  landed.resolve();
  await Promise.all([fresh, waited]);
});

test('a failure reaches everyone who waits', async () => {
  const flights = new Flights();
  const fly = async () => { throw new Error('no bytes'); };
  const signal = new AbortController().signal;
  const results = await Promise.allSettled([flights.join(CHAIN, { ...quiet }, { signal, fly }), flights.join(CHAIN, { ...quiet }, { signal, fly })]);
  assert.deepEqual(results.map((result) => result.status), ['rejected', 'rejected']);
});
