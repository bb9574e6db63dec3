// Further processes in a running container: their output, their codes, and what becomes of them.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
let id: string;
before(async () => { bench = await openBench(); id = await bench.run(['sleep', '1000'], { body: { Env: ['FROM=container'], WorkingDir: '/tmp' } }); });
after(async () => { await bench[Symbol.asyncDispose](); });

interface ExecState { ID: string; Running: boolean; ExitCode: number | null; Pid: number; ContainerID: string; ProcessConfig: { entrypoint: string; arguments: string[]; tty: boolean; user?: string } }
const BOTH = { AttachStdout: true, AttachStderr: true };

async function create(Cmd: readonly string[], body: Readonly<Record<string, unknown>> = {}, container = id): Promise<string> {
  return (await bench.api('POST', `/containers/${container}/exec`, { status: 201, body: { ...BOTH, Cmd, ...body } })).json<{ Id: string }>().Id;
}
const state = async (exec: string) => (await bench.api('GET', `/exec/${exec}/json`, { status: 200 })).json<ExecState>();
const start = (exec: string, body: Readonly<Record<string, unknown>> = {}) => bench.hijack(`/exec/${exec}/start`, { Detach: false, Tty: false, ...body });

async function run(cmd: readonly string[], body?: Readonly<Record<string, unknown>>) {
  const exec = await create(cmd, body);
  const client = await start(exec);
  client.end();
  await client.ended;
  return { out: client.stdout(), err: client.stderr(), code: (await state(exec)).ExitCode, status: client.status, text: client.raw().toString() };
}

test('output, error output and code; inspect before, while and after', async () => {
  const exec = await create(['sh', '-c', 'echo out; echo err >&2; read line; exit 5'], { AttachStdin: true });
  assert.deepEqual([(await state(exec)).Running, (await state(exec)).ExitCode, (await state(exec)).Pid], [false, null, 0]);
  assert.deepEqual((await bench.inspect(id)).ExecIDs, [exec]);
  const client = await start(exec);
  await client.sees('out\n');
  const during = await state(exec);
  assert.deepEqual([during.Running, during.ExitCode, during.ContainerID, during.ProcessConfig.entrypoint, during.ProcessConfig.tty], [true, null, id, 'sh', false]);
  assert.ok(existsSync(`/proc/${during.Pid}`));
  client.write('go\n');
  await client.ended;
  assert.deepEqual([client.stdout(), client.stderr()], ['out\n', 'err\n']);
  const after = await state(exec);
  assert.deepEqual([after.Running, after.ExitCode], [false, 5]);
  assert.equal((await bench.inspect(id)).ExecIDs, null);
  const again = await bench.api('POST', `/exec/${exec}/start`, { status: 409, body: { Detach: true } });
  assert.equal(again.json<{ message: string }>().message, `Error: Exec command ${exec} has already run`);
  const shown = await start(exec);
  await shown.ended;
  assert.deepEqual([shown.status, shown.stdout()], [101, `Error: Exec command ${exec} has already run\r\n`], 'who does not detach has a stream by then');
  assert.equal((await bench.api('POST', `/exec/${exec}/resize?h=10&w=10`)).status, 404);
  assert.equal((await bench.api('GET', '/exec/nothing/json')).status, 404);
});

test('stdin is passed on, and its end too', async () => {
  const exec = await create(['sh', '-c', 'cat; echo done'], { AttachStdin: true });
  const client = await start(exec);
  const large = 'x'.repeat(300_000);
  client.write(large);
  client.end();
  await client.ended;
  assert.equal(client.stdout(), `${large}done\n`);
});

test('user, environment, folder and privilege are those asked for', async () => {
  assert.equal((await run(['sh', '-c', 'echo $FROM $OWN $(pwd) $(id -u):$(id -g)'], { Env: ['OWN=exec'], WorkingDir: '/etc', User: 'nobody' })).out, 'container exec /etc 65534:65534\n');
  assert.equal((await run(['sh', '-c', 'echo $FROM; pwd; id -u'])).out, 'container\n/tmp\n0\n');
  assert.match((await run(['grep', 'CapBnd', '/proc/self/status'])).out, /00000000a80425fb/);
  assert.doesNotMatch((await run(['grep', 'CapBnd', '/proc/self/status'], { Privileged: true })).out, /00000000a80425fb/);
});

