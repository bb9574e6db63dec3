import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import test from 'node:test';
import { pullLines, webContainer } from '../../test/kit/canned-answers.ts';
import { openCannedDaemon, type Answer, type Asked } from '../../test/kit/canned-daemon.ts';
import { until } from '../../test/kit/poll.ts';
import { openTestIo, type TestIoOptions } from '../../test/kit/cli-io.ts';
import { encodeFrame } from '../wire/frames.ts';
import { openClient, runCli } from './cli.ts';

const ID = webContainer.Id;

interface World { routes?: Record<string, Answer>; io?: TestIoOptions; session?: (asked: Asked, socket: Duplex) => void }

function talk(_asked: Asked, socket: Duplex): void {
  socket.write(encodeFrame('stdout', Buffer.from('out\n')));
  socket.end(encodeFrame('stderr', Buffer.from('err\n')));
}

const created: Record<string, Answer> = {
  'POST /containers/create': { status: 201, json: { Id: ID, Warnings: ['careful'] } },
  [`POST /containers/${ID}/start`]: { status: 204 },
  [`POST /containers/${ID}/wait`]: { json: { StatusCode: 3 } },
  [`POST /containers/${ID}/resize`]: { status: 200 },
  [`POST /containers/${ID}/kill`]: { status: 204 },
};

async function cli(words: readonly string[], world: World = {}) {
  await using daemon = await openCannedDaemon({ ...created, ...world.routes }, world.session ?? talk);
  const io = openTestIo(world.io);
  const code = await runCli(words, openClient({ host: daemon.host }), io);
  return { code, out: io.out(), err: io.err(), io, asked: daemon.asked, words: daemon.asked.map((one) => `${one.method} ${one.path.replace(ID, 'ID')}`) };
}

test('run creates, attaches, waits, starts, and ends as the container does', async () => {
  const run = await cli(['run', 'nginx', 'ls', '-l']);
  assert.deepEqual(run.words, ['POST /containers/create', 'POST /containers/ID/attach', 'POST /containers/ID/wait', 'POST /containers/ID/start']);
  assert.deepEqual([run.code, run.out, run.err], [3, 'out\n', 'WARNING: careful\nerr\n']);
  assert.deepEqual([run.asked[1]?.query.toString(), run.asked[2]?.query.get('condition')], ['stderr=1&stdout=1&stream=1', 'next-exit']);
  assert.deepEqual((JSON.parse(run.asked[0]?.body ?? '') as { Cmd: string[] }).Cmd, ['ls', '-l']);
  assert.equal((await cli(['run', '--rm', 'nginx'])).asked[2]?.query.get('condition'), 'removed');
});

test('run -d prints the ID and leaves', async () => {
  const run = await cli(['run', '-d', '--name', 'x', '--cidfile', '/cid', 'nginx']);
  assert.deepEqual([run.code, run.out, run.words.length, run.asked[0]?.query.get('name'), run.io.files.get('/cid')], [0, `${ID}\n`, 2, 'x', ID]);
  const again = await cli(['run', '-d', '--cidfile', '/cid', 'nginx'], { io: { files: { '/cid': 'x' } } });
  assert.deepEqual([again.code, again.words.length], [125, 0]);
});

test('run prints the ID before the start when nothing is shown, and waits for no end of it', async () => {
  const failed = await cli(['run', '-d', 'nginx'], { routes: { [`POST /containers/${ID}/start`]: { status: 400, json: { message: 'no' } } } });
  assert.deepEqual([failed.code, failed.out], [125, `${ID}\n`]);
  const fed = await cli(['run', '-a', 'stdin', 'nginx']);
  assert.deepEqual([fed.code, fed.out], [0, `${ID}\n`]);
  assert.equal((await cli(['run', '-i', '-a', 'stdout', 'nginx'])).asked[1]?.query.toString(), 'stdin=1&stdout=1&stream=1');
});

test('run pulls an image that is missing, and not when it must not', async () => {
  let asked = 0;
  const routes: Record<string, Answer> = {
    'POST /containers/create': () => (asked++ % 2 === 0 ? { status: 404, json: { message: 'No such image: missing:latest' } } : { status: 201, json: { Id: ID, Warnings: [] } }),
    'POST /images/create': { bytes: pullLines },
  };
  const run = await cli(['run', 'missing'], { routes });
  assert.deepEqual(run.words.slice(0, 3), ['POST /containers/create', 'POST /images/create', 'POST /containers/create']);
  assert.ok(run.err.startsWith('Unable to find image \'missing:latest\' locally\nlatest: Pulling from library/missing\n'), run.err);
  const never = await cli(['run', '--pull', 'never', 'missing'], { routes });
  assert.deepEqual([never.code, never.err], [125, 'vaquita: Error response from daemon: No such image: missing:latest.\nSee \'vaquita run --help\'.\n']);
});

