// Failure walks: whichever call fails, create and start leave everything or nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kernel } from '../../kernel/index.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { Limiter } from '../../lib/lock.ts';
import { silentLog } from '../../lib/log.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import type { Logs } from '../../logs/index.ts';
import type { CreatedTask, Runtime } from '../../runtime/index.ts';
import type { OverlayMount, Store } from '../../store/index.ts';
import { openEvents, type Fact } from '../events.ts';
import { Metrics } from '../metrics.ts';
import type { Network, Sandbox, SandboxWish } from '../../network/index.ts';
import { EMPTY_NETWORK } from '../networks/predefined.ts';
import type { Networks } from '../networks/networks.ts';
import { Volumes } from '../volumes/volumes.ts';
import { connectContainer, disconnectContainer } from './connect.ts';
import { createContainer } from './create.ts';
import { ExecTable } from './exec-table.ts';
import { NO_DEFAULTS, type ContainerNeeds } from './needs.ts';
import { removeContainer } from './remove.ts';
import type { Container } from './container.ts';
import { startContainer } from './start.ts';
import { killContainer, stopContainer } from './stop.ts';
import { ContainerTable } from './table.ts';
import { waitFor } from './wait.ts';
import { handleExit } from './watch.ts';

const IMAGE = parseImageConfig(new TextEncoder().encode(JSON.stringify({
  architecture: 'amd64', os: 'linux', config: { Cmd: ['/bin/true'] }, rootfs: { type: 'layers', diff_ids: [`sha256:${'1'.repeat(64)}`] },
})));

/** More calls than any verb makes: a walk that is still failing then fails for a reason of its own. */
const MOST_CALLS = 100;

interface World { needs: ContainerNeeds; live: Set<string>; calls: number; failAt: number; started: string[]; order: string[]; full: boolean }

/** A world in which the n-th call to anything outside fails, and `live` holds what exists. */
function world(failAt: number): World {
  const live = new Set<string>();
  const w: World = { live, calls: 0, failAt, started: [], order: [], full: false, needs: undefined as unknown as ContainerNeeds };
  const step = (what: string) => { if (w.calls++ === w.failAt) throw new Error(`${what} failed`); };
  const overlay: OverlayMount = { lowerDirs: ['/l'], upperDir: '/u', workDir: '/w', mergedDir: '/m', data: 'lowerdir=/l' };
  const store = {
    root: '/root',
    images: { get: (id: string) => (id === IMAGE.id ? IMAGE : undefined), withPrefix: () => [] },
    names: { get: () => IMAGE.id, of: () => [] },
    layers: {
      createActive: async () => { step('createActive'); live.add('snapshot'); return overlay; },
      active: () => (live.has('snapshot') ? overlay : undefined),
      removeActive: async () => { live.delete('snapshot'); },
    },
    volumes: {
      get: (name: string) => (live.has(`volume ${name}`) ? { name, path: `/v/${name}`, labels: null, options: null, createdAt: '', mount: undefined, damaged: undefined } : undefined),
      create: async ({ name }: { name: string }) => { step('volume'); live.add(`volume ${name}`); return store.volumes.get(name); },
      remove: async (name: string) => { live.delete(`volume ${name}`); },
      fill: async () => { step('fill'); },
    },
    containers: {
      directory: (id: string) => `/c/${id}`,
      create: async () => { step('record'); live.add('record'); },
      save: async ({ State: { Running: running } }: { State: { Running: boolean } }) => {
        if (live.has('task')) step('save');
        if (w.full) throw new Error('no space left');
        w.order.push(running ? 'recorded as running' : 'recorded as ended');
      },
      writeFile: async (_id: string, name: string) => { step(name); return `/c/${name}`; },
      remove: async () => { live.delete('record'); },
    },
  };
  const task: CreatedTask = {
    pid: 42,
    start: async () => { step('start'); live.add('program'); },
    discard: async () => { live.delete('task'); },
  };
  const runtime = {
    facts: { cgroupVersion: 2, runtimes: { runc: {} }, abilities: { cpus: '', mems: '' } },
    securityOf: () => ({ noNewPrivileges: false, seccompProfile: '', apparmorProfile: '', processLabel: '', mountLabel: '' }),
    bundleOf: async () => { step('bundle'); return {}; },
    create: async () => { step('task'); live.add('task'); return task; },
    delete: async () => { w.order.push('runtime forgets'); live.delete('task'); live.delete('program'); },
    signal: async () => true,
    saveNote: () => {},
  };
  const kernel = kernelOf(step, live);
  const events = { ...openEvents(systemClock), publish: (fact: Fact) => { w.started.push(fact.action); } };
  const table = new ContainerTable();
  w.needs = {
    volumes: new Volumes({ store: store as unknown as Store, kernel: kernel as unknown as Kernel, events, table, clock: systemClock, log: silentLog }),
    store: store as unknown as Store, runtime: runtime as unknown as Runtime, kernel: kernel as unknown as Kernel, logs: logsOf(step, live),
    events, clock: systemClock, log: silentLog, table, execs: new ExecTable(() => {}), health: { follow: () => {}, rest: () => {}, recall: () => {}, close: async () => {} }, metrics: new Metrics(systemClock), hostName: 'host', platform: { os: 'linux', architecture: 'amd64' }, daemonId: 'one', defaults: NO_DEFAULTS,
    network: networkOf(step, live), networks: NETWORKS, turn: new Limiter(1),
  };
  return w;
}