test('programs that cannot be run: 127 and 126, said in words, and nothing of them is left', async () => {
  for (const [cmd, code, words] of [[['nope'], 127, /executable file not found/], [['/no/such'], 127, /no such file/], [['/etc'], 126, /permission denied/], [['/etc/passwd'], 126, /permission denied/]] as const) {
    const exec = await create(cmd);
    const client = await start(exec);
    client.end();
    await client.ended;
    assert.match(client.raw().toString(), words);
    assert.equal((await state(exec)).ExitCode, code, cmd[0]);
    assert.equal((await state(exec)).Running, false);
  }
  const user = await create(['true'], { User: 'stranger' });
  const refused = await start(user);
  await refused.ended;
  assert.match(refused.raw().toString(), /unable to find user stranger/);
  assert.equal((await bench.inspect(id)).ExecIDs, null);
});

test('a detached one runs by itself, however much it says', async () => {
  const exec = await create(['sh', '-c', 'seq 1 100000; exit 6']);
  assert.equal((await bench.api('POST', `/exec/${exec}/start`, { status: 200, body: { Detach: true } })).text, '');
  await until('its code', async () => (await state(exec)).ExitCode === 6);
});

test('one whose client left goes on, and its code is told', async () => {
  const exec = await create(['sh', '-c', 'echo begun; sleep 0.5; seq 1 50000; exit 8']);
  const client = await start(exec);
  await client.sees('begun');
  client.leave();
  await until('its code', async () => (await state(exec)).ExitCode === 8);
});

test('a terminal has the size asked for at the start and later', async () => {
  // crun sets the size of an exec's terminal while the program begins already: the first look may come before.
  const exec = await create(['sh', '-c', 'until [ -n "$(stty size 2>/dev/null)" ]; do usleep 20000; done; stty size; while [ ! -e /tmp/sized ]; do usleep 20000; done; stty size'], { AttachStdin: true, Tty: true });
  const client = await start(exec, { Tty: true, ConsoleSize: [33, 101] });
  await client.sees('33 101\r\n');
  await bench.api('POST', `/exec/${exec}/resize?h=44&w=122`, { status: 200 });
  await run(['touch', '/tmp/sized']);
  await client.ended;
  assert.match(client.raw().toString(), /44 122\r\n$/);
});

test('20 at once: each has its own output and code', async () => {
  const outcomes = await Promise.all(Array.from({ length: 20 }, (_none, n) => run(['sh', '-c', `seq 1 1000; echo last ${n}; exit ${n}`])));
  for (const [n, { out, code }] of outcomes.entries()) assert.deepEqual([out.endsWith(`1000\nlast ${n}\n`), code], [true, n]);
  const left = () => readdirSync(join(bench.daemon.execRoot, 'execs'), { recursive: true });
  await until('nothing of them to be left', () => left().length === 0).catch((cause: unknown) => { throw new Error(left().join(' '), { cause }); });
});

test('it ends with its container, and needs one that runs', async () => {
  const other = await bench.run(['sleep', '1000']);
  const [exec, never] = [await create(['sleep', '1000'], {}, other), await create(['true'], {}, other)];
  const client = await start(exec);
  await until('it to run', async () => (await state(exec)).Running);
  await bench.api('POST', `/containers/${other}/pause`, { status: 204 });
  assert.match((await bench.api('POST', `/containers/${other}/exec`, { status: 409, body: { Cmd: ['true'] } })).text, /is paused, unpause the container before exec/);
  await bench.api('POST', `/containers/${other}/unpause`, { status: 204 });
  await bench.api('POST', `/containers/${other}/kill`, { status: 204 });
  await client.ended;
  await until('its code', async () => (await state(exec)).ExitCode === 137);
  assert.equal((await bench.inspect(other)).ExecIDs, null);
  assert.equal((await start(never)).status, 404, 'what had not begun ends with the run');
  assert.equal((await state(exec)).ExitCode, 137, 'what ran is known on');
  assert.match((await bench.api('POST', `/containers/${other}/exec`, { status: 409, body: { Cmd: ['true'] } })).text, /is not running/);
  await bench.remove(other);
});
