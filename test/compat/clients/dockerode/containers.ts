// A container's life through dockerode: made as supervisors and test libraries make one, looked at whole, changed, ended.
import { until } from '../../../kit/poll.ts';
import { shape, type NodeScene, type NodeStory, type Row } from './scene.ts';

const TRAP = ['sh', '-c', 'trap "exit 5" TERM; trap "exit 6" HUP; echo up; while :; do sleep 0.05; done'];

export const containerStories: readonly NodeStory[] = [
  { name: 'create and inspect', tell: async (scene) => {
    for (const [label, options] of BODIES) {
      const made = await scene.say(`${label}: create`, () => scene.docker.createContainer({ name: scene.name('a'), Image: scene.image, ...options(scene) }), ({ id }) => id.length);
      if (!made) continue;
      await scene.say(`${label}: inspect`, () => made.inspect());
      await scene.say(`${label}: inspect with sizes`, () => made.inspect({ size: true }), ({ SizeRw, SizeRootFs }) => [typeof SizeRw, Number(SizeRootFs) > 1_000_000]);
      await made.remove({ v: true });
    }
  } },
  { name: 'refusals', tell: async (scene) => {
    for (const [label, body] of WRONG) {
      const made = await scene.say(label, () => scene.docker.createContainer({ name: scene.name('a'), Image: scene.image, Cmd: ['true'], HostConfig: { NetworkMode: 'none' }, ...body }), () => 'made');
      if (made) await made.remove({ force: true, v: true });
    }
  } },
  { name: 'life', tell: tellLife },
  { name: 'as a supervisor', tell: tellSupervisor },
  { name: 'lists', tell: tellLists },
  { name: 'update and stats', tell: async (scene) => {
    const box = await scene.run('a', undefined, { HostConfig: { Memory: 64 << 20, MemorySwap: 64 << 20 } });
    await scene.say('update', () => box.update({ Memory: 96 << 20, MemorySwap: 128 << 20, CpuShares: 300, RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } }));
    await scene.say('what it has now', () => box.inspect(), ({ HostConfig }) => HostConfig);
    await scene.say('update to what cannot be', () => box.update({ Memory: 1 }));
    await scene.say('update with a wrong type', () => box.update({ Memory: 'much' }));
    await scene.say('stats', () => box.stats({ stream: false }), ({ blkio_stats: _machine, ...told }) => shape(told));
    await scene.say('stats at once', () => box.stats({ stream: false, 'one-shot': true }), ({ blkio_stats: _machine, ...told }) => [shape(told), (told['precpu_stats'] as Row)['system_cpu_usage']]);
    await scene.say('top', () => box.top({ ps_args: '-o pid,args' }), ({ Titles, Processes }) => [Titles, (Processes as string[][]).map((row) => row.slice(1))]);
    await box.remove({ force: true });
  } },
];