const BRIDGE = { ...EMPTY_NETWORK, Name: 'bridge', Id: 'b0', Created: '', Driver: 'bridge' };
const OWN = { ...BRIDGE, Name: 'own', Id: 'c0' };
const NETWORKS = { find: (word: string) => (['own', 'c0'].includes(word) ? OWN : BRIDGE), named: () => BRIDGE, get: (id: string) => (id === 'c0' ? OWN : BRIDGE), claim: async () => ({ [Symbol.dispose]: () => {} }) } as unknown as Networks;

/** One sandbox at most; its interfaces are there from `attach` to `release`. */
function networkOf(step: (what: string) => void, live: Set<string>): Network {
  let sandbox: Sandbox | undefined;
  const prepare = async ({ id, endpoints: [wish] }: SandboxWish) => {
    step('prepare');
    live.add('addresses');
    const got = { networkId: 'b0', endpointId: wish?.endpointId ?? '', ipv4: '172.17.0.2', ipv4PrefixLen: 16, gateway: '172.17.0.1', ipv6: '', ipv6PrefixLen: 0, ipv6Gateway: '', mac: '', interfaceName: '' };
    const endpoints = new Map([['b0', got]]);
    sandbox = {
      id, key: '/key', endpoints, published: [], resolvConf: 'nameserver 9.9.9.9\n', rename: () => {},
      connect: async () => {
        step('connect');
        live.add('endpoint');
        const joined = { ...got, networkId: 'c0', ipv4: '10.0.0.2' };
        endpoints.set('c0', joined);
        return joined;
      },
      disconnect: async () => {
        step('disconnect');
        live.delete('endpoint');
        endpoints.delete('c0');
      },
      attach: async () => { step('attach'); live.add('interfaces'); },
      release: async () => { live.delete('interfaces'); live.delete('addresses'); sandbox = undefined; },
    };
    return sandbox;
  };
  return { prepare, sandbox: () => sandbox } as unknown as Network;
}

const kernelOf = (step: (what: string) => void, live: Set<string>) => ({
  mounts: {
    mount: () => { step('mount'); live.add('mount'); },
    unmount: () => { live.delete('mount'); },
    list: () => (live.has('mount') ? [{ target: '/m' }] : []),
  },
  files: { readInRoot: () => undefined, ensureDirectory: () => {}, exists: () => true, findInRoot: (_root: string, path: string) => ({ kind: 'directory', path }) },
});

const logsOf = (step: (what: string) => void, live: Set<string>) => ({
  prepare: async () => { step('log'); live.add('log'); return { path: '/c/log', maxBytes: undefined }; },
  ended: () => { live.delete('log'); },
  release: async () => {},
}) as unknown as Logs;

const create = (w: World) => createContainer(w.needs, { name: 'one', body: { Image: 'busybox' }, signal: new AbortController().signal });

async function running(w: World): Promise<Container> {
  await create(w);
  const container = w.needs.table.find('one');
  await startContainer(w.needs, container);
  return container;
}

test('create leaves a container or nothing, whichever call fails', async () => {
  for (let n = 0; n < MOST_CALLS; n++) {
    const w = world(n);
    const failure = await create(w).then(() => undefined, messageOf);
    if (failure === undefined) {
      assert.deepEqual([[...w.live].toSorted(), w.needs.table.all().length, w.started], [['record', 'snapshot'], 1, ['create']]);
      assert.ok(n >= 2, 'the walk must have failed at least the snapshot and the record');
      return;
    }
    assert.deepEqual([[...w.live], w.needs.table.all(), w.needs.table.isNameTaken('one'), w.started], [[], [], false, []], failure);
  }
  assert.fail('it never succeeded');
});

