// kill -9 of the daemon at each step of what changes networks: the next start has neither leaked nor lost anything.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { openNetns, type Netns } from '../kit/netns.ts';
import { until } from '../kit/poll.ts';

/** What changes the kernel, the disk or the exec root, or starts a program that does. */
const CALLS = ['sendto', 'setns', 'bind', 'clone', 'clone3', 'vfork', 'rename', 'symlink', 'unlink', 'write'];
/** Of each verb's steps so many are tried, spread evenly, the first and the last among them; all of them with VAQUITA_TEST_LONG=1. */
const STEPS_PER_VERB = process.env['VAQUITA_TEST_LONG'] ? Infinity : 6;
const BYSTANDER_PORT = 18500;
const VICTIM_PORT = 18501;

/** The `nth` call of this name on the thread of the daemon's script, or on one of those that work with files for it. */
interface Step { thread: 'main' | 'pool'; call: string; nth: number }

interface Inspected { State: { Running: boolean; Pid: number }; NetworkSettings: { Networks: Record<string, { EndpointID: string; IPAddress: string }> } }

let machine: Netns;
let bench: Bench;
let baseline: { devices: string[]; rules: string[] };

before(async () => {
  machine = openNetns();
  bench = await openBench({ netns: machine });
  await bench.api('POST', '/networks/create', { status: 201, body: { Name: 'stays', IPAM: { Config: [{ Subnet: '10.215.1.0/24' }] } } });
  await serve('bystander', { port: BYSTANDER_PORT, network: 'stays' });
  await reached(BYSTANDER_PORT);
  baseline = observed();
});

after(async () => {
  if (!bench.daemon.running) await bench.restart('kill');
  await bench.remove('bystander');
  await bench.api('DELETE', '/networks/stays', { status: 204 });
  await bench[Symbol.asyncDispose]();
  await machine[Symbol.asyncDispose]();
});

test('a start with published ports, killed at each step', () => walk({
  prepare: () => create('victim', { port: VICTIM_PORT, network: 'stays' }),
  verb: () => bench.api('POST', '/containers/victim/start'),
  judge: async () => {
    if (!(await inspect('victim')).State.Running) await bench.start('victim');
    await reached(VICTIM_PORT);
    await bench.remove('victim');
  },
}));

test('a connection of a running container, killed at each step', () => walk({
  prepare: async () => { await create('victim', { port: VICTIM_PORT, network: 'bridge' }); await bench.start('victim'); },
  verb: () => bench.api('POST', '/networks/stays/connect', { body: { Container: 'victim' } }),
  judge: async () => {
    if (!('stays' in (await inspect('victim')).NetworkSettings.Networks)) await bench.api('POST', '/networks/stays/connect', { status: 200, body: { Container: 'victim' } });
    await named('victim');
    await reached(VICTIM_PORT);
    await bench.remove('victim');
  },
}));

test('a disconnection of a running container, killed at each step', () => walk({
  prepare: async () => {
    await create('victim', { port: VICTIM_PORT, network: 'bridge' });
    await bench.start('victim');
    await bench.api('POST', '/networks/stays/connect', { status: 200, body: { Container: 'victim' } });
  },
  verb: () => bench.api('POST', '/networks/stays/disconnect', { body: { Container: 'victim' } }),
  judge: async () => {
    if ('stays' in (await inspect('victim')).NetworkSettings.Networks) {
      await named('victim');
      await bench.api('POST', '/networks/stays/disconnect', { status: 200, body: { Container: 'victim' } });
    }
    await reached(VICTIM_PORT);
    await bench.remove('victim');
  },
}));

test('a network that is made, killed at each step', () => walk({
  prepare: async () => {},
  verb: () => createNetwork(),
  judge: async () => {
    const { status } = await createNetwork();
    assert.ok(status === 201 || status === 409, `it is there or it can be made: ${status}`);
    await bench.api('DELETE', '/networks/goes', { status: 204 });
  },
}));

test('a network that is removed, killed at each step', () => walk({
  prepare: async () => { assert.equal((await createNetwork()).status, 201); },
  verb: () => bench.api('DELETE', '/networks/goes'),
  judge: async () => {
    const { status } = await bench.api('DELETE', '/networks/goes');
    if (status === 404) assert.equal((await createNetwork()).status, 201, 'its subnet is free');
    else assert.equal(status, 204);
    if (status === 404) await bench.api('DELETE', '/networks/goes', { status: 204 });
  },
}));

interface Verb { prepare: () => Promise<unknown>; verb: () => Promise<unknown>; judge: () => Promise<void> }

/** The verb once as it is, to learn its steps; then once for each step, at which the daemon dies. */
async function walk({ prepare, verb, judge }: Verb): Promise<void> {
  await prepare();
  const steps = await stepsOf(verb);
  await judge();
  await assertSameKernel('without a crash');
  assert.ok(steps.length >= 2, JSON.stringify(steps));
  let died = 0;
  for (const step of chosen(steps)) {
    const what = `killed at ${step.thread} ${step.call} ${step.nth}`;
    try {
      await prepare();
      const killer = await attach(threads(step.thread), ['-e', `inject=${step.call}:signal=SIGKILL:when=${step.nth}`, '-o', '/dev/null']);
      if (await verb().then(() => false, () => true)) {
        await bench.daemon.exited;
        died++;
      }
      await detach(killer);
      await bench.restart('kill');
      await assertConsistent();
      await reached(BYSTANDER_PORT);
      await judge();
      await assertSameKernel(what);
    } catch (cause) { throw new Error(what, { cause }); }
  }
  assert.ok(died >= chosen(steps).length / 2, 'the daemon died at half of the steps at least');
}