type Body = (scene: NodeScene) => Row;
/** Each the way some known program asks. */
const BODIES: ReadonlyArray<readonly [label: string, body: Body]> = [
  ['nothing but an image', () => ({ HostConfig: { NetworkMode: 'none' } })],
  ['no host configuration', () => ({ Cmd: ['true'], NetworkDisabled: true })],
  ['fields that are null', () => ({ Cmd: null, Entrypoint: null, Env: null, Labels: null, ExposedPorts: null, Volumes: null, HostConfig: { NetworkMode: 'none', Binds: null, CapAdd: null, RestartPolicy: null, LogConfig: null, PortBindings: null, Mounts: null } })],
  ['words as text', () => ({ Cmd: 'echo hi', Entrypoint: 'sh -c', HostConfig: { NetworkMode: 'none' } })],
  ['fields that are none', () => ({ Nosuch: 1, nosuch: { deep: true }, HostConfig: { NetworkMode: 'none', Nosuch: [] } })],
  ['fields in lower case', () => ({ cmd: ['true'], env: ['A=1'], hostconfig: { networkmode: 'none', memory: 67_108_864 } })],
  ['the body of a supervisor', supervisorBody],
  ['the body of a test library', () => ({
    Cmd: ['sleep', '1000'], Env: ['A=1'], Labels: { 'org.testcontainers': 'true', 'org.testcontainers.session-id': 'x' }, ExposedPorts: { '8080/tcp': {} }, Tty: false, AttachStdin: false, AttachStdout: true, AttachStderr: true, OpenStdin: false, StdinOnce: false,
    HostConfig: { NetworkMode: 'none', AutoRemove: false, Privileged: false, Binds: [], ExtraHosts: [], Tmpfs: { '/scratch': 'rw,noexec,nosuid,size=65536k' }, ShmSize: 16 << 20, CapAdd: [], Ulimits: [], GroupAdd: ['1000'], Init: true },
  })],
  ['resources', () => ({ HostConfig: { NetworkMode: 'none', Memory: 64 << 20, MemorySwap: -1, MemoryReservation: 32 << 20, CpuShares: 100, CpuPeriod: 100_000, CpuQuota: 50_000, CpusetCpus: '0', PidsLimit: 64, OomKillDisable: false, OomScoreAdj: 100, Ulimits: [{ Name: 'nofile', Soft: 512, Hard: 1024 }], ShmSize: 1 << 20, Sysctls: { 'net.ipv4.ip_forward': '1' } } })],
  ['zeroes', () => ({ StopTimeout: 0, HostConfig: { NetworkMode: 'none', Memory: 0, CpuShares: 0, PidsLimit: 0, MemorySwappiness: -1, OomScoreAdj: 0, ShmSize: 0, NanoCpus: 0 } })],
  ['no name for its network', () => ({ HostConfig: {} })],
  ['endpoints', () => ({ HostConfig: { NetworkMode: 'none' }, NetworkingConfig: { EndpointsConfig: { none: { Links: null, DriverOpts: {} } } } })],
  ['a health check', () => ({ Healthcheck: { Test: ['CMD', 'true'], Interval: 1_000_000_000, Timeout: 0, Retries: 0 }, HostConfig: { NetworkMode: 'none' } })],
];

/** The fields balena-supervisor sends for a service, most of them at their defaults. */
function supervisorBody(scene: NodeScene): Row {
  return {
    name: scene.name('a'), Tty: true, Cmd: ['sleep', '1000'], Volumes: { '/data': {} }, Env: ['BALENA=1', 'RESIN_NAME=x'], ExposedPorts: { '80/tcp': {} }, Image: scene.image, Labels: { 'io.balena.app-id': '1', 'io.balena.supervised': 'true' }, Domainname: '', User: '', WorkingDir: '', StopSignal: 'SIGTERM', StopTimeout: 10,
    Hostname: '', MacAddress: undefined, Entrypoint: '',
    HostConfig: {
      CapAdd: ['NET_ADMIN'], CapDrop: [], Binds: ['/tmp:/tmp/balena'], CgroupParent: '', Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/mine', CgroupPermissions: 'rwm' }], DeviceRequests: [], Dns: [], DnsOptions: [], DnsSearch: [], PortBindings: {}, ExtraHosts: [], GroupAdd: [], NetworkMode: 'none', PidMode: '', PidsLimit: 0,
      SecurityOpt: [], Sysctls: {}, Ulimits: [], RestartPolicy: { Name: 'always' }, CpuShares: 0, CpuQuota: 0, CpusetCpus: '', Memory: 0, MemoryReservation: 0, OomKillDisable: false, OomScoreAdj: 0, Privileged: false, ReadonlyRootfs: false, ShmSize: 67_108_864, Tmpfs: {}, UsernsMode: '', NanoCpus: 0, IpcMode: 'shareable', Init: false, Runtime: '',
    },
    Healthcheck: { Test: ['NONE'] }, NetworkingConfig: { EndpointsConfig: {} },
  };
}

