// kill -9 of the daemon while containers run, end and vanish: a new start loses nothing of them.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { EXECUTABLE, startDaemon, type Daemon } from '../kit/daemon.ts';
import { openDocker, type Docker } from '../kit/docker.ts';
import { ask } from '../kit/http.ts';
import { buildImage, busyboxImage } from '../kit/image.ts';
import { until } from '../kit/poll.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot, type TempRoot } from '../kit/temp.ts';

let root: TempRoot;
let registry: DebianRegistry;
let daemon: Daemon;
let docker: Docker;
let image: string;

before(async () => {
  root = openTempRoot();
  registry = await startRegistry({ root: join(root.path, 'registry') });
  image = await pushImage(registry.host, busyboxImage(), { repository: 'busybox', tag: '1' });
  await start();
  await docker.ok(['pull', '-q', image]);
});

after(async () => {
  if (!daemon.running) await start();
  const ids = await docker.ok(['ps', '-aq']);
  if (ids !== '') await docker.ok(['rm', '-f', ...ids.split('\n')]);
  await daemon.stop();
  await registry.stop();
  await root[Symbol.asyncDispose]();
});

/** A daemon on the same folders: the first one, or what comes after a crash. */
async function start(): Promise<void> {
  daemon = await startDaemon({ root: join(root.path, 'engine') });
  docker = openDocker({ host: daemon.host, configDir: join(root.path, 'client'), binary: EXECUTABLE });
}

/** Words for a container that ends with `code` as soon as `open()` is called: nothing here hangs on how fast the machine is. */
function gate(name: string, code: number): { words: string[]; open(): void; close(): void } {
  const folder = join(root.path, `gate-${name}`);
  mkdirSync(folder);
  return {
    words: ['-v', `${folder}:/gate`, '--name', name, image, 'sh', '-c', `until [ -e /gate/open ]; do usleep 20000; done; exit ${code}`],
    open: () => writeFileSync(join(folder, 'open'), ''),
    close: () => rmSync(join(folder, 'open')),
  };
}

const isGone = (pid: number): boolean => { try { process.kill(pid, 0); return false; } catch { return true; } };

async function crash(): Promise<void> {
  await daemon.kill();
  await start();
}

async function stateOf(name: string): Promise<{ Status: string; Pid: number; ExitCode: number; FinishedAt: string; StartedAt: string; OOMKilled: boolean }> {
  return (await ask(daemon.socket, { path: `/containers/${name}/json` })).json<{ State: { Status: string; Pid: number; ExitCode: number; FinishedAt: string; StartedAt: string; OOMKilled: boolean } }>().State;
}

test('a running container runs on, keeps its PID, and its log has no gap', async () => {
  await docker.ok(['run', '-d', '--name', 'counter', image, 'sh', '-c', 'i=0; while true; do i=$((i+1)); echo $i; usleep 20000; done']);
  const { Pid: pid } = await stateOf('counter');
  await crash();
  assert.deepEqual([(await stateOf('counter')).Status, (await stateOf('counter')).Pid], ['running', pid]);
  const seen = async () => (await docker.ok(['logs', 'counter'])).split('\n').map(Number);
  const atStart = (await seen()).length;
  await until('the counter to go on', async () => (await seen()).length > atStart + 5);
  const lines = await seen();
  assert.deepEqual(lines, lines.map((_line, index) => index + 1));
  assert.equal(await docker.ok(['exec', 'counter', 'echo', 'inside']), 'inside');
  await docker.ok(['stop', '-t', '0', 'counter']);
  assert.equal((await stateOf('counter')).ExitCode, 137);
});

test('an exit while no daemon ran is on record with its code and its own time', async () => {
  const ends = gate('ends', 7);
  const id = await docker.ok(['run', '-d', ...ends.words]);
  await daemon.kill();
  ends.open();
  await until('the end to be written down', () => existsSync(join(daemon.execRoot, 'exits', id)));
  const endedBy = Date.now();
  await start();
  const state = await stateOf('ends');
  assert.deepEqual([state.Status, state.ExitCode, state.Pid], ['exited', 7, 0]);
  assert.ok(Date.parse(state.FinishedAt) <= endedBy && Date.parse(state.FinishedAt) > Date.parse(state.StartedAt), JSON.stringify(state));
  assert.equal(await docker.ok(['wait', 'ends']), '7');
  assert.equal(await docker.ok(['start', '-a', 'ends']).catch((error: Error) => /exit code 7/.test(error.message)), true);
});

test('a container with --rm that ended meanwhile is gone, one with a restart policy runs again', async () => {
  const [vanishes, returns] = [gate('vanishes', 0), gate('returns', 1)];
  await docker.ok(['run', '-d', '--rm', ...vanishes.words]);
  await docker.ok(['run', '-d', '--restart', 'always', ...returns.words]);
  const pids = [(await stateOf('vanishes')).Pid, (await stateOf('returns')).Pid];
  await daemon.kill();
  for (const one of [vanishes, returns]) one.open();
  await until('both to end', async () => pids.every(isGone));
  returns.close();
  await start();
  await until('the restart', async () => (await stateOf('returns')).Status === 'running');
  await until('the other one to be gone', async () => (await ask(daemon.socket, { path: '/containers/vanishes/json' })).status === 404);
  await docker.ok(['stop', '-t', '0', 'returns']);
  await crash();
  await until('it to be brought back: always means after a restart of the daemon too', async () => (await stateOf('returns')).Status === 'running');
  await docker.ok(['rm', '-f', 'returns']);
});

test('a paused container stays paused, and can be let go', async () => {
  await docker.ok(['run', '-d', '--name', 'frozen', image, 'sleep', '1000']);
  await docker.ok(['pause', 'frozen']);
  await crash();
  assert.equal((await stateOf('frozen')).Status, 'paused');
  await docker.ok(['unpause', 'frozen']);
  await docker.ok(['rm', '-f', 'frozen']);
});

test('a polite stop of the daemon leaves containers running too', async () => {
  await docker.ok(['run', '-d', '--name', 'stays', image, 'sleep', '1000']);
  const { Pid: pid } = await stateOf('stays');
  assert.equal(await daemon.stop(), 0, daemon.log());
  await start();
  assert.equal((await stateOf('stays')).Pid, pid);
  await docker.ok(['rm', '-f', 'stays']);
});

test('20 containers started at once through a crash: every state is right afterwards', async () => {
  const names = Array.from({ length: 20 }, (_none, index) => `many-${index}`);
  await Promise.all(names.map((name, index) => docker.ok(['run', '-d', '--name', name, image, 'sh', '-c', index % 2 === 0 ? 'sleep 1000' : `exit ${index}`])));
  await crash();
  for (const [index, name] of names.entries()) {
    await until(`${name} to have its state`, async () => (await stateOf(name)).Status === (index % 2 === 0 ? 'running' : 'exited'));
    assert.equal((await stateOf(name)).ExitCode, index % 2 === 0 ? 0 : index);
  }
  await docker.ok(['rm', '-f', ...names]);
});

test('what an image\'s tags are is asked when none is named, and all of them are pulled', async () => {
  const empty = buildImage({ layers: [], config: { Cmd: ['/none'] } });
  for (const tag of ['one', 'two']) await pushImage(registry.host, empty, { repository: 'many/tags', tag });
  await docker.ok(['pull', '-a', '-q', `${registry.host}/many/tags`]);
  const tags = await docker.ok(['images', '--format', '{{.Tag}}', `${registry.host}/many/tags`]);
  assert.deepEqual(tags.split('\n').toSorted(), ['one', 'two']);
});