test('create leaves its volumes with the container or, of those without a name, none', async () => {
  const body = { Image: 'busybox', Volumes: { '/data': {} }, HostConfig: { Binds: ['named:/n', '/host:/h'], Mounts: [{ Type: 'volume', Target: '/m' }] } };
  for (let n = 0; n < MOST_CALLS; n++) {
    const w = world(n);
    const failure = await createContainer(w.needs, { name: 'one', body, signal: new AbortController().signal }).then(() => undefined, messageOf);
    const left = [...w.live].filter((what) => what !== 'volume named');
    if (failure === undefined) {
      assert.deepEqual(left.map((what) => what.split(' ')[0] ?? '').toSorted((a, b) => (a < b ? -1 : 1)), ['record', 'snapshot', 'volume', 'volume']);
      const container = w.needs.table.find('one');
      assert.deepEqual(Object.values(container.record.MountPoints).map(({ Type: type, Destination: at }) => `${type} ${at}`), ['volume /data', 'bind /h', 'volume /m', 'volume /n']);
      await assert.rejects(w.needs.volumes.remove('named'), /volume is in use/);
      await removeContainer(w.needs, container, { force: false, volumes: true });
      assert.deepEqual([...w.live], ['volume named'], 'who has no name goes with its container');
      assert.ok(n >= 9, 'three volumes, snapshot, mount, three fillings and the record can fail');
      return;
    }
    assert.deepEqual([left, w.needs.table.all()], [[], []], failure);
    assert.deepEqual(w.needs.volumes.users('named'), [], failure);
  }
  assert.fail('it never succeeded');
});

test('start leaves a running container or a stopped one with the reason, whichever call fails', async () => {
  for (let n = 0; n < MOST_CALLS; n++) {
    const w = world(-1);
    const { id } = await create(w);
    const container = w.needs.table.find(id);
    w.calls = 0;
    w.failAt = n;
    const failure = await startContainer(w.needs, container).then(() => undefined, messageOf);
    if (failure === undefined) {
      assert.deepEqual([[...w.live].toSorted(), container.record.State.Pid, container.state.status, w.started], [['addresses', 'interfaces', 'log', 'mount', 'program', 'record', 'snapshot', 'task'], 42, 'running', ['create', 'connect', 'start']]);
      const { Networks, Ports, SandboxKey } = container.record.NetworkSettings;
      assert.deepEqual([Networks['bridge']?.IPAddress, Ports, SandboxKey], ['172.17.0.2', {}, '/key']);
      assert.ok(n >= 9, 'mount, addresses, three files, bundle, task, interfaces, record and start can fail');
      return;
    }
    assert.deepEqual([[...w.live].toSorted(), container.running, container.record.State.Error, w.started], [['record', 'snapshot'], false, failure, ['create']], failure);
    assert.equal(container.record.NetworkSettings.Networks['bridge']?.IPAddress, '', failure);
  }
  assert.fail('it never succeeded');
});

test('connect and disconnect leave everything or nothing, whichever call fails', async () => {
  const w = world(-1);
  const container = await running(w);
  const address = () => container.record.NetworkSettings.Networks['own']?.IPAddress;
  const walk = async (verb: () => Promise<void>, check: (failure: string | undefined) => void) => {
    for (let n = 0; n < MOST_CALLS; n++) {
      Object.assign(w, { calls: 0, failAt: n });
      const failure = await verb().then(() => undefined, messageOf);
      check(failure);
      if (failure === undefined) return n;
    }
    return assert.fail('it never succeeded');
  };
  const failed = await walk(() => connectContainer(w.needs, { network: 'own', container: 'one', endpoint: { Aliases: ['x'] } }), (failure = 'connected') => {
    assert.deepEqual([w.live.has('endpoint'), address()], failure === 'connected' ? [true, '10.0.0.2'] : [false, undefined], failure);
  });
  assert.ok(failed >= 2, 'the network and the record can fail');
  await assert.rejects(connectContainer(w.needs, { network: 'own', container: 'one', endpoint: {} }), /endpoint with name one already exists in network own/);
  await walk(() => disconnectContainer(w.needs, { network: 'own', container: 'one', force: false }), (failure = 'disconnected') => { assert.equal(w.live.has('endpoint'), failure === 'disconnect failed', failure); });
  assert.deepEqual([address(), w.started.slice(3)], [undefined, ['connect', 'disconnect', 'disconnect']]);
  await assert.rejects(disconnectContainer(w.needs, { network: 'own', container: 'one', force: false }), /is not connected to network own/);
});

test('after an exit nothing of the run is left, and after removal nothing at all', async () => {
  const w = world(-1);
  const { id } = await create(w);
  const container = w.needs.table.find('one');
  await startContainer(w.needs, container);
  const exit = container.ended();
  await handleExit(w.needs, container, { exitCode: 3, finishedAtNs: 1_000_000_000n, oomKilled: false });
  assert.deepEqual(await exit, { exitCode: 3, error: undefined });
  assert.deepEqual([[...w.live].toSorted(), container.state, container.record.State.FinishedAt], [['record', 'snapshot'], { status: 'exited', exitCode: 3 }, '1970-01-01T00:00:01Z']);
  await handleExit(w.needs, container, { exitCode: 9, finishedAtNs: 2n, oomKilled: false }); // told twice
  assert.equal(container.record.State.ExitCode, 3);
  const removed = container.removed();
  await removeContainer(w.needs, container, { force: false, volumes: false });
  assert.deepEqual([[...w.live], w.needs.table.get(id), w.started], [[], undefined, ['create', 'connect', 'start', 'die', 'disconnect', 'destroy']]);
  assert.equal(container.record.NetworkSettings.Networks['bridge']?.IPAddress, '');
  assert.deepEqual(await removed, { exitCode: 3, error: undefined });
});