const WRONG: ReadonlyArray<readonly [label: string, body: Row]> = [
  ['no such image', { Image: 'nosuch:image' }], ['no image', { Image: '' }], ['a name that is none', { name: 'a b' }], ['a name that is too short', { name: 'a' }], ['a number as a word', { Cmd: [1] }], ['a word as a list', { Env: 'A=1' }], ['a word as a number', { StopTimeout: '10' }], ['a word as a truth', { Tty: 'true' }], ['a list as an object', { Labels: ['a'] }],
  ['a broken number', { HostConfig: { Memory: 1.5 } }], ['a number that is too large', { HostConfig: { Memory: 1e30 } }], ['a negative memory', { HostConfig: { Memory: -5 } }], ['a port that is none', { ExposedPorts: { 'x/tcp': {} } }], ['a protocol that is none', { ExposedPorts: { '80/nosuch': {} } }], ['a relative directory', { WorkingDir: 'relative' }],
  ['a variable without a name', { Env: ['=x'] }], ['a variable without a value', { Env: ['JUST'] }], ['a signal that is none', { StopSignal: 'NOSUCH' }], ['a volume that is relative', { Volumes: { relative: {} } }], ['a volume at the root', { Volumes: { '/': {} } }], ['a check that is none', { Healthcheck: { Test: ['NOSUCH'] } }],
  ['a restart that is none', { HostConfig: { RestartPolicy: { Name: 'nosuch' } } }], ['a restart with a wrong count', { HostConfig: { RestartPolicy: { Name: 'always', MaximumRetryCount: 1 } } }], ['a bind that is none', { HostConfig: { Binds: ['x'] } }], ['a capability that is none', { HostConfig: { CapAdd: ['NOSUCH'] } }], ['a runtime that is none', { HostConfig: { Runtime: 'nosuch' } }],
  ['two networks', { NetworkingConfig: { EndpointsConfig: { none: {}, host: {} } } }], ['a link', { HostConfig: { NetworkMode: 'none', Links: ['nosuch:x'] } }],
];

async function tellLife(scene: NodeScene): Promise<void> {
  const box = await scene.create('a', TRAP);
  const state = () => box.inspect().then(({ State, RestartCount }) => ({ ...State as Row, RestartCount }));
  const ask = async (...asked: ReadonlyArray<readonly [string, () => Promise<unknown>]>) => { for (const [label, one] of asked) await scene.say(label, one); };
  await ask(['created', state], ['stop what never ran', () => box.stop()], ['kill what never ran', () => box.kill()], ['exec in what never ran', () => box.exec({ Cmd: ['true'] })], ['start', () => box.start()]);
  await scene.logged(box, 'up');
  await ask(['running', state], ['start twice', () => box.start()], ['pause', () => box.pause()], ['paused', state], ['pause twice', () => box.pause()], ['exec in what is paused', () => box.exec({ Cmd: ['true'] })], ['unpause', () => box.unpause()], ['unpause twice', () => box.unpause()], ['remove what runs', () => box.remove()], ['restart', () => box.restart({ t: 60 })]);
  await scene.logged(box, 'up', 2);
  await ask(['kill with what is none', () => box.kill({ signal: 'NOSUCH' })], ['rename to nothing', () => box.rename({ name: '' })], ['rename', () => box.rename({ name: scene.name('b') })], ['stop', () => box.stop({ t: 60 })], ['stopped', state], ['stop twice', () => box.stop()], ['kill what has stopped', () => box.kill()], ['wait', () => box.wait()], ['start again', () => box.start()]);
  await scene.logged(box, 'up', 3);
  await ask(['kill with a signal', () => box.kill({ signal: 'SIGHUP' })], ['wait for it', () => box.wait()]);
  const ending = box.wait({ condition: 'removed' });
  await new Promise((resolve) => { setTimeout(resolve, 500); }); // the library says nothing when it waits
  await ask(['remove', () => box.remove()], ['when it was removed', () => ending], ['remove twice', () => box.remove()], ['inspect what is gone', () => box.inspect()], ['start what is gone', () => box.start()], ['wait for what is gone', () => box.wait()]);
  await ask(['no such program', async () => { const bad = await scene.create('c', ['nosuch']); await bad.start(); }], ['its state', () => scene.docker.getContainer(scene.name('c')).inspect().then(({ State }) => State)]);
  const self = await scene.run('d', ['sh', '-c', 'exit 3'], { HostConfig: { AutoRemove: true } });
  await scene.gone(self);
  const twice = await scene.run('e', ['sh', '-c', 'exit 3'], { HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } } });
  await until('the last try', async () => { const { State, RestartCount } = await twice.inspect(); return RestartCount === 2 && (State as Row)['Status'] === 'exited'; });
  await scene.say('tried twice', () => twice.inspect().then(({ State, RestartCount }) => [State, RestartCount]));
}

