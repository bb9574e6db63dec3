// The long haul: 50 containers at once, 500 one after another, 24 deaths of the daemon among them; every state right, nothing left anywhere.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBench, type Bench, type State } from '../kit/engine.ts';
import { leaksOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';

const AT_ONCE = 50;
const RESTARTS = 24;
/** Between two restarts; with WARM_UP and STRETCH they make 500. */
const PER_ROUND = 10;
const WARM_UP = 40;
const STRETCH = 220;
/** Ends with the code of its first word when it gets SIGTERM. */
const ENDS_WITH = (code: number) => ['sh', '-c', `trap 'exit ${code}' TERM; echo up; sleep 100000 & wait`];
/** Has to be killed. Who is given no time to end may still be quick enough to do so. */
const STUBBORN = ['sh', '-c', 'trap "" TERM; exec sleep 100000'];
const STOPPED = 2;

test('50 containers at once, 500 in a row, 24 restarts of the daemon: all states right, nothing left', async () => {
  await using bench = await openBench();
  const before = inventory(bench);
  const residents = await manyAtOnce(bench);
  let run = 0;
  const inARow = async (count: number) => {
    for (let n = 0; n < count; n++) await oneAfterAnother(bench, run++);
  };
  for (let round = 0; round < RESTARTS; round++) {
    await inARow(PER_ROUND);
    await dieAndReturn(bench, round, residents);
  }
  await bench.remove(...residents.map(({ id }) => id));
  await inARow(WARM_UP);
  const { memory: early, ...open } = await settled(bench);
  await inARow(STRETCH);
  assert.equal(run, 500);
  // A tenth more is flat; less than a megabyte is the noise of a collector.
  const limitKb = Math.max(early * 1.1, early + 1024);
  await until('memory, files and threads as before', () => {
    const { memory, files, threads } = figures(bench);
    return memory <= limitKb && files <= open.files && threads <= open.threads;
  }, 30_000).catch((cause: unknown) => { throw new Error(`${JSON.stringify({ early, ...open })} became ${JSON.stringify(figures(bench))}`, { cause }); });
  await until('nothing to be left', () => JSON.stringify(inventory(bench)) === JSON.stringify(before), 30_000).catch(() => {});
  assert.deepEqual(inventory(bench), before);
});

interface Resident { id: string; expected: Partial<State> }

/** Starts 50 at the same moment, looks at each, ends most of them at the same moment, and gives those that stay with what must stay true of them. */
async function manyAtOnce(bench: Bench): Promise<Resident[]> {
  const ids = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => bench.create(n === STOPPED ? STUBBORN : ENDS_WITH(n), { host: { RestartPolicy: { Name: n < 4 ? 'unless-stopped' : 'no' } } })));
  await Promise.all(ids.map((id) => bench.start(id)));
  const states = await Promise.all(ids.map(async (id) => (await bench.inspect(id)).State));
  for (const [at, { Status, Pid }] of states.entries()) assert.ok(Status === 'running' && existsSync(`/proc/${Pid}`), `container ${at}: ${Status}, pid ${Pid}`);
  assert.equal(new Set(states.map(({ Pid }) => Pid)).size, AT_ONCE);
  const listed = (await bench.api('GET', '/containers/json', { status: 200 })).json<Array<{ Id: string }>>().map(({ Id }) => Id);
  assert.deepEqual(listed.toSorted(), ids.toSorted());

  const [kept, leaving] = [ids.slice(0, 6), ids.slice(6)];
  await Promise.all(leaving.map((id) => until(`${id} to be up`, async () => (await bench.logs(id)).includes('up'))));
  await Promise.all(leaving.map((id) => bench.api('POST', `/containers/${id}/stop?t=30`, { status: 204 })));
  for (const [at, id] of leaving.entries()) assert.equal((await bench.inspect(id)).State.ExitCode, at + 6);
  await bench.remove(...leaving);

  const [runs, alsoRuns, stopped, paused, killed, plain] = kept as [string, string, string, string, string, string];
  await bench.api('POST', `/containers/${stopped}/stop?t=0`, { status: 204 });
  await bench.api('POST', `/containers/${paused}/pause`, { status: 204 });
  await bench.api('POST', `/containers/${killed}/kill`, { status: 204 });
  const created = await bench.create(['true']);
  const stays = async (id: string, keys: ReadonlyArray<keyof State>): Promise<Resident> => {
    const { State: state } = await bench.inspect(id);
    return { id, expected: Object.fromEntries(keys.map((key) => [key, state[key]])) };
  };
  const all: ReadonlyArray<keyof State> = ['Status', 'Pid', 'ExitCode', 'StartedAt', 'FinishedAt', 'OOMKilled', 'Error'];
  const residents = await Promise.all([runs, alsoRuns, stopped, paused, killed, plain, created].map((id) => stays(id, all)));
  assert.deepEqual(residents.map(({ expected }) => expected.Status), ['running', 'running', 'exited', 'paused', 'exited', 'running', 'created']);
  assert.deepEqual(residents.map(({ expected }) => expected.ExitCode), [0, 0, 137, 0, 137, 0, 0]);
  return residents;
}

