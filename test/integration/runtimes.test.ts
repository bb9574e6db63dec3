// OCI runtimes beside the engine's own: Debian's runc, scripts with nothing but the verbs of the specification, ones that fail or are gone.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CLIS, openDocker, type Docker } from '../kit/docker.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { leaksOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';

const RUNC = '/usr/sbin/runc';

/**
 * What every script has in common. `create` notes its words; the process that stands for the container is left behind by the script,
 * so that whoever watches over it learns how it ends.
 */
const COMMON = `#!/bin/sh
while [ $# -gt 0 ]; do case $1 in
  --root) root=$2; shift 2;; --extra) extra=$2; shift 2;; --*) shift;; *) break;;
esac; done
verb=$1; shift
echo "$verb $* extra=$extra" >> "$root/../../../calls"
while [ $# -gt 0 ]; do case $1 in
  --bundle) bundle=$2; shift 2;; --pid-file) pidfile=$2; shift 2;; --console-socket) shift 2;; --*) shift;; *) break;;
esac; done
id=$1
`;
/** The container has ended when its creation returns. Its process is nobody's child by then, or a shell would learn of the end in conmon's place. */
const AT_ONCE = `${COMMON}case $verb in
  create) mkdir -p "$root/$id"; (sh -c 'printf %s $$ > "$1"' sh "$pidfile" &)
    until [ -s "$pidfile" ] && ! { read -r pid name state rest < "/proc/$(cat "$pidfile")/stat" && [ "$state" != Z ]; }; do :; done 2>&-;;
  state) echo "{\\"ociVersion\\":\\"1.0.2\\",\\"id\\":\\"$id\\",\\"status\\":\\"stopped\\",\\"pid\\":0}";;
  delete) [ "$1" != --force ] && rm -rf "$root/$id";;
esac
`;
/** Waits for its start, then runs on its own until it is killed, or ends with the code that a file beside the script holds. */
const WAITS = `${COMMON}case $verb in
  create) mkdir -p "$root/$id"; mkfifo "$root/$id/go"
    (trap 'exit 42' TERM; read word < "$root/$id/go"; echo begun; echo running > "$root/$id/status"; while :; do sleep 0.05; [ -e "$root/$id/end" ] && exit 7; done) & printf %s $! > "$root/$id/pid"; printf %s $! > "$pidfile"; echo created > "$root/$id/status";;
  start) echo go > "$root/$id/go"; until [ "$(cat "$root/$id/status")" = running ]; do sleep 0.02; done;;
  state) echo "{\\"ociVersion\\":\\"1.0.2\\",\\"id\\":\\"$id\\",\\"status\\":\\"$(cat "$root/$id/status")\\",\\"pid\\":$(cat "$root/$id/pid")}";;
  kill) kill -s "$(echo "$2" | sed s/SIG//)" "$(cat "$root/$id/pid")";;
  delete) rm -rf "$root/$id";;
esac
`;
const REFUSES = '#!/bin/sh\necho "no room for another" >&2\nexit 3\n';

let scripts: string;
let bench: Bench;
let docker: Docker;

before(async () => {
  scripts = mkdtempSync(join(tmpdir(), 'vqr-'));
  for (const [name, text] of Object.entries({ 'at-once': AT_ONCE, waits: WAITS, refuses: REFUSES })) writeFileSync(join(scripts, name), text, { mode: 0o755 });
  bench = await openBench({
    flags: ['--add-runtime', `second=${RUNC}`, '--add-runtime', `at-once=${scripts}/at-once`, '--add-runtime', `refuses=${scripts}/refuses`, '--add-runtime', 'gone=/nosuch/runtime'],
  });
  docker = openDocker({ host: bench.daemon.host, configDir: join(bench.path, 'client'), binary: CLIS.debian });
});
after(async () => {
  await bench[Symbol.asyncDispose]();
  rmSync(scripts, { recursive: true });
});

const calls = () => readFileSync(join(bench.daemon.execRoot, '../calls'), 'utf8').trim().split('\n');
const nothingLeft = (id: string) => until(`nothing to be left of ${id}`, () => !leaksOf(bench.path).some((leak) => leak.includes(id))
  && ['tasks', 'exits', ...readdirSync(join(bench.daemon.execRoot, 'runtimes')).map((name) => `runtimes/${name}`)].every((place) => !existsSync(join(bench.daemon.execRoot, place, id))));