/** What balena-supervisor does to a service, and what it takes for an answer. */
async function tellSupervisor(scene: NodeScene): Promise<void> {
  const { docker } = scene;
  const events = await docker.getEvents({ filters: { type: ['container'], label: [`own=${scene.name('x')}`] } });
  const heard: Row[] = [];
  events.on('data', (chunk: Buffer) => { for (const line of chunk.toString('utf8').split('\n')) if (line !== '') heard.push(JSON.parse(line) as Row); }).on('error', () => {});
  const body = supervisorBody(scene);
  const box = await docker.createContainer({ ...body, name: scene.name('service'), Labels: { ...body['Labels'] as object, own: scene.name('x') } });
  await scene.say('start', () => box.start());
  await scene.say('start again: 304', () => box.start());
  await scene.say('by label', () => docker.listContainers({ all: true, filters: { label: ['io.balena.supervised', `own=${scene.name('x')}`] } }), (rows) => rows.map(({ Status: _moment, ...row }) => row));
  await scene.say('the whole of it', () => box.inspect());
  await scene.say('stop', () => box.stop({ t: 0 }));
  await scene.say('stop again: 304', () => box.stop({ t: 0 }));
  await scene.say('rename', () => box.rename({ name: scene.name('old') }));
  await scene.say('remove', () => box.remove({ v: true }));
  await scene.say('remove again: 404', () => box.remove({ v: true, force: true }));
  await until('the last event', () => heard.some((event) => event['status'] === 'destroy'));
  events.destroy();
  scene.note('what it heard', heard.map((event) => [event['status'], event['id'] === box.id, event['from'], (event['Actor'] as Row)['Attributes']]));
}

async function tellLists(scene: NodeScene): Promise<void> {
  const { docker } = scene;
  const run = await scene.run('run', undefined, { Labels: { role: 'one' } });
  const done = await scene.run('done', ['sh', '-c', 'exit 3'], { Labels: { role: 'two' } });
  await done.wait();
  await scene.create('new', ['echo', 'a word'], { Labels: { role: 'three' } });
  const mine = { name: [scene.stage.prefix] };
  const listed = (filters: object, options: object = {}) => () => docker.listContainers({ all: true, ...options, filters: { ...mine, ...filters } });
  await scene.say('whole', listed({}), (rows) => rows.map((row) => ({ ...row, Status: String(row['Status']).split(' ')[0] })));
  await scene.say('whole with sizes', listed({ status: ['created'] }, { size: true }), (rows) => rows.map(({ SizeRw, SizeRootFs }) => [SizeRw, Number(SizeRootFs) > 1_000_000]));
  await scene.say('the last two', () => docker.listContainers({ limit: 2, filters: mine }), namesOf);
  for (const [label, filters] of [
    ['status', { status: ['running'] }], ['label', { label: ['role=two'] }], ['exit code', { exited: ['3'] }], ['before', { before: [run.id] }], ['since', { since: [run.id] }], ['image', { ancestor: [scene.image] }], ['ID', { id: [done.id.slice(0, 12)] }], ['health', { health: ['none'] }], ['network', { network: ['none'] }], ['volume', { volume: ['/nosuch'] }],
    ['what is none', { nosuch: ['x'] }], ['numbers', { exited: [3] }],
  ] as const) await scene.say(`by ${label}`, listed(filters), namesOf);
  await scene.say('by the older shape', () => docker.listContainers({ filters: { name: { [scene.stage.prefix]: true }, label: { 'role=one': true } } }), namesOf);
  await scene.say('prune', () => docker.pruneContainers({ filters: { label: ['role=two'] } }), ({ ContainersDeleted, SpaceReclaimed }) => [(ContainersDeleted as string[] | null)?.length, SpaceReclaimed]);
  await run.remove({ force: true });
}

const namesOf = (rows: readonly Row[]) => rows.map(({ Names }) => Names);
