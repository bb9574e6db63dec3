// Transfers over every kind of bad connection: they complete without fetching twice, or fail with the reason.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { openFakeRegistry, type FakeRegistry, type Misbehaviour, type Seen } from '../../test/kit/fake-registry.ts';
import { collect, openTestClient, type ClientOptions } from '../../test/kit/registry-client.ts';
import { MEDIA, type Descriptor } from '../oci/manifest.ts';
import { parseReference } from '../oci/reference.ts';
import { digestOf } from '../oci/digest.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { kindOf, messageOf } from '../lib/errors.ts';
import type { BlobCall } from './index.ts';

const SIZE = 1_000_000;
const BLOB = randomBytes(SIZE);

interface World extends AsyncDisposable {
  server: FakeRegistry;
  want: Descriptor;
  retries: string[];
  fetch(want?: Partial<Descriptor>, call?: Partial<BlobCall>): Promise<Buffer>;
  stream(call?: Partial<BlobCall>): AsyncIterator<Uint8Array>;
  readonly bytesReceived: number;
}

async function world(misbehave: (seen: Seen) => Misbehaviour | undefined = () => undefined, options: ClientOptions = {}): Promise<World> {
  const server = await openFakeRegistry();
  const client = openTestClient(options);
  const want = server.addBlob(BLOB, MEDIA.dockerLayerGzip);
  server.misbehave = (seen) => (seen.kind === 'blob' ? misbehave(seen) : undefined);
  const ref = parseReference(`${server.host}/test/image:latest`);
  const retries: string[] = [];
  const blob = (descriptor: Descriptor, call: Partial<BlobCall>) =>
    client.registry.blob(ref, descriptor, { auth: undefined, onRetry: ({ attempt, waitMs, error }) => retries.push(`${attempt} ${waitMs} ${error.message}`), ...call });
  return {
    server, want, retries,
    fetch: (other = {}, call = {}) => collect(blob({ ...want, ...other }, call)),
    stream: (call = {}) => blob(want, call)[Symbol.asyncIterator](),
    get bytesReceived() { return client.registry.bytesReceived; },
    async [Symbol.asyncDispose]() { await client[Symbol.asyncDispose](); await server[Symbol.asyncDispose](); },
  };
}

/** Time passes when it is told to; how many were waiting for it. */
function stillClock(): { clock: Clock; pass: (ms: number) => number } {
  const timers = new Set<() => void>();
  let nowMs = 0;
  return {
    clock: { ...systemClock, monotonicMs: () => nowMs, after: (_ms, run) => { timers.add(run); return { [Symbol.dispose]: () => { timers.delete(run); } }; } },
    pass: ms => {
      nowMs += ms;
      const due = [...timers]; // those that run set others
      for (const run of due) run();
      return due.length;
    },
  };
}

test('a blob arrives in one request', async () => {
  await using w = await world();
  assert.deepEqual(await w.fetch(), BLOB);
  assert.equal(w.server.seen('blob').length, 1);
  assert.equal(w.bytesReceived, SIZE);
  assert.deepEqual(await w.fetch({ digest: w.server.addBlob(new Uint8Array(0), 'x').digest, size: 0 }), Buffer.alloc(0));
});

test('a connection that is cut again and again is resumed where it broke, and no byte is fetched twice', async () => {
  await using w = await world(() => ({ cutAfterBytes: 150_000 }));
  assert.deepEqual(await w.fetch(), BLOB);
  assert.equal(w.bytesReceived, SIZE);
  assert.deepEqual(w.server.seen('blob').map(({ range }) => range), [undefined, ...[1, 2, 3, 4, 5, 6].map((n) => `bytes=${n * 150_000}-`)]);
  // Each cut came after progress, so each wait is the first one.
  assert.ok(w.retries.every((retry) => retry.startsWith('1 1 ')), w.retries.join('\n'));
});

test('a stalled connection is given up and resumed', async () => {
  await using w = await world(({ nth }) => (nth === 1 ? { stallAfterBytes: 400_000 } : undefined), { limits: { stallMs: 300, attempts: 20 } });
  assert.deepEqual(await w.fetch(), BLOB);
  assert.match(w.retries.join(), /no data for 300 ms/);
  assert.equal(w.server.seen('blob')[1]?.range, 'bytes=400000-');
});

test('a slow reader is no stalled server', async () => {
  const { clock, pass } = stillClock();
  await using w = await world(undefined, { clock });
  const stream = w.stream();
  let size = (await stream.next()).value?.length ?? 0;
  assert.ok(pass(3_600_000) > 0, 'the server is watched');
  for (let next = await stream.next(); !next.done; next = await stream.next()) size += next.value.length;
  assert.deepEqual([size, w.retries], [SIZE, []]);
});

test('servers without ranges: what is here already is passed over', async () => {
  const ways: Misbehaviour[] = [
    { ignoreRange: true }, { status: 416, headers: { 'Content-Range': `bytes */${SIZE}` } },
    { headers: { 'Content-Range': `bytes 700000-${SIZE - 1}/${SIZE}` } }, { headers: { 'Content-Range': 'nonsense' } },
  ];
  for (const way of ways) {
    await using w = await world(({ nth, range }) => (nth === 1 ? { cutAfterBytes: 600_000 } : range === undefined ? undefined : way));
    assert.deepEqual(await w.fetch(), BLOB, JSON.stringify(way));
  }
});

test('a range that begins too early is cut to fit', async () => {
  const early = BLOB.subarray(100_000);
  await using w = await world(({ nth }) => (nth === 1 ? { cutAfterBytes: 300_000 }
    : { status: 206, content: early, headers: { 'Content-Range': `bytes 100000-${SIZE - 1}/${SIZE}` } }));
  assert.deepEqual(await w.fetch(), BLOB);
});

