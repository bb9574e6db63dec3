// Taking a connection over: with and without an upgrade, both directions by themselves, and what happens when a side goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHash, randomBytes } from 'node:crypto';
import { conflict } from '../lib/errors.ts';
import { FakeSession, type Overrides } from './fake-engine.ts';
import { encodeMessage, OPCODE } from './websocket.ts';
import { eventually, openTestApi, type TestApi } from './test-kit.ts';

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: tcp\r\n';
const attachHead = (extra = '', query = 'stream=1&stdin=1&stdout=1&stderr=1') => `POST /v1.51/containers/probe/attach?${query} HTTP/1.1\r\nHost: d\r\n${extra}\r\n`;
const startHead = (body: string, extra = '') => `POST /exec/x/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${extra}\r\n`;

interface Stage { session: FakeSession; api: TestApi }

async function stage(run: (stage: Stage) => Promise<void>, options: { tty?: boolean; overrides?: Overrides } = {}): Promise<void> {
  const session = new FakeSession(options);
  await using api = await openTestApi({ containers: { attach: async () => session }, execs: { start: async () => session }, ...options.overrides });
  await run({ session, api });
}

test('an upgraded attach answers 101, frames both streams, and goes on after the client has half-closed', () => stage(async ({ session, api }) => {
  const client = await api.raw();
  client.send(attachHead(UPGRADE));
  const head = await client.until('\r\n\r\n');
  assert.match(head, /^HTTP\/1.1 101 UPGRADED\r\nContent-Type: application\/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n/);
  client.send('typed');
  await eventually(() => session.typed.join('') === 'typed', 'input arrived');
  client.finish();
  await eventually(() => session.inputEnded, 'end of input arrived');
  session.print('stdout', 'late\n');
  session.print('stderr', 'oops\n');
  session.exit();
  assert.equal((await client.ended()).slice(head.length), '\x01\0\0\0\0\0\0\x05late\n\x02\0\0\0\0\0\0\x05oops\n');
  await eventually(() => session.disposed, 'session disposed');
}));

test('a terminal, and clients before 1.42, get raw-stream; the terminal also unframed bytes', async () => {
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send(attachHead(UPGRADE));
    session.print('stdout', 'plain');
    session.exit();
    assert.match(await client.ended(), /^HTTP\/1.1 101 UPGRADED\r\nContent-Type: application\/vnd.docker.raw-stream\r\n[^]*\r\n\r\nplain$/);
  }, { tty: true });
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send(attachHead(UPGRADE).replace('v1.51', 'v1.41'));
    session.print('stdout', 'x');
    session.exit();
    const reply = await client.ended();
    assert.match(reply, /Content-Type: application\/vnd.docker.raw-stream\r\n/);
    assert.ok(reply.endsWith('\r\n\r\n\x01\0\0\0\0\0\0\x01x'));
  });
});

test('without an upgrade the answer is 200, and input right behind the request is input', async () => {
  for (const pieces of [[`${attachHead()}GET / typed`], [attachHead().slice(0, 20), attachHead().slice(20), 'GET / ', 'typed'], [attachHead('Connection: keep-alive\r\n'), 'GET / typed']]) {
    await stage(async ({ session, api }) => {
      const client = await api.raw();
      for (const piece of pieces) { client.send(piece); await new Promise((resolve) => { setImmediate(resolve); }); }
      assert.match(await client.until('\r\n\r\n'), /^HTTP\/1.1 200 OK\r\nContent-Type: application\/vnd.docker.raw-stream\r\n/);
      await eventually(() => session.typed.join('') === 'GET / typed', 'input arrived');
      client.finish();
      await eventually(() => session.inputEnded, 'end of input arrived');
      session.print('stdout', 'out');
      session.exit();
      assert.ok((await client.ended()).endsWith('\x01\0\0\0\0\0\0\x03out'));
    });
  }
});

