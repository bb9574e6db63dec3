// Inside a guest with cgroup v2 alone: containers with limits of every kind, and what the kernel's files say of them; and networks, where the kernel has all of them as modules.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEngine, type Engine } from './engine.ts';
import { askPublished, leftovers, loadedModules, publish, userNetworks } from './networks.ts';
import { nfsVolumes } from './nfs.ts';
import { program, tell } from './tell.ts';

const M = 1 << 20;
const FREEZE_MS = 20_000;
const PORTS = ['tcp', 'udp', 'sctp'] as const;
const IMAGE = readFileSync('/bench/image', 'utf8');
/** The work disk: a block device that is no part of the containers' own. */
const DISK = { path: '/dev/vdb', numbers: '254:16' };

const cgroupOf = (pid: number) => `/sys/fs/cgroup${/^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '/nowhere'}`;
const filesOf = (cgroup: string, names: readonly string[]) => Object.fromEntries(names.map((name) => [name, existsSync(`${cgroup}/${name}`) ? readFileSync(`${cgroup}/${name}`, 'utf8').trim() : null]));
const LIMITS = ['memory.max', 'memory.low', 'memory.swap.max', 'cpu.max', 'cpu.weight', 'cpuset.cpus', 'pids.max', 'io.weight', 'io.max'];