test('a truncated body without a length is resumed', async () => {
  await using w = await world(({ nth }) => (nth === 1 ? { endAfterBytes: 500_000 } : undefined));
  assert.deepEqual(await w.fetch(), BLOB);
  assert.match(w.retries.join(), /ended after 500000 of 1000000 bytes/);
});

test('passing errors are waited out, with growing waits', async () => {
  for (const status of [408, 429, 500, 502, 503, 504]) {
    await using w = await world(({ nth }) => (nth <= 2 ? { status } : undefined));
    assert.deepEqual(await w.fetch(), BLOB, String(status));
    assert.deepEqual(w.retries.map((retry) => retry.split(' ').slice(0, 2).join(' ')), ['1 1', '2 2'], String(status));
  }
  await using w = await world(({ nth }) => (nth === 1 ? { hangUp: true } : nth === 2 ? { status: 429, headers: { 'Retry-After': '0' } } : undefined));
  assert.deepEqual(await w.fetch(), BLOB);
});

test('a server may ask for more patience than we have by ourselves', async () => {
  await using w = await world(({ nth }) => (nth === 1 ? { status: 503, headers: { 'Retry-After': '1' } } : undefined));
  assert.deepEqual(await w.fetch(), BLOB);
  assert.match(w.retries.join(), /^1 1000 /);
});

test('attempts without a new byte are counted, and the end says so', async () => {
  await using w = await world(() => ({ status: 503 }));
  await assert.rejects(w.fetch(), { kind: 'unavailable', message: /503 Service Unavailable \(gave up after 3 attempts without a new byte\)/ });
  assert.equal(w.server.seen('blob').length, 3);
});

test('what cannot succeed fails at once', async () => {
  for (const [status, kind] of [[401, 'unauthorized'], [403, 'forbidden'], [404, 'not-found'], [400, 'invalid']] as const) {
    await using w = await world(() => ({ status }));
    const error = await w.fetch().then(() => assert.fail(), (failure: unknown) => failure);
    assert.equal(kindOf(error), kind, messageOf(error));
    assert.deepEqual([w.retries, w.server.seen('blob').length], [[], 1]);
  }
  await using gone = await world(({ nth }) => (nth === 1 ? { cutAfterBytes: 10 } : undefined));
  const stream = gone.stream();
  await stream.next();
  gone.server.forget(gone.want.digest);
  await assert.rejects(async () => { await stream.next(); }, { kind: 'not-found', message: /blob sha256:[0-9a-f]{64} not found in .*test\/image: blob unknown: blob unknown to registry/ });
});

test('bytes that are not the promised ones are corrupt, and both sizes or digests are named', async () => {
  const other = Buffer.from(BLOB);
  other[123_456] = (other[123_456] ?? 0) ^ 1;
  await using changed = await world(() => ({ content: other }));
  await assert.rejects(changed.fetch(), { kind: 'corrupt', message: `blob ${changed.want.digest}: content hashes to ${digestOf(other)}` });
  assert.deepEqual(changed.retries, []);

  await using shorter = await world(() => ({ content: BLOB.subarray(1) }));
  await assert.rejects(shorter.fetch(), { kind: 'corrupt', message: `blob ${shorter.want.digest}: the registry has 999999 bytes, the manifest promises 1000000` });
  await using longer = await world(() => ({ content: Buffer.concat([BLOB, BLOB]), endAfterBytes: 2 * SIZE }));
  await assert.rejects(longer.fetch(), { kind: 'corrupt', message: `blob ${longer.want.digest}: more than the promised 1000000 bytes` });
  await using lying = await world(() => ({ contentLength: SIZE + 5 }));
  await assert.rejects(lying.fetch(), { kind: 'corrupt', message: /the registry has 1000005 bytes/ });
});

test('a connection that hangs after the last byte has done its work', async () => {
  const { clock, pass } = stillClock();
  await using w = await world(() => ({ headers: { 'Transfer-Encoding': 'chunked' }, stallAfterBytes: SIZE, endAfterBytes: SIZE }), { clock });
  const fetched = w.fetch();
  await until(() => Promise.resolve(w.bytesReceived === SIZE));
  pass(3_600_000);
  assert.deepEqual(await fetched, BLOB);
  assert.equal(w.server.seen('blob').length, 1);
});

test('a reader that stops, or aborts, frees the connection', async () => {
  await using w = await world(() => ({ stallAfterBytes: 300_000 }), { limits: { stallMs: 60_000 } });
  const stopped = w.stream();
  await stopped.next();
  assert.equal(await w.server.connections(), 1);
  await stopped.return?.();
  await until(async () => (await w.server.connections()) === 0);

  const controller = new AbortController();
  const aborted = w.stream({ signal: controller.signal });
  await aborted.next();
  setImmediate(() => controller.abort());
  const error = await (async () => { for (;;) if ((await aborted.next()).done) return; })().then(() => assert.fail(), (failure: unknown) => failure);
  assert.equal(kindOf(error), 'cancelled');
  await until(async () => (await w.server.connections()) === 0);
});

test('an abort ends the wait between attempts', async () => {
  const controller = new AbortController();
  await using w = await world(() => ({ status: 503 }), { limits: { retryBaseMs: 60_000, retryMaxMs: 60_000 } });
  await assert.rejects(w.fetch({}, { signal: controller.signal, onRetry: () => controller.abort() }), { name: 'AbortError' });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!await holds()) {
    if (Date.now() > deadline) assert.fail('not so within 20 s');
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}