/** Every third one with a client on its streams from before its start. */
async function oneAfterAnother(bench: Bench, n: number): Promise<void> {
  const code = n % 120;
  const id = await bench.create(['sh', '-c', `echo run ${n}; exit ${code}`], { body: { OpenStdin: n % 3 === 0 } });
  const client = n % 3 === 0 ? await bench.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1`) : undefined;
  await bench.start(id);
  assert.equal(await bench.end(id), code, `run ${n}`);
  await client?.ended;
  if (client) assert.equal(client.stdout(), `run ${n}\n`);
  assert.equal(await bench.logs(id), `run ${n}\n`);
  await bench.remove(id);
}

/** One container ends while no daemon is there, another while it comes back; the residents must not notice. */
async function dieAndReturn(bench: Bench, round: number, residents: readonly Resident[]): Promise<void> {
  const ends = await bench.run(ENDS_WITH(round + 1));
  await until('it to be up', async () => (await bench.logs(ends)).includes('up'));
  const { Pid: pid } = (await bench.inspect(ends)).State;
  await bench.restart(round % 2 === 0 ? 'kill' : 'stop', async () => {
    process.kill(pid, 'SIGTERM');
    await until('it to end', () => !existsSync(`/proc/${pid}`));
  });
  const { State: ended } = await bench.inspect(ends);
  assert.deepEqual([ended.Status, ended.ExitCode, ended.Pid], ['exited', round + 1, 0], `round ${round}`);
  for (const { id, expected } of residents) {
    const { State: state, RestartCount } = await bench.inspect(id);
    assert.deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, state[key as keyof State]])), expected, `resident after restart ${round}`);
    assert.equal(RestartCount, 0);
  }
  await bench.remove(ends);
}

/** What containers occupy, by name where names stay the same and by number where they do not. */
function inventory({ daemon }: Bench): Record<string, unknown> {
  const names = (...path: string[]) => (existsSync(join(...path)) ? readdirSync(join(...path)).toSorted() : []);
  const groups = readdirSync('/sys/fs/cgroup').flatMap((controller) => names('/sys/fs/cgroup', controller, 'docker').filter((name) => /^[0-9a-f]{64}$/.test(name) && ours(controller, name)));
  return {
    processesAndMounts: leaksOf(daemon.root).filter((line) => !line.startsWith(`process ${daemon.pid}:`)).map((line) => line.replace(/process \d+/, 'process')),
    groups,
    tasks: ['crun', 'exits', 'tasks', 'execs'].map((place) => names(daemon.execRoot, place)),
    containers: names(daemon.dataRoot, 'containers'),
    snapshots: names(daemon.dataRoot, 'overlay2'),
    links: names(daemon.dataRoot, 'overlay2', 'l').length,
    layers: names(daemon.dataRoot, 'image', 'overlay2', 'layerdb', 'mounts'),
  };
}

/** Groups of containers of other tests on this machine are no business of this one: an empty one is counted, theirs have processes. */
function ours(controller: string, name: string): boolean {
  try { return readFileSync(join('/sys/fs/cgroup', controller, 'docker', name, 'cgroup.procs'), 'utf8') === ''; } catch { return false; }
}

function figures({ daemon }: Bench): { memory: number; files: number; threads: number } {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return { memory: number('RssAnon'), files: readdirSync(`/proc/${daemon.pid}/fd`).length, threads: number('Threads') };
}

/** After the trim of an idle daemon: the memory has fallen and stays where it is. */
async function settled(bench: Bench): Promise<ReturnType<typeof figures>> {
  const { memory: busy } = figures(bench);
  await until('the trim', () => figures(bench).memory < busy * 0.9, 30_000);
  return figures(bench);
}
