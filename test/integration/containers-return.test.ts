// What comes back after the daemon or the machine was down: execs, restarts that wait, starts that fail, those that join others.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { errnoOf } from '../../src/lib/errors.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { processesOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

interface ExecState { Running: boolean; ExitCode: number | null; Pid: number; ProcessConfig: { entrypoint: string; arguments: string[] }; OpenStdout: boolean }
const exec = async (id: string, ...Cmd: string[]) => (await bench.api('POST', `/containers/${id}/exec`, { status: 201, body: { Cmd, AttachStdout: true } })).json<{ Id: string }>().Id;
const execState = async (id: string) => (await bench.api('GET', `/exec/${id}/json`, { status: 200 })).json<ExecState>();
const begin = (id: string) => bench.api('POST', `/exec/${id}/start`, { status: 200, body: { Detach: true } });
const always = { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } };
const runs = (id: string) => until(`${id.slice(0, 12)} to run`, async () => { const now = await bench.inspect(id); return now.State.Status === 'running' ? now : undefined; });
const exists = async (id: string) => (await bench.api('GET', `/containers/${id}/json`)).status === 200;

/** Everything that ran is gone, and of the exec root, which is in memory, nothing is left. */
async function reboot(between: () => void = () => {}): Promise<void> {
  await bench.restart('kill', async () => {
    const alive = () => processesOf(bench.daemon.execRoot);
    const ids = readdirSync(join(bench.daemon.execRoot, 'tasks'));
    for (const { pid } of alive()) kill(pid); // the monitors; no exit is written
    for (const pid of ids.flatMap((id) => processesIn(id))) kill(pid);
    await until('all of it to be gone', () => alive().length === 0 && ids.every((id) => processesIn(id).length === 0));
    rmSync(bench.daemon.execRoot, { recursive: true });
    between();
  });
}

/** With the first process of a container the others go. */
function kill(pid: number): void {
  try { process.kill(pid, 'SIGKILL'); } catch (error) { if (errnoOf(error) !== 'ESRCH') throw error; }
}

function processesIn(id: string): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try { return readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id); } catch { return false; }
  });
}


test('execs are known to the next daemon: running, ended meanwhile, ended before, and not begun', async () => {
  for (const how of ['kill', 'stop'] as const) {
    const folder = join(bench.path, `gate-${how}`);
    mkdirSync(folder);
    const id = await bench.run(['sleep', '1000'], { host: { Binds: [`${folder}:/gate`] } });
    const waits = (name: string, code: number) => exec(id, 'sh', '-c', `until [ -e /gate/${name} ]; do usleep 20000; done; exit ${code}`);
    const [runsOn, endsMeanwhile, ended, created] = [await waits('last', 5), await waits('first', 6), await exec(id, 'sh', '-c', 'exit 7'), await exec(id, 'sh', '-c', 'exit 8')];
    for (const one of [runsOn, endsMeanwhile, ended]) await begin(one);
    await until('the short one to end', async () => (await execState(ended)).ExitCode === 7);
    const { Pid: pid } = await execState(runsOn);
    await bench.restart(how, async () => {
      writeFileSync(join(folder, 'first'), '');
      await until('it to end', () => readdirSync(join(bench.daemon.execRoot, 'execs', endsMeanwhile, 'exit')).length > 0);
    });
    const now = await execState(runsOn);
    assert.deepEqual([now.Running, now.ExitCode, now.Pid, now.ProcessConfig.entrypoint, now.OpenStdout], [true, null, pid, 'sh', true]);
    await until('the code of what ended meanwhile', async () => (await execState(endsMeanwhile)).ExitCode === 6);
    assert.deepEqual([(await execState(ended)).ExitCode, (await execState(created)).ExitCode], [7, null]);
    assert.deepEqual((await bench.inspect(id)).ExecIDs?.toSorted(), [runsOn, created].toSorted());
    assert.equal((await bench.api('POST', `/exec/${ended}/start`, { body: { Detach: true } })).status, 409);
    const events = await bench.events();
    writeFileSync(join(folder, 'last'), '');
    await begin(created);
    await until('both codes', async () => (await execState(runsOn)).ExitCode === 5 && (await execState(created)).ExitCode === 8);
    await until('both ends to be told', () => events.actions(id).filter((action) => action === 'exec_die').length === 2);
    events.leave();
    assert.equal((await bench.inspect(id)).ExecIDs, null);
    await bench.remove(id);
    assert.equal((await bench.api('GET', `/exec/${ended}/json`)).status, 404);
    await until('nothing to be left', () => readdirSync(join(bench.daemon.execRoot, 'execs')).length === 0);
  }
});

