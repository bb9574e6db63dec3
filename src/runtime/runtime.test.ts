// Real containers through crun and conmon: streams whole, exits never missed, nothing left behind. Needs root.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openLinux } from '../kernel/index.ts';
import { systemClock } from '../lib/clock.ts';
import { kindOf, messageOf } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { waitingConnections } from './attach.ts';
import { bundleInput, makeRootfs, type Changes } from './fixture.ts';
import { openRuntime, type Console, type ExecInput, type Runtime, type TaskExit, type TaskInput } from './index.ts';

const kernel = openLinux({ selfCommand: ['/bin/false'] });
const CGROUP = `/vaquita-test-${process.pid}`;
let dir = '';
let runtime: Runtime;
let rootfs = '';
let mountsBefore = '';

before(async () => {
  dir = mkdtempSync('/tmp/runtime-');
  rootfs = `${dir}/rootfs`;
  mkdirSync(rootfs);
  makeRootfs(rootfs);
  mountsBefore = mountTable();
  runtime = await open();
});

after(async () => {
  const unfinished = readdirSync(`${dir}/run/tasks`);
  for (const id of unfinished) await runtime.delete(id); // of a test that failed
  await runtime.close();
  await until(() => conmons().length === 0);
  const left = ['crun', 'exits', 'tasks', 'execs'].flatMap((name) => readdirSync(`${dir}/run/${name}`));
  for (const name of readdirSync('/sys/fs/cgroup')) if (existsSync(`/sys/fs/cgroup/${name}${CGROUP}`)) rmdirSync(`/sys/fs/cgroup/${name}${CGROUP}`);
  rmSync(dir, { recursive: true });
  assert.deepEqual([...unfinished, ...left], []);
  assert.equal(mountTable(), mountsBefore, 'the host keeps its mounts, the cgroup2 hierarchy among them');
  assert.deepEqual(conmons(), []);
});

test('a program runs, is read by two consoles, exits with its code and is logged', async () => {
  const { create, exit, log } = prepared('echo', { argv: ['sh', '-c', 'echo out; echo err >&2; printf part; exit 3'] });
  const task = await create();
  assert.deepEqual(await runtime.observe('echo'), { task: 'alive', pid: task.pid, paused: false, waiting: true });
  const [one, two] = [await runtime.attach('echo'), await runtime.attach('echo')];
  const reading = [collect(one), collect(two)];
  await task.start();
  for (const { stdout, stderr } of await Promise.all(reading)) assert.deepEqual([stdout, stderr], ['out\npart', 'err\n']);
  const { exitCode, finishedAtNs, oomKilled } = await exit;
  assert.deepEqual([exitCode, oomKilled], [3, false]);
  assert.ok(Math.abs(Number(finishedAtNs / 1_000_000n) - Date.now()) < 60_000);
  assert.deepEqual(await runtime.observe('echo'), { task: 'gone', exit: { exitCode, finishedAtNs, oomKilled } });
  assert.equal(await runtime.signal('echo', 9), false);
  await one.write(Buffer.from('into the void'));
  await one.endInput();
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
  await runtime.delete('echo');
  await runtime.delete('echo');
  assert.match(readFileSync(log, 'utf8').replace(/.* stderr F err\n/, ''), /^\S+ stdout F out\n\S+ stdout P part\n$/);
});

test('whoever is attached before the start misses nothing, however late conmon comes to take them', async () => {
  const { create, exit } = prepared('crowd', { argv: ['sh', '-c', 'echo out; echo err >&2'] });
  const task = await create();
  const conmon = conmonOf('crowd');
  process.kill(conmon, 'SIGSTOP');
  const attaching = (async () => [await runtime.attach('crowd'), await runtime.attach('crowd'), await runtime.attach('crowd')])();
  await until(() => waitingConnections().size > 0);
  process.kill(conmon, 'SIGCONT');
  const consoles = await attaching;
  process.kill(conmon, 'SIGSTOP');
  const reading = consoles.map(collect);
  await task.start();
  await until(() => kernel.processes.startTicks(task.pid) === undefined);
  process.kill(conmon, 'SIGCONT');
  for (const text of await Promise.all(reading)) assert.deepEqual(text, { stdout: 'out\n', stderr: 'err\n' });
  await exit;
  for (const console of consoles) await console[Symbol.asyncDispose]();
  await runtime.delete('crowd');
});