test('an exit is on record before the runtime forgets it, and never forgotten when it cannot be recorded', async () => {
  for (const full of [false, true]) {
    const w = world(-1);
    const container = await running(w);
    w.order.length = 0;
    w.full = full;
    await handleExit(w.needs, container, { exitCode: 3, finishedAtNs: 1n, oomKilled: false });
    assert.deepEqual(w.order, full ? [] : ['recorded as ended', 'runtime forgets']);
    assert.deepEqual(container.state, { status: 'exited', exitCode: 3 });
  }
});

test('a stop waits for what has ended and is only being cleared away, and does not kill it', async () => {
  const w = world(-1);
  const container = await running(w);
  const clearing = Promise.withResolvers<void>(), cleared = Promise.withResolvers<void>(), waits = Promise.withResolvers<() => void>();
  const clock: Clock = { ...systemClock, after: (_ms, run) => { waits.resolve(run); return { [Symbol.dispose]: () => {} }; } };
  w.needs = { ...w.needs, clock, runtime: { ...w.needs.runtime, delete: () => { clearing.resolve(); return cleared.promise; } } };
  const stopping = stopContainer(w.needs, container, { timeoutSeconds: 1, stopSignal: undefined });
  const runOut = await waits.promise;
  const exiting = handleExit(w.needs, container, { exitCode: 0, finishedAtNs: 1n, oomKilled: false });
  await clearing.promise;
  runOut();
  await new Promise((resolve) => { setImmediate(resolve); }); // it would kill now
  cleared.resolve();
  await Promise.all([stopping, exiting]);
  assert.deepEqual(w.started.slice(3), ['kill', 'die', 'disconnect', 'stop']);
});

test('a wait that comes while an exit is being recorded is answered when nothing of the run is left', async () => {
  const w = world(-1);
  const container = await running(w);
  const clearing = Promise.withResolvers<void>(), cleared = Promise.withResolvers<void>();
  w.needs = { ...w.needs, runtime: { ...w.needs.runtime, delete: () => { clearing.resolve(); return cleared.promise; } } };
  const exiting = handleExit(w.needs, container, { exitCode: 3, finishedAtNs: 1n, oomKilled: false });
  await clearing.promise;
  assert.deepEqual(container.state, { status: 'exited', exitCode: 3 });
  const wait = () => waitFor(container, { condition: 'not-running', signal: new AbortController().signal }).exited;
  const answered = wait().then(({ statusCode }) => [statusCode, w.started.includes('die')]);
  cleared.resolve();
  assert.deepEqual(await answered, [3, true]);
  await exiting;
  assert.equal((await wait()).statusCode, 3);
});

test('a paused task that is gone when it is to be let go was killed all the same', async () => {
  const w = world(-1);
  const container = await running(w);
  container.record = { ...container.record, State: { ...container.record.State, Paused: true } };
  let alive = true;
  const signal = async (_id: string, number: number) => { const was = alive; alive &&= number !== 9; return was; };
  w.needs = { ...w.needs, runtime: { ...w.needs.runtime, signal, resume: () => Promise.reject(new Error('no such container')) } };
  const killing = killContainer(w.needs, container, 'KILL');
  await handleExit(w.needs, container, { exitCode: 137, finishedAtNs: 1n, oomKilled: false });
  await killing;
  assert.deepEqual(container.state, { status: 'exited', exitCode: 137 });
});

test('whoever waits for an end is told of it also when something of the run cannot be cleared away', async () => {
  const w = world(-1);
  const container = await running(w);
  w.needs = { ...w.needs, runtime: { ...w.needs.runtime, delete: () => Promise.reject(new Error('it stays')) } };
  const ended = container.ended();
  await assert.rejects(handleExit(w.needs, container, { exitCode: 3, finishedAtNs: 1n, oomKilled: false }), /it stays/);
  assert.deepEqual([await ended, container.running], [{ exitCode: 3, error: undefined }, false]);
});

test('a running container is not removed without force', async () => {
  const w = world(-1);
  const container = await running(w);
  await assert.rejects(removeContainer(w.needs, container, { force: false, volumes: false }), /cannot remove a running container/);
  assert.equal(container.running, true);
});