test('exec start: the body is the options and what follows it is input, however it is cut', async () => {
  const body = '{"Tty":false}';
  for (const extra of [UPGRADE, '']) {
    const wire = `${startHead(body, extra)}${body}stdin`;
    for (const cut of [0, wire.length - 5, wire.length - 10, wire.length - body.length - 5, wire.length - 2]) {
      await stage(async ({ session, api }) => {
        const client = await api.raw();
        client.send(wire.slice(0, cut));
        await new Promise((resolve) => { setTimeout(resolve, 3); });
        client.send(wire.slice(cut));
        await eventually(() => session.typed.join('') === 'stdin', `input after a cut at ${cut}, got ${JSON.stringify(session.typed)}`);
        assert.deepEqual(api.calls.at(-1), ['execs.start', 'x', { detach: false, tty: false, consoleSize: undefined }]);
        client.finish();
        await eventually(() => session.inputEnded, 'end of input arrived');
        session.print('stdout', 'late');
        await client.until('late');
        session.exit();
        assert.match(await client.ended(), extra === '' ? /^HTTP\/1.1 200 OK/ : /^HTTP\/1.1 101 UPGRADED/);
      });
    }
  }
});

test('a refusal before the takeover is plain HTTP, and a failure after it is a frame of stderr', async () => {
  const refused: Overrides = { execs: { start: async () => { throw conflict('exec command x has already run'); } } };
  for (const extra of [UPGRADE, '']) {
    await stage(async ({ api }) => {
      const client = await api.raw();
      client.send(`${startHead('{}', extra)}{}`);
      const reply = await client.ended();
      assert.match(reply, /^HTTP\/1.1 409 Conflict\r\nApi-Version: 1.51\r\n/);
      assert.ok(reply.endsWith('\r\n\r\n{"message":"exec command x has already run"}\n'), reply);
    }, { overrides: refused });
  }
  await stage(async ({ api }) => {
    const client = await api.raw();
    client.send(`${startHead('{"Tty":1}', UPGRADE)}{"Tty":1}`);
    assert.match(await client.ended(), /^HTTP\/1.1 400 Bad Request/);
  });
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send(attachHead(UPGRADE));
    await client.until('\r\n\r\n');
    session.fail(new Error('the pipe broke'));
    assert.ok((await client.ended()).endsWith('\x02\0\0\0\0\0\0\x0fthe pipe broke\n'));
    await eventually(() => session.disposed, 'session disposed');
  });
});

test('a client that detaches is let go; one that vanishes disposes of the session', async () => {
  await stage(async ({ session, api }) => {
    session.onInput = () => 'detached';
    const client = await api.raw();
    client.send(attachHead(UPGRADE));
    await client.until('\r\n\r\n');
    client.send('\x10\x11');
    await client.ended();
    await eventually(() => session.disposed, 'session disposed');
  });
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send(attachHead(UPGRADE));
    await client.until('\r\n\r\n');
    client.socket.destroy();
    // A half-close looks the same until something is written.
    await eventually(() => { session.print('stdout', 'x'); return session.disposed; }, 'session disposed');
  });
  // The same for a request whose body came late, which Node serves over a stream of its own.
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send(startHead('{}', UPGRADE));
    await new Promise((resolve) => { setTimeout(resolve, 3); });
    client.send('{}');
    await client.until('101 UPGRADED');
    client.socket.destroy();
    await eventually(() => { session.print('stdout', 'x'); return session.disposed; }, 'session disposed');
  });
});

test('input that was not asked for is thrown away, and its end does not end the program', () => stage(async ({ session, api }) => {
  const client = await api.raw();
  client.send(attachHead(UPGRADE, 'stream=1&stdout=1'));
  await client.until('\r\n\r\n');
  client.send('nobody reads this');
  client.finish();
  session.print('stdout', 'done');
  await client.until('done');
  assert.deepEqual([session.typed, session.inputEnded], [[], false]);
  session.exit();
  await client.ended();
}));

test('both directions wait for the slower side', async () => {
  await stage(async ({ session, api }) => {
    const gate = Promise.withResolvers<'ok'>();
    let held = 0;
    session.onInput = () => { held++; return gate.promise; };
    const client = await api.raw();
    client.send(attachHead(UPGRADE));
    await client.until('\r\n\r\n');
    const payload = randomBytes(4 * 1024 * 1024);
    let flushed = false;
    client.socket.write(payload, () => { flushed = true; });
    await eventually(() => held === 1, 'the first chunk arrived');
    await new Promise((resolve) => { setTimeout(resolve, 50); });
    assert.deepEqual([held, flushed], [1, false], 'nothing is read ahead of a program that does not read');
    gate.resolve('ok');
    client.finish();
    await eventually(() => session.inputEnded, 'all input arrived');
    session.exit();
    await client.ended();
  });
  await stage(async ({ session, api }) => {
    let taken = 0;
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const endless = { [Symbol.asyncIterator]: () => ({ next: async () => (taken++ < 100_000 ? { value: { stream: 'stdout' as const, bytes: chunk }, done: false as const } : { value: undefined, done: true as const }) }) };
    Object.defineProperty(session, 'output', { value: endless });
    const client = await api.raw();
    client.socket.pause();
    client.send(attachHead(UPGRADE));
    let before = -1;
    await eventually(() => { const still = taken === before && taken > 0; before = taken; return still; }, 'output stopped for a client that does not read');
    assert.ok(taken < 200, `${taken} chunks of 64 KiB were taken from the program for a client that reads none`);
    client.socket.destroy();
    await eventually(() => session.disposed, 'session disposed');
  });
});