test('what a program said is read whole when it ended before its input was, whichever of the two this process comes to first', async () => {
  for (const [id, early] of [['unread', 60_000], ['late', 0]] as const) {
    const { create, exit } = prepared(id, { argv: ['sh', '-c', 'echo out; echo err >&2'], stdin: 'once' });
    const task = await create();
    await using console = await runtime.attach(id);
    const reading = collect(console);
    const conmon = conmonOf(id);
    process.kill(conmon, 'SIGSTOP');
    await console.write(Buffer.alloc(early)); // conmon has not come to all of it when the program has ended
    await task.start();
    await until(() => kernel.processes.startTicks(task.pid) === undefined);
    process.kill(conmon, 'SIGCONT');
    while (kernel.processes.startTicks(conmon) !== undefined); // this process is busy
    await console.write(Buffer.from('too late'));
    assert.deepEqual(await reading, { stdout: 'out\n', stderr: 'err\n' }, id);
    await exit;
    await runtime.delete(id);
  }
});

test('input ends while output goes on', async () => {
  const { create, exit } = prepared('half', { argv: ['sh', '-c', 'cat; sleep 0.2; echo late'], stdin: 'once' });
  const task = await create();
  await using console = await runtime.attach('half');
  const reading = collect(console);
  await task.start();
  await console.write(Buffer.from('hello\n'));
  await console.endInput();
  assert.equal((await reading).stdout, 'hello\nlate\n');
  assert.equal((await exit).exitCode, 0);
  await runtime.delete('half');
});

test('sixteen megabytes go in and out without a loss, to a slow reader', async () => {
  const { create, exit } = prepared('flood', { argv: ['cat'], stdin: 'once', logged: false });
  const task = await create();
  await using console = await runtime.attach('flood');
  await task.start();
  const chunk = Buffer.alloc(1 << 20, 'abcdefghijk');
  const [sent, got] = [createHash('sha256'), createHash('sha256')];
  let received = 0, pauses = 0;
  const reading = (async () => {
    for await (const { bytes } of console.output) {
      got.update(bytes);
      received += bytes.length;
      if (received >> 20 > pauses) { pauses++; await systemClock.sleep(5); }
    }
  })();
  for (let n = 0; n < 16; n++) {
    chunk.writeUInt32LE(n);
    sent.update(chunk);
    await console.write(chunk);
  }
  await console.endInput();
  await reading;
  assert.equal(received, 16 << 20);
  assert.equal(got.digest('hex'), sent.digest('hex'));
  assert.equal((await exit).exitCode, 0);
  await runtime.delete('flood');
});

test('a terminal has the size it is given, and open input survives a console', async () => {
  const { create } = prepared('tty', { argv: ['sh'], stdin: 'open', config: { Tty: true } });
  const task = await create();
  await using console = await runtime.attach('tty');
  const seen = transcript(console);
  await task.start();
  await runtime.resize('tty', { width: 101, height: 33 });
  await until(async () => { await console.write(Buffer.from('stty size\n')); return seen().includes('33 101'); });
  const second = await runtime.attach('tty');
  await second[Symbol.asyncDispose]();
  await console.write(Buffer.from('echo $TERM-$((40+2))\n'));
  await until(() => seen().includes('xterm-42'));
  await runtime.delete('tty');
  await assert.rejects(runtime.resize('tty', { width: 1, height: 1 }), { kind: 'conflict' });
});

test('a task is signalled, paused, resumed, listed and killed', async () => {
  const { create, exit } = prepared('kill', { argv: ['sh', '-c', 'trap "echo got; exit 7" TERM; echo ready; while :; do sleep 0.05; done'] });
  const task = await create();
  await using console = await runtime.attach('kill');
  const seen = transcript(console);
  await task.start();
  await until(() => seen().includes('ready'));
  assert.ok((await runtime.processes('kill')).includes(task.pid));
  assert.match((await runtime.listProcesses(['-ef']))[0] ?? '', /PID/);
  await assert.rejects(runtime.listProcesses(['--nonsense']), { kind: 'invalid' });
  await runtime.pause('kill');
  assert.deepEqual(await runtime.observe('kill'), { task: 'alive', pid: task.pid, paused: true });
  await runtime.resume('kill');
  assert.equal(await runtime.signal('kill', 15), true);
  assert.equal((await exit).exitCode, 7);
  assert.match(seen(), /got/);
  await runtime.delete('kill');

  const again = prepared('kill', { argv: ['sleep', '1000'] });
  await (await again.create()).start();
  await runtime.signal('kill', 9);
  assert.equal((await again.exit).exitCode, 137);
  await runtime.delete('kill');
});