test('a failed start ends with 125, 126 or 127', async () => {
  const cases: Array<[string, number]> = [
    ['exec: "nosuch": executable file not found in $PATH: unknown', 127], ['exec: "/etc": permission denied: unknown', 126], ['port is already allocated', 125],
  ];
  for (const [message, code] of cases) {
    const run = await cli(['run', '--rm', 'nginx'], { routes: { [`POST /containers/${ID}/start`]: { status: 400, json: { message } } }, session: () => {} });
    assert.deepEqual([run.code, run.err], [code, `WARNING: careful\nvaquita: Error response from daemon: ${message}.\n`]);
  }
});

test('input is passed on, and its end with it', async () => {
  async function* input() { yield Buffer.from('hel'); yield Buffer.from('lo'); }
  const heard: string[] = [];
  const run = await cli(['run', '-i', 'nginx'], { io: { input: input() }, session: (_asked, socket) => {
    socket.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    socket.on('end', () => socket.end(encodeFrame('stdout', Buffer.from('bye'))));
  } });
  assert.deepEqual([heard.join(''), run.out, run.code], ['hello', 'bye', 3]);
});

test('a terminal is raw for the session only, and ctrl-p ctrl-q leaves it running', async () => {
  async function* input() { yield Buffer.from('ab'); yield Buffer.from('\x10\x11'); await new Promise(() => {}); }
  const run = await cli(['run', '-it', 'nginx'], { io: { tty: true, input: input() }, session: (_asked, socket) => { socket.on('data', (chunk: Buffer) => socket.write(chunk)); } });
  assert.deepEqual([run.code, run.io.raw], [0, [true, false]]);
  const refused = await cli(['run', '-it', 'nginx']);
  assert.deepEqual([refused.code, refused.err, refused.words], [1, 'the input device is not a TTY\n', []]);
});

test('signals reach the container until it has ended', async () => {
  const io = openTestIo();
  const killed: Array<string | null> = [];
  let open: Duplex | undefined;
  await using daemon = await openCannedDaemon({
    ...created,
    [`POST /containers/${ID}/kill`]: (asked) => {
      killed.push(asked.query.get('signal'));
      open?.end();
      return { status: 204 };
    },
  }, (_asked, socket) => { open = socket; socket.write(encodeFrame('stdout', Buffer.from('up\n'))); });
  const running = runCli(['run', 'nginx'], openClient({ host: daemon.host }), io);
  await until('the container to run', () => io.out().includes('up') && daemon.asked.some((one) => one.path.endsWith('/start')));
  assert.equal(io.signal('SIGTERM'), 1);
  assert.equal(await running, 3);
  assert.deepEqual([killed, io.signal('SIGTERM')], [['TERM'], 0]);
});

test('exec ends as its command does', async () => {
  const routes: Record<string, Answer> = {
    'GET /containers/web/json': { json: webContainer },
    'POST /containers/web/exec': { status: 201, json: { Id: 'e1' } },
    'GET /exec/e1/json': { json: { ExitCode: 7 } },
    'POST /exec/e1/start': { status: 200 },
  };
  const exec = await cli(['exec', '-e', 'A=1', '-w', '/x', 'web', 'ls', '-l'], { routes });
  assert.deepEqual([exec.code, exec.out, exec.err], [7, 'out\n', 'err\n']);
  const body = JSON.parse(exec.asked[1]?.body ?? '') as Record<string, unknown>;
  assert.deepEqual([body['Cmd'], body['Env'], body['WorkingDir'], body['AttachStdin']], [['ls', '-l'], ['A=1'], '/x', false]);
  assert.deepEqual((await cli(['exec', '-d', 'web', 'ls'], { routes })).words, ['GET /containers/web/json', 'POST /containers/web/exec', 'POST /exec/e1/start']);
  assert.deepEqual((await cli(['exec', 'nosuch', 'ls'], { routes })).err, 'Error: No such container: nosuch\n');
});

test('logs are taken apart by stream', async () => {
  const routes: Record<string, Answer> = {
    'GET /containers/web/json': { json: webContainer },
    [`GET /containers/${ID}/logs`]: { bytes: Buffer.concat([encodeFrame('stdout', Buffer.from('a\n')), encodeFrame('stderr', Buffer.from('b\n'))]) },
  };
  const logs = await cli(['logs', '--tail', '5', '-t', '--since', '2026-11-20T00:00:00Z', 'web'], { routes });
  assert.deepEqual([logs.code, logs.out, logs.err, logs.asked[1]?.query.toString()], [0, 'a\n', 'b\n', 'since=1795132800.000000000&stderr=1&stdout=1&tail=5&timestamps=1']);
});