const chosen = (steps: readonly Step[]): Step[] => (steps.length <= STEPS_PER_VERB ? [...steps]
  : Array.from({ length: STEPS_PER_VERB }, (_, n) => steps[Math.round(n * (steps.length - 1) / (STEPS_PER_VERB - 1))]).filter((step) => step !== undefined));

/** In the order in which they were made. */
async function stepsOf(verb: () => Promise<unknown>): Promise<Step[]> {
  const file = join(bench.path, 'steps');
  const tracer = await attach([...threads('main'), ...threads('pool')], ['-e', `trace=${CALLS.join(',')}`, '-o', file]);
  await verb();
  await detach(tracer);
  const counted = new Map<string, number>();
  return readFileSync(file, 'utf8').split('\n').flatMap((line): Step[] => {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) return [];
    const nth = (counted.get(`${thread} ${call}`) ?? 0) + 1;
    counted.set(`${thread} ${call}`, nth);
    const step: Step = { thread: Number(thread) === bench.daemon.pid ? 'main' : 'pool', call, nth };
    // Written in the background: files, and devices that are to go. Eight bytes wake the script's thread.
    return call === 'write' && (step.thread === 'main' || line.endsWith(' = 8')) ? [] : [step];
  });
}

function threads(kind: Step['thread']): number[] {
  return readdirSync(`/proc/${bench.daemon.pid}/task`).map(Number).filter((thread) => (thread === bench.daemon.pid) === (kind === 'main'));
}

/** Once every one of the threads has it as its tracer. */
async function attach(to: readonly number[], words: readonly string[]): Promise<ChildProcess> {
  const tracer = spawn('strace', ['-qq', ...to.flatMap((thread) => ['-p', String(thread)]), ...words], { stdio: 'ignore' });
  await until('the tracer to be attached', () => to.every((thread) => !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${thread}/status`, 'utf8'))));
  return tracer;
}

/** It ends by itself when there is nothing left to trace. */
async function detach(tracer: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => { tracer.once('exit', resolve); });
  if (tracer.exitCode !== null || tracer.signalCode !== null) return;
  tracer.kill('SIGINT');
  await ended;
}

const inspect = async (name: string): Promise<Inspected> => (await bench.api('GET', `/containers/${name}/json`, { status: 200 })).json<Inspected>();

const create = (name: string, { port, network }: { port: number; network: string }) =>
  bench.create(['sh', '-c', 'mkdir -p /w && echo served > /w/index.html && exec httpd -f -p 80 -h /w'], { name, body: { ExposedPorts: { '80/tcp': {} } }, host: { NetworkMode: network, PortBindings: { '80/tcp': [{ HostPort: String(port) }] } } });

async function serve(name: string, where: { port: number; network: string }): Promise<void> { await bench.start(await create(name, where)); }

const createNetwork = () => bench.api('POST', '/networks/create', { body: { Name: 'goes', CheckDuplicate: true, IPAM: { Config: [{ Subnet: '10.215.2.0/24' }] } } });

/** From the host, through its published port. */
const reached = (port: number) => until(`port ${port} to answer`, async () => (await machine.run(['busybox', 'wget', '-qO-', `http://127.0.0.1:${port}/`])).stdout === 'served\n');

/** From the bystander, by its name. */
async function named(name: string): Promise<void> {
  const { State: { Pid: pid } } = await inspect('bystander');
  const { stdout, stderr } = await machine.run(['nsenter', '-t', String(pid), '-n', '-m', 'ping', '-c', '1', '-W', '5', name]);
  assert.match(stdout, / 1 packets received/, stderr);
}

/** What inspect says of running containers is so in the kernel, and there is nothing beyond it. */
async function assertConsistent(): Promise<void> {
  const list = (await bench.api('GET', '/containers/json', { status: 200 })).json<Array<{ Id: string }>>();
  let endpoints = 0;
  for (const { Id } of list) {
    const { State: { Pid: pid }, NetworkSettings: { Networks: networks } } = await inspect(Id);
    const { stdout } = await machine.run(['nsenter', '-t', String(pid), '-n', 'ip', '-4', '-o', 'addr']);
    for (const [name, { IPAddress: address, EndpointID: endpoint }] of Object.entries(networks)) {
      assert.notEqual(endpoint, '', `a running container has an endpoint in ${name}`);
      assert.ok(stdout.includes(` ${address}/`), `${address} of ${name} is in: ${stdout}`);
      endpoints++;
    }
  }
  await until('as many devices as endpoints', () => machine.devices().filter((device) => device.startsWith('veth')).length === endpoints);
}

/** Names of devices that are made anew each time are left out. */
const observed = () => ({ devices: machine.devices().map((device) => device.replace(/^veth.*/, 'veth')), rules: machine.rules().toSorted() });

/** In the end: devices go a moment after their namespace. */
async function assertSameKernel(what: string): Promise<void> {
  await until('the kernel to be as before', () => JSON.stringify(observed()) === JSON.stringify(baseline)).catch(() => {});
  const { devices, rules } = observed();
  assert.deepEqual({ devices, rules: rules.filter((rule) => !baseline.rules.includes(rule)), missing: baseline.rules.filter((rule) => !rules.includes(rule)) }, { devices: baseline.devices, rules: [], missing: [] }, what);
}