test('a paused task is deleted too, and leaves nothing in its cgroup', async () => {
  const { create } = prepared('frozen', { argv: ['sh', '-c', 'sleep 1000 & sleep 1000; :'] });
  await (await create()).start();
  await until(async () => (await runtime.processes('frozen')).length === 3);
  await runtime.pause('frozen');
  await runtime.delete('frozen');
  assert.deepEqual(await runtime.observe('frozen'), { task: 'gone', exit: undefined });
  assert.deepEqual(readdirSync('/sys/fs/cgroup').filter((name) => existsSync(`/sys/fs/cgroup/${name}${CGROUP}/frozen`)), []);
});

test('a task is made although an earlier one was left frozen in its cgroup, unknown to all', async () => {
  const places = ['pids', 'freezer'].map((name) => `/sys/fs/cgroup/${name}${CGROUP}/cold`);
  const stray = spawn('sleep', ['1000'], { stdio: 'ignore' });
  const ended = once(stray, 'exit');
  for (const place of places) {
    mkdirSync(place, { recursive: true });
    writeFileSync(`${place}/cgroup.procs`, String(stray.pid));
  }
  writeFileSync(`${places[1]}/freezer.state`, 'FROZEN');
  const { create, exit } = prepared('cold', { argv: ['true'] });
  await (await create()).start();
  assert.equal((await exit).exitCode, 0);
  await ended;
  await runtime.delete('cold');
  assert.deepEqual(places.filter((place) => existsSync(place)), []);
});

test('what cannot run says so as Docker does, and leaves nothing', async () => {
  writeFileSync(`${rootfs}/bin/locked`, '#!/bin/sh\n', { mode: 0o644 });
  const cases: Array<[string, RegExp]> = [
    ['nosuch', /exec: "nosuch": executable file not found in \$PATH: unknown$/],
    ['/no/such', /exec: "\/no\/such": stat \/no\/such: no such file or directory: unknown$/],
    ['/bin/locked', /exec: "\/bin\/locked": permission denied: unknown$/],
    ['/etc', /permission denied: unknown$/],
  ];
  for (const [program, words] of cases) {
    for (const Tty of [false, true]) {
      const { create } = prepared('bad', { argv: [program], config: { Tty } });
      const error: unknown = await create().then((task) => task.start()).then(() => undefined, (reason: unknown) => reason);
      assert.equal(kindOf(error), 'invalid', messageOf(error));
      assert.match(messageOf(error), words);
      assert.deepEqual(await runtime.observe('bad'), { task: 'gone', exit: undefined });
      assert.deepEqual(readdirSync(`${dir}/run/tasks`), []);
    }
  }
});

test('a created task can be discarded', async () => {
  const { create } = prepared('undo', { argv: ['sh'] });
  const task = await create();
  await task.discard();
  mkdirSync(`${dir}/run/crun/undo`); // as a crun leaves it that was killed
  await runtime.delete('undo');
  assert.deepEqual(await runtime.observe('undo'), { task: 'gone', exit: undefined });
});

test('further processes run, with their own user, folder, terminal and input', async () => {
  const { create } = prepared('execs', { argv: ['sleep', '1000'], config: { Env: ['A=1'] } });
  await (await create()).start();
  const run = async (input: Partial<ExecInput>, give?: string) => {
    const exec = await runtime.exec(execInput(input));
    await using console = exec.console;
    const reading = collect(console);
    if (give !== undefined) { await console.write(Buffer.from(give)); await console.endInput(); }
    const { stdout, stderr } = await reading;
    return { stdout, stderr, code: await exec.exited };
  };
  assert.deepEqual(await run({ argv: ['sh', '-c', 'pwd; id -u; id -G; echo $A$B$HOME; echo e >/dev/stderr; exit 4'], cwd: '/tmp', user: 'app', env: ['B=2'] }),
    { stdout: '/tmp\n1000\n1001 10 29\n12/home/app\n', stderr: 'e\n', code: 4 });
  assert.deepEqual(await run({ argv: ['cat'], stdin: true }, 'through\n'), { stdout: 'through\n', stderr: '', code: 0 });
  assert.deepEqual(await run({ argv: ['sh', '-c', 'until [ -n "$(stty size 2>/dev/null)" ]; do :; done; stty size'], tty: true, consoleSize: { width: 90, height: 21 } }), { stdout: '21 90\r\n', stderr: '', code: 0 });
  const capabilities = async (privileged: boolean) => (await run({ argv: ['grep', 'CapEff', '/proc/self/status'], privileged })).stdout.trim();
  assert.notEqual(await capabilities(true), await capabilities(false));
  await assert.rejects(run({ argv: ['nosuch'] }), (error) => /^OCI runtime exec failed: exec failed: .*"nosuch": executable file not found in \$PATH: unknown$/.test(messageOf(error)));
  await assert.rejects(run({ argv: ['sh'], user: 'ghost' }), { kind: 'system', message: 'unable to find user ghost: no matching entries in passwd file' });

  const long = await runtime.exec(execInput({ argv: ['sleep', '1000'] }));
  assert.ok((await runtime.processes('execs')).includes(long.pid));
  await long.signal(15);
  const last = await runtime.exec(execInput({ argv: ['sleep', '1000'] }));
  assert.equal(await long.exited, 143);
  await runtime.delete('execs');
  assert.equal(await last.exited, 137);
  await Promise.all([long, last].map(({ console }) => console[Symbol.asyncDispose]()));
});