const fieldOf = (pid: number, name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const parentOf = (pid: number) => fieldOf(pid, 'PPid');
const residentOf = (pid: number) => fieldOf(pid, 'VmRSS');

interface Inspected { State: { Pid: number; OOMKilled: boolean; ExitCode: number; Status: string }; HostConfig: Record<string, unknown> }
const inspect = (engine: Engine, id: string) => engine.api<Inspected>('GET', `/containers/${id}/json`);

async function limits(engine: Engine): Promise<string> {
  const id = await engine.run(['sh', '-c', 'dd if=/dev/zero of=/made bs=64k count=16 2>/dev/null; trap "exit 5" TERM; while :; do sleep 0.2; done'], {
    Memory: 64 * M, MemorySwap: 96 * M, MemoryReservation: 32 * M, NanoCpus: 5e8, CpuShares: 512, CpusetCpus: '1', PidsLimit: 40, BlkioWeight: 300,
    BlkioDeviceReadBps: [{ Path: DISK.path, Rate: 5 * M }],
  });
  const { State: { Pid: pid } } = await inspect(engine, id);
  const cgroup = cgroupOf(pid);
  tell('cgroup', { id, path: cgroup });
  tell('limits', filesOf(cgroup, LIMITS));
  tell('monitor', { residentKb: residentOf(parentOf(pid)) });
  return id;
}

async function updates(engine: Engine, id: string): Promise<void> {
  const { State: { Pid: pid } } = await inspect(engine, id);
  const cgroup = cgroupOf(pid);
  tell('update', await engine.raw('POST', `/containers/${id}/update`, { Memory: 80 * M, MemorySwap: -1, PidsLimit: -1, NanoCpus: 1e9, CpusetCpus: '0-1' }));
  tell('updated', filesOf(cgroup, LIMITS));
  // Memory with swap cannot be less than memory alone: weights that were set before that is found out must not stay.
  tell('failed update', await engine.raw('POST', `/containers/${id}/update`, { BlkioWeight: 700, CpuShares: 100, MemorySwap: 10 * M }));
  tell('after failed update', { files: filesOf(cgroup, LIMITS), memory: (await inspect(engine, id)).HostConfig['Memory'] });
}

async function devices(engine: Engine): Promise<void> {
  const script = `dd if=/dev/given of=/dev/null bs=512 count=1 2>/dev/null; echo read $?; dd if=/dev/null of=/dev/given bs=512 count=0 2>/dev/null; echo write $?; mknod /dev/other b ${DISK.numbers.replace(':', ' ')}; dd if=/dev/other of=/dev/null bs=512 count=1 2>/dev/null; echo other $?`;
  const given = await engine.run(['sh', '-c', script], { Devices: [{ PathOnHost: '/dev/vda', PathInContainer: '/dev/given', CgroupPermissions: 'r' }] });
  await engine.wait(given);
  tell('devices', await engine.logs(given));
  const ruled = await engine.run(['sh', '-c', script.slice(script.indexOf('mknod'))], { DeviceCgroupRules: [`b ${DISK.numbers} rwm`] });
  await engine.wait(ruled);
  tell('device rule', await engine.logs(ruled));
  await remove(engine, given, ruled);
}

const GROW = 'x=a; while :; do x=$x$x; done';

async function outOfMemory(engine: Engine): Promise<void> {
  const since = Math.floor(Date.now() / 1000);
  const host = { Memory: 16 * M, MemorySwap: 16 * M };
  const [own, child] = [await engine.run(['sh', '-c', GROW], host), await engine.run(['sh', '-c', `sh -c '${GROW}'; echo child $?; exit 3`], host)];
  const codes = [await engine.wait(own), await engine.wait(child)];
  const states = [await inspect(engine, own), await inspect(engine, child)].map(({ State }) => State.OOMKilled);
  const filters = encodeURIComponent(JSON.stringify({ event: ['oom', 'die'], container: [own, child] }));
  const { text } = await engine.raw('GET', `/events?since=${since}&until=${Math.floor(Date.now() / 1000) + 1}&filters=${filters}`);
  const events = text.trim().split('\n').map((line) => JSON.parse(line) as { Action: string; Actor: { ID: string } });
  const actions = (id: string) => events.filter(({ Actor }) => Actor.ID === id).map(({ Action }) => Action);
  tell('oom', { codes, states, own: actions(own), child: actions(child), said: await engine.logs(child) });
  await remove(engine, own, child);
}

async function pauses(engine: Engine, id: string): Promise<void> {
  const cgroup = cgroupOf((await inspect(engine, id)).State.Pid);
  /** The kernel freezes what runs a moment after it was asked to. */
  const frozen = async (expected: boolean) => {
    const is = () => readFileSync(`${cgroup}/cgroup.events`, 'utf8').includes('frozen 1');
    for (const end = Date.now() + FREEZE_MS; is() !== expected && Date.now() < end;) await sleep(20);
    return is();
  };
  await engine.api('POST', `/containers/${id}/pause`, { status: 204 });
  const during = { frozen: await frozen(true), status: (await inspect(engine, id)).State.Status };
  await engine.api('POST', `/containers/${id}/unpause`, { status: 204 });
  tell('pause', { during, after: { frozen: await frozen(false), status: (await inspect(engine, id)).State.Status } });
}

/** Its own cgroup is all that it sees, and an exec is in it too. */
async function execs(engine: Engine, id: string): Promise<void> {
  tell('exec', {
    code: await engine.exec(id, ['sh', '-c', 'exit 7']),
    namespace: await engine.exec(id, ['sh', '-c', 'grep -qx 0::/ /proc/self/cgroup && test "$(cat /sys/fs/cgroup/memory.max)" = 83886080']),
    readOnly: await engine.exec(id, ['sh', '-c', 'echo 1 > /sys/fs/cgroup/pids.max 2>/dev/null']),
    top: (await engine.api<{ Processes: string[][] }>('GET', `/containers/${id}/top?ps_args=`).catch((error: unknown) => String(error))),
  });
}

async function remove(engine: Engine, ...ids: string[]): Promise<void> {
  for (const id of ids) await engine.api('DELETE', `/containers/${id}?force=1`, { status: 204 });
}

await program(async () => {
  const first = await startEngine(IMAGE);
  tell('info', await first.api('GET', '/info'));
  const id = await limits(first);
  tell('stats', (await first.raw('GET', `/containers/${id}/stats?stream=0`)).text);
  await updates(first, id);
  await execs(first, id);
  await pauses(first, id);
  await devices(first);
  await outOfMemory(first);
  await nfsVolumes(first);
  const published = await publish(first, PORTS);
  tell('published', await askPublished(first, published, PORTS));
  await userNetworks(first);

  const before = (await inspect(first, id)).State.Pid;
  await first.kill();
  const second = await startEngine(IMAGE);
  tell('published still', await askPublished(second, published, PORTS));
  const { State } = await inspect(second, id);
  const oneShot = JSON.parse((await second.raw('GET', `/containers/${id}/stats?stream=0&one-shot=1`)).text) as { pids_stats: { current: number } };
  tell('new engine', { same: State.Pid === before, status: State.Status, exec: await second.exec(id, ['true']), processes: oneShot.pids_stats.current });
  await second.api('POST', `/containers/${id}/stop?t=60`, { status: 204 });
  tell('stopped', (await inspect(second, id)).State.ExitCode);
  await remove(second, id, published.id);
  tell('modules', loadedModules());
  tell('networks left', await leftovers());
  tell('left', existsSync('/sys/fs/cgroup/docker') ? readdirSync('/sys/fs/cgroup/docker', { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name) : []);
});