test('info names them, create knows them, and no other', async () => {
  const info = (await bench.api('GET', '/info', { status: 200 })).json<{ Runtimes: Record<string, { path: string; runtimeArgs?: string[] }>; DefaultRuntime: string }>();
  assert.deepEqual([info.DefaultRuntime, info.Runtimes['second'], info.Runtimes['runc']], ['runc', { path: RUNC }, { path: 'crun' }]);
  const answer = await bench.api('POST', '/containers/create', { body: { Image: bench.image, Cmd: ['true'], HostConfig: { Runtime: 'nosuch' } } });
  assert.deepEqual([answer.status, answer.json()], [400, { message: 'Unknown runtime specified nosuch' }]);
});

test('runc runs what crun runs: output, input, terminals, execs, limits, pauses', async () => {
  const run = (...words: string[]) => docker.run(['run', '--rm', '--runtime', 'second', '--network', 'none', ...words]);
  assert.equal((await run(bench.image, 'sh', '-c', 'echo out; echo err >&2; exit 3')).code, 3);
  assert.equal((await docker.run(['run', '--rm', '-i', '--runtime', 'second', bench.image, 'cat'], { input: 'typed\n' })).stdout, 'typed\n');
  assert.match((await run('-t', bench.image, 'sh', '-c', 'test -t 0 && test -t 1 && echo a terminal')).stdout, /^a terminal\r\n$/);
  assert.match((await run('--device', '/dev/fuse', '--cap-add', 'NET_ADMIN', '--security-opt', 'no-new-privileges', '--ulimit', 'nofile=64:64', '--init', bench.image, 'sh', '-c', 'ulimit -n; grep NoNewPrivs /proc/self/status; ls /dev/fuse')).stdout, /^64\nNoNewPrivs:\t1\n\/dev\/fuse\n$/);
  const missing = await run(bench.image, 'nosuch');
  assert.deepEqual([missing.code, /OCI runtime create failed: runc create failed: .*exec: "nosuch": executable file not found in \$PATH: unknown/.test(missing.stderr)], [127, true], missing.stderr);

  const id = await bench.run(['sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.1; done'], { name: 'second-one', host: { Runtime: 'second', Memory: 32 << 20 } });
  assert.equal(await docker.ok(['exec', 'second-one', 'sh', '-c', 'echo in $(hostname)']), `in ${id.slice(0, 12)}`);
  assert.equal((await docker.run(['exec', '-t', 'second-one', 'nosuch'])).code, 127);
  await docker.ok(['pause', 'second-one']);
  assert.equal((await bench.inspect(id)).State.Status, 'paused');
  await docker.ok(['unpause', 'second-one']);
  await docker.ok(['update', '--memory', '48m', '--memory-swap', '96m', 'second-one']);
  assert.equal(await docker.ok(['exec', 'second-one', 'cat', '/sys/fs/cgroup/memory/memory.limit_in_bytes']), String(48 << 20));
  assert.match(await docker.ok(['top', 'second-one']), /sleep/);
  await docker.ok(['stop', 'second-one']);
  assert.equal((await bench.inspect(id)).State.ExitCode, 9);
  await bench.remove(id);
  await nothingLeft(id);
});