test('a restart that waits goes on waiting, and can be stopped', async () => {
  const id = await bench.run(['sh', '-c', 'exit 4'], { host: always });
  const listening = await bench.events();
  await until('a wait of seconds', () => listening.actions(id).filter((action) => action === 'die').length >= 4);
  listening.leave();
  const { RestartCount: before } = await bench.inspect(id);
  await bench.restart('kill');
  assert.ok((await bench.inspect(id)).RestartCount >= before);
  const events = await bench.events();
  await events.sees('die', id); // the restart came, failed, and the next one is seconds away
  events.leave();
  assert.ok((await bench.inspect(id)).RestartCount > before);
  await bench.restart('stop');
  const waits = await until('it to wait', async () => { const { State } = await bench.inspect(id); return State.Status === 'restarting' && State; });
  assert.equal(waits.ExitCode, 4);
  await bench.api('POST', `/containers/${id}/stop`, { status: 204 });
  assert.equal((await bench.inspect(id)).State.Status, 'exited');
  await bench.remove(id);
});

test('what cannot be started at boot is tried again until it can; on-failure gives up', async () => {
  const source = join(bench.path, 'later');
  writeFileSync(source, 'a file');
  const bound = { Mounts: [{ Type: 'bind', Source: source, Target: '/etc/later' }] };
  const patient = await bench.run(['sleep', '1000'], { host: { ...always, ...bound } });
  const limited = await bench.run(['sleep', '1000'], { host: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 }, ...bound } });
  await reboot(() => { renameSync(source, `${source}.away`); });
  await until('it to wait for its next turn', async () => { const now = await bench.inspect(patient); return now.State.Restarting && now.RestartCount >= 2; });
  await until('the other to give up', async () => { const now = await bench.inspect(limited); return now.State.Status !== 'restarting' && now.RestartCount === 2; });
  assert.match((await bench.inspect(limited)).State.Error, /later/);
  renameSync(`${source}.away`, source);
  await runs(patient);
  assert.equal((await bench.inspect(patient)).State.Error, '');
  await bench.remove(patient, limited);
});

test('those that join others start after them', async () => {
  const first = await bench.run(['sleep', '1000'], { name: 'zz-first', host: always });
  const second = await bench.run(['sleep', '1000'], { name: 'mm-second', host: { ...always, NetworkMode: 'container:zz-first', IpcMode: 'private' } });
  const third = await bench.run(['sleep', '1000'], { name: 'aa-third', host: { ...always, PidMode: `container:${second}` } });
  await reboot();
  for (const id of [first, second, third]) assert.equal((await runs(id)).RestartCount, 0, 'none had to be tried twice');
  await bench.remove(third, second, first);
});

test('after a reboot each is in its state, and its policy is followed', async () => {
  const host = (Name: string) => ({ RestartPolicy: { Name, MaximumRetryCount: 0 } });
  const sleep = (more: Parameters<Bench['run']>[1]) => bench.run(['sleep', '1000'], more);
  const [plain, removes, paused, unless, stopped, failed] = await Promise.all([
    sleep({}), sleep({ host: { AutoRemove: true } }), sleep({ host: always }), sleep({ host: host('unless-stopped') }), sleep({ host: host('unless-stopped') }), sleep({ host: host('on-failure') }),
  ]);
  const done = await bench.run(['sh', '-c', 'exit 3']);
  assert.equal(await bench.end(done), 3);
  await bench.api('POST', `/containers/${paused}/pause`, { status: 204 });
  await bench.api('POST', `/containers/${stopped}/stop?t=0`, { status: 204 });
  const run = await exec(plain, 'sleep', '1000');
  await begin(run);
  await bench.api('POST', `/containers/${paused}/unpause`, { status: 204 }); // a frozen process would outlive the kill of this "reboot"
  await reboot();
  for (const id of [paused, unless, failed]) assert.equal((await runs(id)).RestartCount, 0);
  const code = async (id: string) => { const { State: state } = await bench.inspect(id); return [state.Status, state.ExitCode, state.Pid]; };
  assert.deepEqual([await code(plain), await code(stopped), await code(done), await exists(removes)], [['exited', 255, 0], ['exited', 137, 0], ['exited', 3, 0], false]);
  assert.equal((await bench.api('GET', `/exec/${run}/json`)).status, 404);
  await bench.remove(plain, paused, unless, stopped, failed, done);
});