test('limits hold: memory ends a task as oomKilled, and raised limits do not fail the start', async () => {
  const host = { Memory: 8 << 20, MemorySwap: 8 << 20, PidsLimit: 20, OomScoreAdj: -200, Ulimits: [{ Name: 'nofile', Soft: 2_000_000, Hard: 2_000_000 }] };
  const { create, exit } = prepared('oom', { argv: ['sh', '-c', 'x=a; while :; do x=$x$x; done'], host });
  await (await create()).start();
  const { exitCode, oomKilled } = await exit;
  assert.deepEqual([exitCode, oomKilled], [137, true]);
  await runtime.delete('oom');
});

test('privileged, read-only, and every way of sharing with the host start', async () => {
  const cases: Array<[string, Changes['host'] & object, string, string]> = [
    ['all', { Privileged: true }, 'mount -t tmpfs none /tmp && echo yes', 'yes\n'],
    ['ro', { ReadonlyRootfs: true }, 'touch /x 2>/dev/null || echo refused', 'refused\n'],
    ['shared', { NetworkMode: 'host', PidMode: 'host', IpcMode: 'host', UTSMode: 'host' }, 'readlink /proc/self/ns/net', undefinedText()],
    ['fenced', {}, 'unshare -m true 2>/dev/null || echo refused; cat /proc/kcore; cat /proc/sys/net/ipv4/ip_unprivileged_port_start', 'refused\n0\n'],
    ['cgns', { CgroupnsMode: 'private' }, 'grep pids /proc/self/cgroup | cut -d: -f3', '/\n'],
  ];
  for (const [id, host, script, want] of cases) {
    const { create, exit } = prepared(id, { argv: ['sh', '-c', script], host });
    const task = await create();
    await using console = await runtime.attach(id);
    const reading = collect(console);
    await task.start();
    const { stdout, stderr } = await reading;
    if (want === undefinedText()) assert.match(stdout, /^net:\[\d+\]\n$/);
    else assert.equal(stdout, want, `${id}: ${stderr}`);
    await exit;
    await runtime.delete(id);
  }
});

test('a later daemon finds what lives, and what ended while nobody watched', async () => {
  const living = prepared('lives', { argv: ['sleep', '1000'] });
  const ending = prepared('ended', { argv: ['sh', '-c', 'sleep 0.3; exit 9'] });
  const orphan = prepared('orphan', { argv: ['sleep', '1000'] });
  const task = await living.create();
  await task.start();
  await (await ending.create()).start();
  await orphan.create();
  await runtime.close();
  rmSync(`${dir}/run/tasks/orphan/task.json`); // as when the first daemon died before it wrote it
  await until(() => existsSync(`${dir}/run/exits/ended`));

  runtime = await open();
  assert.deepEqual(await runtime.observe('lives'), { task: 'alive', pid: task.pid, paused: false });
  assert.equal((await runtime.observe('orphan')).task, 'alive');
  const gone = await runtime.observe('ended');
  assert.equal(gone.task === 'gone' ? gone.exit?.exitCode : undefined, 9);
  const exits = new Map<string, TaskExit[]>();
  using _ = runtime.onExit((id, exit) => exits.set(id, [...exits.get(id) ?? [], exit]));
  await runtime.adopt('ended');
  assert.equal(exits.get('ended')?.[0]?.exitCode, 9);
  await runtime.adopt('lives');
  await using console = await runtime.attach('lives');
  await runtime.signal('lives', 9);
  assert.equal((await collect(console)).stdout, '');
  await until(() => exits.has('lives'));
  assert.equal(exits.get('lives')?.[0]?.exitCode, 137);
  for (const id of ['lives', 'ended', 'orphan']) await runtime.delete(id);
  assert.deepEqual([...exits].map(([id, list]) => [id, list.length]), [['ended', 1], ['lives', 1]]);
});