test('a detached exec, and an attach as the second request of a connection, need no takeover', async () => {
  await stage(async ({ api }) => {
    const client = await api.raw();
    client.send(`${startHead('{"Detach":true}', UPGRADE)}{"Detach":true}`);
    assert.match(await client.ended(), /^HTTP\/1.1 200 OK\r\n[^]*Content-Length: 0\r\n/);
  }, { overrides: { execs: { start: async () => undefined } } });
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send('GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n');
    await client.until('\r\n\r\nOK');
    session.print('stdout', 'second');
    session.exit();
    client.send(attachHead());
    assert.match(await client.until('second'), /HTTP\/1.1 200 OK\r\n[^]*HTTP\/1.1 200 OK\r\n[^]*raw-stream/);
    client.socket.destroy();
  });
});

test('an upgrade to something else, or elsewhere, is an ordinary request', async () => {
  await using api = await openTestApi();
  const ping = await api.ask('GET', '/_ping', { headers: { Connection: 'Upgrade', Upgrade: 'h2c' } });
  assert.equal(ping.body, 'OK');
});

test('a websocket carries both directions unframed, answers pings and closes', () => stage(async ({ session, api }) => {
  const client = await api.raw();
  const key = randomBytes(16).toString('base64');
  client.send(`GET /containers/probe/attach/ws?stream=1&logs=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`);
  const head = await client.until('\r\n\r\n');
  assert.match(head, /^HTTP\/1.1 101 /);
  assert.ok(head.includes(`Sec-WebSocket-Accept: ${createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')}\r\n`));
  assert.deepEqual(api.calls.at(-1), ['containers.attach', 'probe', { logs: true, stream: true, stdin: true, stdout: true, stderr: true, detachKeys: undefined }]);

  session.print('stderr', 'x'.repeat(300));
  await client.until(`\x82\x7e\x01\x2c${'x'.repeat(300)}`);
  client.send(masked(OPCODE.text, Buffer.from('typed'), { final: false }));
  client.send(masked(OPCODE.ping, Buffer.from('are you there')));
  client.send(masked(OPCODE.continuation, Buffer.from(' more')));
  await eventually(() => session.typed.join('') === 'typed more', 'input arrived');
  await client.until(`\x8a\x0dare you there`);
  session.exit();
  assert.ok((await client.ended()).endsWith('\x88\x02\x03\xe8'));
  client.socket.destroy();
}));

test('a websocket client that breaks the rules is closed, one that closes ends the input', async () => {
  for (const wire of [encodeMessage(OPCODE.text, Buffer.from('not masked')), Buffer.from('ffffffffff', 'hex'), masked(OPCODE.continuation, Buffer.from('x'))]) {
    await stage(async ({ api }) => {
      const client = await api.raw();
      client.send('GET /containers/probe/attach/ws?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n');
      await client.until('\r\n\r\n');
      client.send(wire);
      await client.until('\x88\x02\x03\xea');
      client.socket.destroy();
    });
  }
  await stage(async ({ session, api }) => {
    const client = await api.raw();
    client.send('GET /containers/probe/attach/ws?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n');
    await client.until('\r\n\r\n');
    client.send(masked(OPCODE.close, Buffer.from([3, 232])));
    await client.until('\x88\x02\x03\xe8');
    client.finish();
    await eventually(() => session.inputEnded && session.disposed, 'session ended');
  });
});

function masked(opcode: number, payload: Uint8Array, options: { final: boolean } = { final: true }): Buffer {
  const mask = randomBytes(4);
  const body = Buffer.from(payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0)));
  return Buffer.concat([Buffer.from([(options.final ? 0x80 : 0) | opcode, 0x80 | payload.length]), mask, body]);
}
