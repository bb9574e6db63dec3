// Both engines, side by side, with the same images in them: what the stories of the client libraries are told to.
import assert from 'node:assert/strict';
import { createServer, connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { startDaemon, type Daemon } from '../../kit/daemon.ts';
import { startDockerd, type Dockerd } from '../../kit/dockerd.ts';
import { ask } from '../../kit/http.ts';
import { busyboxImage, treeTar, type BuiltImage } from '../../kit/image.ts';
import { until } from '../../kit/poll.ts';
import { mustPull } from '../../kit/pull.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../../kit/registry.ts';
import { openTempRoot } from '../../kit/temp.ts';
import type { Normals } from '../differences.ts';
import { normalSaid, type Said } from './answers.ts';

export type Engine = Daemon | Dockerd;

export interface World extends AsyncDisposable {
  readonly root: string;
  readonly registry: DebianRegistry;
  readonly ours: Daemon;
  readonly theirs: Dockerd;
  /** Names for the stories, each a reference both engines have (or, for PULL…, can pull). */
  readonly images: Readonly<Record<string, string>>;
  /** A TCP door to an engine, for clients that speak websockets only there: "127.0.0.1:PORT". */
  door(engine: Engine): string;
  normal(said: readonly Said[], engine: Engine, where: string): Said[];
}

export async function openWorld(): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const root = undo.use(openTempRoot());
  const registry = undo.use(await startRegistry({ root: join(root.path, 'registry') }));
  const starting = startDockerd({ root: join(root.path, 'theirs') });
  undo.defer(async () => { await starting.then((dockerd) => dockerd[Symbol.asyncDispose](), () => {}); });
  const ours = undo.use(await startDaemon({ root: join(root.path, 'ours') }));
  const theirs = await starting;
  const knownIds = new Set<string>();
  const images = await pushImages(registry, knownIds);
  const doors = new Map<Engine, string>();
  for (const engine of [ours, theirs]) {
    for (const [name, image] of Object.entries(images)) if (!name.startsWith('PULL')) await mustPull(engine.socket, image);
    const door = undo.use(await openDoor(engine.socket));
    doors.set(engine, door.address);
  }
  const held = undo.move();
  return {
    root: root.path, registry, ours, theirs, images,
    door: (engine) => doors.get(engine) ?? '',
    normal: (said, engine, where) => {
      const names = [[engine.dataRoot, '<data root>'], [engine.root, '<root>'], [engine.socket, '<socket>'], [registry.host, 'registry.example']] as const;
      const normals: Normals = { names, knownIds };
      return said.flatMap((line) => normalSaid(line, normals, where) ?? []);
    },
    [Symbol.asyncDispose]: async () => {
      const left = () => Promise.all([ours, theirs].map(leftAt));
      try {
        await until('what removes itself to be gone', async () => { const [here, there] = await left(); return isDeepStrictEqual(here, there); }).catch(() => { /* told below */ });
        const [here, there] = await left();
        assert.deepEqual(here, there, 'what the stories leave here and at dockerd');
      }
      finally { await held.disposeAsync(); }
    },
  };
}

/** Removes what a story left, whatever became of it: containers, volumes and tags that bear its prefix. */
export async function sweepStory(engine: Engine, prefix: string): Promise<void> {
  const list = async <T>(path: string) => (await ask(engine.socket, { path })).json<T>();
  // What stands behind it keeps another story's, that begins with the same word, out of this.
  const isMine = (name: string) => name.includes(`${prefix}-`) || name.includes(`${prefix}_`);
  // dockerd on a busy machine may refuse, since a removal is already in progress; what stays is told of when the engine is closed.
  await until('its containers to be removed', async () => {
    const left = (await list<Array<{ Id: string; Names: string[] }>>('/containers/json?all=1')).filter(({ Names }) => Names.some(isMine));
    for (const { Id } of left) await ask(engine.socket, { method: 'DELETE', path: `/containers/${Id}?force=1&v=1` });
    return left.length === 0;
  }).catch(() => {});
  const volumes = (await list<{ Volumes: Array<{ Name: string }> | null }>('/volumes')).Volumes ?? [];
  for (const { Name } of volumes.filter((volume) => isMine(volume.Name))) await ask(engine.socket, { method: 'DELETE', path: `/volumes/${Name}?force=1` });
  for (const { RepoTags } of await list<Array<{ RepoTags: string[] | null }>>('/images/json')) {
    for (const tag of (RepoTags ?? []).filter(isMine)) await ask(engine.socket, { method: 'DELETE', path: `/images/${tag}?force=1` });
  }
}