test('an overlay is free as soon as its container is deleted, and others never hold it', async () => {
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => { mkdirSync(`${dir}/tmpfs/${name}`, { recursive: true }); return `${dir}/tmpfs/${name}`; });
  assert.ok(merged);
  kernel.mounts.mount({ source: 'tmpfs', target: `${dir}/tmpfs`, fsType: 'tmpfs' });
  for (const name of ['upper', 'work', 'merged']) mkdirSync(`${dir}/tmpfs/${name}`);
  kernel.mounts.mount({ source: 'overlay', target: merged, fsType: 'overlay', data: `lowerdir=${rootfs},upperdir=${upper},workdir=${work}` });
  const over = prepared('over', { argv: ['sleep', '1000'], rootfs: merged });
  const other = prepared('other', { argv: ['sleep', '1000'] });
  await (await over.create()).start();
  await (await other.create()).start();
  await runtime.delete('over');
  kernel.mounts.unmount(merged);
  kernel.mounts.unmount(`${dir}/tmpfs`); // busy while anything, in any namespace, still used the overlay above it
  await runtime.delete('other');
});

test('a moved log is opened anew', async () => {
  const { create, exit, log } = prepared('rotate', { argv: ['sh', '-c', 'read a; echo $a; read b; echo $b'], stdin: 'once' });
  const task = await create();
  await using console = await runtime.attach('rotate');
  const seen = transcript(console);
  await task.start();
  await console.write(Buffer.from('one\n'));
  await until(() => seen().includes('one') && readFileSync(log, 'utf8').includes('one'));
  renameSync(log, `${log}.1`);
  await runtime.reopenLog('rotate');
  await until(() => existsSync(log));
  await console.write(Buffer.from('two\n'));
  await exit;
  assert.match(readFileSync(log, 'utf8'), /stdout F two\n$/);
  assert.match(readFileSync(`${log}.1`, 'utf8'), /stdout F one\n$/);
  await runtime.delete('rotate');
  await runtime.reopenLog('rotate');
});

interface Prepared { create: () => ReturnType<Runtime['create']>; exit: Promise<TaskExit>; log: string }

function prepared(id: string, changes: Changes & { stdin?: TaskInput['stdin']; logged?: boolean }): Prepared {
  const { promise, resolve } = Promise.withResolvers<TaskExit>();
  const log = `${dir}/${id}.log`;
  return {
    exit: promise, log,
    create: async () => {
      const listening = runtime.onExit((ended, exit) => { if (ended === id) { listening[Symbol.dispose](); resolve(exit); } });
      const input = bundleInput({ id, rootfs, ...changes, rest: { cgroupPath: `${CGROUP}/${id}` } });
      const spec = await runtime.bundleOf(input);
      return runtime.create({ id, runtime: 'runc', spec, tty: input.config.Tty, stdin: changes.stdin ?? 'closed', logPath: changes.logged === false ? undefined : log });
    },
  };
}

let execs = 0;

function execInput(changes: Partial<ExecInput>): ExecInput {
  return { containerId: 'execs', execId: `e${++execs}`, argv: ['sh'], env: [], cwd: '', user: '', tty: false, stdin: false, privileged: false, consoleSize: undefined, ...changes };
}

async function collect(console: Console): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' };
  for await (const { stream, bytes } of console.output) text[stream] += Buffer.from(bytes).toString();
  return text;
}

/** What was seen so far, read on in the background as it must be. */
function transcript(console: Console): () => string {
  let text = '';
  void (async () => { for await (const { bytes } of console.output) text += Buffer.from(bytes).toString(); })();
  return () => text;
}

async function until(met: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !await met();) {
    assert.ok(Date.now() < end, 'not met within 20 s');
    await systemClock.sleep(20);
  }
}

function open(): Promise<Runtime> {
  return openRuntime({ kernel, log: silentLog, clock: systemClock, execRoot: `${dir}/run` });
}

function mountTable(): string {
  return kernel.mounts.list().filter(({ target }) => target.startsWith('/sys') || target.startsWith(dir)).map(({ target, fsType }) => `${target} ${fsType}`).join('\n');
}

/** Monitors of this test that still live. */
function conmonOf(id: string): number { return Number(readFileSync(`${dir}/run/tasks/${id}/conmon.pid`, 'utf8')); }

function conmons(): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
    try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${dir}/run`); } catch { return false; }
  });
}

function undefinedText(): string { return '<any>'; }