test('a container keeps its runtime over restarts of the daemon, also when nobody knows that one any more', async () => {
  await using own = await openBench({ config: { runtimes: { waits: { path: join(scripts, 'waits'), runtimeArgs: ['--extra', 'word'] }, second: { path: RUNC } }, 'default-runtime': 'second' } });
  const seen = () => readFileSync(join(own.daemon.execRoot, '../calls'), 'utf8');
  const info = (await own.api('GET', '/info')).json<{ Runtimes: Record<string, unknown>; DefaultRuntime: string }>();
  assert.deepEqual([info.DefaultRuntime, info.Runtimes['waits']], ['second', { path: join(scripts, 'waits'), runtimeArgs: ['--extra', 'word'] }]);

  const byRunc = await own.run(['sleep', '1000']);
  assert.equal((await own.inspect(byRunc)).HostConfig['Runtime'], 'second');
  const scripted = await own.run(['anything'], { host: { Runtime: 'waits' } });
  assert.match(seen(), /^create .*extra=word$/m);
  const pid = (await own.inspect(scripted)).State.Pid;
  await own.restart('kill', () => {
    // Registered no more: only what was noted beside the tasks can tell.
    writeFileSync(join(own.path, 'engine/daemon.json'), '{}');
  });
  assert.deepEqual([(await own.inspect(byRunc)).State.Status, (await own.inspect(scripted)).State.Status, (await own.inspect(scripted)).State.Pid], ['running', 'running', pid]);
  await until('its word', async () => (await own.logs(scripted)).includes('begun'));
  const exec = (await own.api('POST', `/containers/${byRunc}/exec`, { body: { Cmd: ['true'], AttachStdout: true }, status: 201 })).json<{ Id: string }>().Id;
  const run = await own.hijack(`/exec/${exec}/start`, {});
  await run.ended;
  await until('the exec to have ended', async () => (await own.api('GET', `/exec/${exec}/json`)).json<{ ExitCode: number | null }>().ExitCode === 0);

  await own.api('POST', `/containers/${scripted}/stop`, { status: 204 });
  assert.equal((await own.inspect(scripted)).State.ExitCode, 42, 'its own kill was used, and its end was seen');
  assert.match(seen(), /^kill [0-9a-f]{64} (SIGTERM|TERM|15) extra=word$/m);
  await own.remove(byRunc, scripted);
  assert.match(seen(), /^delete [0-9a-f]{64} extra=word$/m);
});

test('a container that has ended when its creation returns: it ran, and exited with its code', async () => {
  const { code, stderr } = await docker.run(['run', '--name', 'extension', '--runtime', 'at-once', '--network', 'none', bench.image, 'anything']);
  assert.deepEqual([code, stderr], [0, '']);
  const { State: state, Id: id } = await bench.inspect('extension');
  assert.deepEqual([state.Status, state.ExitCode, state.Error], ['exited', 0, '']);
  await docker.ok(['start', 'extension']);
  assert.equal(await docker.ok(['wait', 'extension']), '0');
  for (const verb of ['create', 'start', 'delete']) assert.ok(calls().filter((line) => line.startsWith(`${verb} `)).length >= 2, `${verb} twice of ${calls().join('\n')}`);
  await bench.remove(id);
  await nothingLeft(id);
});

test('a runtime that refuses, or is not there, is named, and nothing is left', async () => {
  for (const [runtime, said] of [['refuses', `${scripts}/refuses did not terminate successfully: no room for another`], ['gone', 'fork/exec /nosuch/runtime: no such file or directory']] as const) {
    const id = await bench.create(['sleep', '1000'], { host: { Runtime: runtime } });
    const answer = await bench.api('POST', `/containers/${id}/start`);
    assert.deepEqual([answer.status, answer.json<{ message: string }>().message], [500, `failed to create task for container: failed to create shim task: OCI runtime create failed: ${said}: unknown`]);
    assert.deepEqual([(await bench.inspect(id)).State.Status, (await bench.inspect(id)).State.ExitCode], ['created', 128]);
    await bench.remove(id);
    await nothingLeft(id);
  }
});

test('the bare runtime is a file system to be looked into, without an init layer, and never runs', async () => {
  const id = await docker.ok(['create', '--runtime=bare', '--volume=/boot', bench.image, '/bin/sh']);
  const { GraphDriver: graph, Mounts: mounts } = (await bench.api('GET', `/containers/${id}/json`)).json<{ GraphDriver: { Data: Record<'LowerDir' | 'UpperDir' | 'MergedDir', string> }; Mounts: Array<{ Destination: string; Source: string }> }>();
  assert.ok(!graph.Data.LowerDir.includes('-init/'), graph.Data.LowerDir);
  assert.ok(existsSync(join(graph.Data.LowerDir.split(':')[0] ?? '', 'bin/busybox')) && existsSync(graph.Data.UpperDir) && existsSync(graph.Data.MergedDir));
  assert.deepEqual(mounts.map(({ Destination, Source }) => [Destination, existsSync(Source)]), [['/boot', true]]);
  const answer = await bench.api('POST', `/containers/${id}/start`);
  assert.deepEqual([answer.status, answer.json<{ message: string }>().message], [400, `container ${id} has the runtime "bare": it is a file system for other programs and is never started`]);
  mkdirSync(join(graph.Data.UpperDir, 'etc'), { recursive: true });
  await docker.ok(['rm', '--volumes', id]);
});