/** Containers, and volumes: those without a name are counted, since they stay where a container was removed without them. */
async function leftAt({ socket }: Engine): Promise<object> {
  const containers = (await ask(socket, { path: '/containers/json?all=1' })).json<Array<{ Names: string[] }>>().flatMap(({ Names }) => Names);
  const volumes = ((await ask(socket, { path: '/volumes' })).json<{ Volumes: Array<{ Name: string }> | null }>().Volumes ?? []).map(({ Name }) => Name);
  const isNameless = (name: string) => /^[0-9a-f]{64}$/.test(name);
  return { containers, named: volumes.filter((name) => !isNameless(name)), nameless: volumes.filter(isNameless).length };
}

async function pushImages({ host }: DebianRegistry, knownIds: Set<string>): Promise<Record<string, string>> {
  const push = (image: BuiltImage, repository: string, tag = '1') => {
    for (const blob of [image.manifest, image.config, ...image.layers]) knownIds.add(blob.digest.slice('sha256:'.length));
    for (const id of image.diffIds) knownIds.add(id.slice('sha256:'.length));
    return pushImage(host, image, { repository, tag });
  };
  const own = (name: string) => busyboxImage({ extra: [treeTar({ [`only-${name}`]: name }), treeTar({ [`also-${name}`]: name })], config: { Labels: { own: name } } });
  const full = busyboxImage({ config: {
    Entrypoint: ['echo', 'entry'], Cmd: ['and', 'words'], Env: ['PATH=/usr/bin:/bin', 'GREETING=hello'], WorkingDir: '/tmp/work', User: '1000:1000', Labels: { from: 'image', both: 'image' },
    StopSignal: 'SIGHUP', ExposedPorts: { '80/tcp': {}, '53/udp': {} },
  } });
  const volume = busyboxImage({
    extra: [treeTar({ 'data/': { mode: 0o750, uid: 1000, gid: 1000 }, 'data/file': { content: 'from the image', mode: 0o640, uid: 1000, gid: 1000 }, 'data/link': { type: 'symlink', linkName: 'file', mode: 0o777 }, 'data/sub/': null, 'data/sub/deep': 'deep' })],
    config: { Volumes: { '/data': {} } },
  });
  const health = busyboxImage({ config: { Cmd: ['sleep', '1000'], Healthcheck: { Test: ['CMD-SHELL', 'test -e /tmp/well'], Interval: 30_000_000_000, Timeout: 5_000_000_000, StartPeriod: 1_000_000_000, Retries: 2 } } });
  return {
    IMAGE: await push(busyboxImage(), 'clients/busybox'), FULL: await push(full, 'clients/full'), VOLUME: await push(volume, 'clients/volume'), HEALTH: await push(health, 'clients/health'),
    PULLPY: await push(own('py'), 'clients/pull-py'), PULLPY2: await push(own('py2'), 'clients/pull-py', '2'), PULLNODE: await push(own('node'), 'clients/pull-node'), PULLNODE2: await push(own('node2'), 'clients/pull-node', '2'),
    PULLNOTHING: `${host}/clients/busybox:none`,
  };
}

async function openDoor(socket: string): Promise<AsyncDisposable & { address: string }> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: socket, allowHalfOpen: true });
    client.on('error', () => engine.destroy()).pipe(engine);
    engine.on('error', () => client.destroy()).pipe(client);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => { server.close(() => resolve()); }),
  };
}
