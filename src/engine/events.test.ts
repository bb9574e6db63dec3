import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../lib/clock.ts';
import { openEvents, type Fact } from './events.ts';

const fact = (action: string, more: Partial<Fact> = {}): Fact => ({ type: 'container', action, id: 'c1', attributes: { image: 'busybox', name: 'one' }, ...more });
const none = new Map<string, readonly string[]>();

async function take(events: AsyncIterable<{ Action: string }>, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of events) if (seen.push(event.Action) === count) break;
  return seen;
}

test('the past from since on, then the present, each with the legacy fields', async () => {
  const events = openEvents(systemClock);
  events.publish(fact('create'));
  const since = systemClock.nowNanos();
  events.publish(fact('start'));
  const abort = new AbortController();
  const listening = take(events.subscribe({ sinceNs: since, untilNs: undefined, filters: none, signal: abort.signal }), 2);
  await new Promise(setImmediate);
  events.publish(fact('die'));
  assert.deepEqual(await listening, ['start', 'die']);
  assert.deepEqual(await take(events.subscribe({ sinceNs: undefined, untilNs: systemClock.nowNanos(), filters: none, signal: abort.signal }), 9), ['create', 'start', 'die'], 'until alone asks for the past as well');
  assert.equal(events.listeners, 0);
  for await (const event of events.subscribe({ sinceNs: 0n, untilNs: systemClock.nowNanos(), filters: none, signal: abort.signal })) {
    assert.deepEqual([event.status, event.id, event.from, event.Actor.ID], [event.Action, 'c1', 'busybox', 'c1']);
  }
});

test('filters choose by type, event, container and label; unknown ones are refused', async () => {
  const events = openEvents(systemClock);
  events.publish(fact('create', { attributes: { image: 'busybox:latest', name: 'one', 'my.label': 'yes' } }));
  events.publish(fact('exec_start: ls'));
  events.publish(fact('pull', { type: 'image', id: 'alpine:3', attributes: { name: 'alpine' } }));
  events.publish(fact('tag', { type: 'image', id: 'sha256:1', attributes: { name: '127.0.0.1:5000/sea/lion:1' } }));
  const seen = async (filters: Record<string, string[]>) => {
    const found: string[] = [];
    const options = { sinceNs: 0n, untilNs: systemClock.nowNanos(), filters: new Map(Object.entries(filters)), signal: new AbortController().signal };
    for await (const event of events.subscribe(options)) found.push(event.Action);
    return found;
  };
  assert.deepEqual(await seen({ type: ['image'] }), ['pull', 'tag']);
  assert.deepEqual(await seen({ event: ['exec_start'] }), ['exec_start: ls']);
  assert.deepEqual(await seen({ container: ['one'], label: ['my.label=yes'] }), ['create']);
  assert.deepEqual(await seen({ image: ['busybox'] }), ['create', 'exec_start: ls']);
  assert.deepEqual(await seen({ image: ['alpine'] }), ['pull']);
  assert.deepEqual(await seen({ image: ['alp'] }), []);
  assert.deepEqual(await seen({ image: ['127.0.0.1:5000/sea/lion'] }), ['tag']);
  assert.deepEqual(await seen({ container: ['o'] }), ['create', 'exec_start: ls'], 'the beginning of a name');
  assert.deepEqual(await seen({ container: ['c'] }), ['create', 'exec_start: ls'], 'the beginning of an ID');
  assert.deepEqual(await seen({ event: ['exec'] }), []);
  assert.deepEqual(await seen({ daemon: ['c1'], type: ['container'], scope: ['local'] }), ['create', 'exec_start: ls']);
  assert.deepEqual(await seen({ container: ['one', 'alpine'] }), ['create', 'exec_start: ls', 'pull'], 'of several one is enough');
  assert.deepEqual(await seen({ label: ['my.label'], image: ['busybox'] }), ['create']);
  assert.deepEqual(await seen({ scope: ['swarm'] }), []);
  await assert.rejects(seen({ nope: ['x'] }), /invalid filter 'nope'/);
});

test('a listener that is gone leaves nothing behind, and until ends the stream', async () => {
  const events = openEvents(systemClock);
  const abort = new AbortController();
  const listening = take(events.subscribe({ sinceNs: undefined, untilNs: undefined, filters: none, signal: abort.signal }), 1);
  await new Promise(setImmediate);
  assert.equal(events.listeners, 1);
  abort.abort();
  assert.deepEqual(await listening, []);
  assert.equal(events.listeners, 0);
  assert.deepEqual(await take(events.subscribe({ sinceNs: undefined, untilNs: systemClock.nowNanos() + 20_000_000n, filters: none, signal: new AbortController().signal }), 1), []);
});

test('who falls too far behind gets what it missed nothing of, then an error, never a hole', async () => {
  const events = openEvents(systemClock);
  const listening = events.subscribe({ sinceNs: undefined, untilNs: undefined, filters: new Map(), signal: new AbortController().signal })[Symbol.asyncIterator]();
  const first = listening.next();
  const publish = (n: number) => events.publish({ type: 'container', action: `n${n}`, id: 'x', attributes: {} });
  for (let n = 0; n < 5000; n++) publish(n);
  const heard = [(await first).value?.Action];
  await assert.rejects(async () => {
    for (let n = 5000; ; n++) {
      publish(n); // it goes on while the listener catches up
      heard.push((await listening.next()).value?.Action);
    }
  }, /events behind/);
  assert.deepEqual(heard, heard.map((_action, n) => `n${n}`));
  assert.equal(events.listeners, 0);
});

test('a long life of listening leaves one listener on the signal', async () => {
  const events = openEvents(systemClock);
  const client = new AbortController();
  let added = 0;
  const add = client.signal.addEventListener.bind(client.signal);
  client.signal.addEventListener = ((...args: Parameters<typeof add>) => { added++; add(...args); }) as typeof add;
  const listening = events.subscribe({ sinceNs: undefined, untilNs: undefined, filters: new Map(), signal: client.signal })[Symbol.asyncIterator]();
  for (let n = 0; n < 50; n++) {
    const next = listening.next();
    events.publish({ type: 'container', action: `n${n}`, id: 'x', attributes: {} });
    assert.equal((await next).value?.Action, `n${n}`);
  }
  assert.equal(added, 1);
  client.abort();
  assert.equal((await listening.next()).done, true);
});
