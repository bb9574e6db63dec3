// Inside a guest where systemd is PID 1: containers stand in scopes that systemd makes. Its iptables is the older one.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { startEngine, type Engine } from './engine.ts';
import { askPublished, leftovers, loadedModules, publish } from './networks.ts';
import { program, tell } from './tell.ts';

const M = 1 << 20;
const IMAGE = readFileSync('/bench/image', 'utf8');
const PORTS = ['tcp', 'udp'] as const;
const LIMITS = ['memory.max', 'memory.swap.max', 'cpu.max', 'pids.max'];

interface Inspected { State: { Pid: number; OOMKilled: boolean; ExitCode: number; Status: string } }
const inspect = (engine: Engine, id: string) => engine.api<Inspected>('GET', `/containers/${id}/json`);
const cgroupOf = (pid: number) => /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '/nowhere';
const filesOf = (cgroup: string) => Object.fromEntries(LIMITS.map((name) => [name, readFileSync(`/sys/fs/cgroup${cgroup}/${name}`, 'utf8').trim()]));

await program(async () => {
  tell('own cgroup', cgroupOf(process.pid));
  const first = await startEngine(IMAGE);
  tell('info', await first.api('GET', '/info'));
  const id = await first.run(['sh', '-c', 'trap "exit 5" TERM; while :; do sleep 0.2; done'], { Memory: 64 * M, MemorySwap: 96 * M, NanoCpus: 5e8, PidsLimit: 40 });
  const cgroup = cgroupOf((await inspect(first, id)).State.Pid);
  tell('cgroup', { id, path: cgroup, files: filesOf(cgroup) });
  tell('update', await first.raw('POST', `/containers/${id}/update`, { Memory: 80 * M, MemorySwap: -1, PidsLimit: 50, NanoCpus: 1e9 }));
  tell('updated', filesOf(cgroup));
  tell('exec', await first.exec(id, ['sh', '-c', 'grep -qx 0::/ /proc/self/cgroup && exit 7']));
  tell('stats', JSON.parse((await first.raw('GET', `/containers/${id}/stats?stream=0&one-shot=1`)).text));

  const sliced = await first.run(['sleep', '1000'], { CgroupParent: 'guests-own.slice' });
  tell('slice', { id: sliced, path: cgroupOf((await inspect(first, sliced)).State.Pid) });
  tell('refused', await first.raw('POST', '/containers/create', { Image: IMAGE, Cmd: ['true'], HostConfig: { NetworkMode: 'none', CgroupParent: '/docker' } }));
  const struck = await first.run(['sh', '-c', 'x=a; while :; do x=$x$x; done'], { Memory: 16 * M, MemorySwap: 16 * M });
  const code = await first.wait(struck);
  tell('oom', { code, told: (await inspect(first, struck)).State.OOMKilled });

  const published = await publish(first, PORTS);
  tell('published', await askPublished(first, published, PORTS));
  await first.kill();
  const second = await startEngine(IMAGE);
  tell('published still', await askPublished(second, published, PORTS));
  tell('new engine', { status: (await inspect(second, id)).State.Status, exec: await second.exec(id, ['true']) });
  await second.api('POST', `/containers/${id}/stop?t=60`, { status: 204 });
  tell('stopped', (await inspect(second, id)).State.ExitCode);
  for (const each of [id, sliced, struck, published.id]) await second.api('DELETE', `/containers/${each}?force=1`, { status: 204 });
  tell('modules', loadedModules());
  tell('networks left', await leftovers());
  const scopes = (slice: string) => (existsSync(`/sys/fs/cgroup/${slice}`) ? readdirSync(`/sys/fs/cgroup/${slice}`).filter((name) => name.endsWith('.scope')) : []);
  tell('left', [...scopes('system.slice'), ...scopes('guests.slice/guests-own.slice')]);
});
