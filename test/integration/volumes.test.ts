// Volumes with real containers: what outlives a daemon, what is mounted and let go, parts of volumes, failures that leave nothing.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openLinux } from '../../src/kernel/index.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { busyboxImage, treeTar } from '../kit/image.ts';
import { until } from '../kit/poll.ts';

const { mounts } = openLinux({ selfCommand: [process.execPath] });

interface Volume { Name: string; Labels: Record<string, string> | null; Options: Record<string, string> | null; Mountpoint: string; UsageData?: { RefCount: number; Size: number } }

let bench: Bench;
let filled: string;

before(async () => {
  bench = await openBench();
  const files = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`data/d${n % 10}/f${n}`, `${n}\n`]));
  filled = await bench.add(busyboxImage({ extra: [treeTar({ ...files, file: 'no directory\n' })] }), 'filled');
});
after(() => bench[Symbol.asyncDispose]());

const volume = async (body: object) => (await bench.api('POST', '/volumes/create', { body, status: 201 })).json<Volume>();
const volumes = async () => (await bench.api('GET', '/volumes', { status: 200 })).json<{ Volumes: Volume[] }>().Volumes;
const names = async () => (await volumes()).map(({ Name }) => Name).toSorted();
const mountedOn = (path: string) => mounts.list().filter(({ target }) => target === path).length;
const removeVolume = (name: string) => bench.api('DELETE', `/volumes/${name}`, { status: 204 });
const printed = async (cmd: string, host: Readonly<Record<string, unknown>>, Image = bench.image) => {
  const id = await bench.run(['sh', '-c', cmd], { body: { Image }, host });
  await bench.end(id);
  const text = await bench.logs(id);
  await bench.api('DELETE', `/containers/${id}?v=1`, { status: 204 });
  return text;
};

test('the API makes, tells, keeps and prunes volumes as Docker does', async () => {
  const { Mountpoint: path, ...made } = await volume({ Name: 'api', Labels: { a: 'b' } });
  assert.deepEqual({ ...made, CreatedAt: '' }, { CreatedAt: '', Driver: 'local', Labels: { a: 'b' }, Name: 'api', Options: null, Scope: 'local' });
  assert.deepEqual(await volume({ Name: 'api', Labels: { other: 'x' } }), { ...made, Mountpoint: path }, 'one that is there is given as it is');
  const began = performance.now();
  assert.deepEqual((await bench.api('POST', '/volumes/create', { body: { Name: 'odd', Driver: 'nfs' }, status: 404 })).json(), { message: 'create odd: error looking up volume plugin nfs: plugin "nfs" not found' });
  assert.ok(performance.now() - began < 10_000, 'at once, not after a search for plugins');
  const anonymous = await volume({});
  assert.match(anonymous.Name, /^[0-9a-f]{64}$/);
  assert.deepEqual(anonymous.Labels, { 'com.docker.volume.anonymous': '' });
  writeFileSync(join(path, 'five'), '12345');
  const id = await bench.create(['true'], { host: { Binds: ['api:/x'] } });
  const usage = (await bench.api('GET', '/system/df?type=volume', { status: 200 })).json<{ Volumes: Volume[]; Images: unknown }>();
  assert.deepEqual([usage.Images, new Map(usage.Volumes.map(({ Name, UsageData }) => [Name, UsageData]))], [null, new Map([[anonymous.Name, { RefCount: 0, Size: 0 }], ['api', { RefCount: 1, Size: 5 }]])]);
  assert.deepEqual((await bench.api('DELETE', '/volumes/api', { status: 409 })).json(), { message: `remove api: volume is in use - [${id}]` });
  assert.deepEqual((await bench.api('DELETE', '/volumes/api?force=1', { status: 409 })).json<{ message: string }>().message, `remove api: volume is in use - [${id}]`);
  await bench.remove(id);
  await volume({ Name: 'mem', DriverOpts: { type: 'tmpfs', device: 'tmpfs' } });
  assert.deepEqual((await bench.api('POST', '/v1.42/volumes/prune', { status: 200 })).json(), { VolumesDeleted: [anonymous.Name], SpaceReclaimed: 0 });
  assert.deepEqual((await bench.api('POST', `/volumes/prune?filters=${encodeURIComponent('{"all":["1"],"label!":["a"]}')}`, { status: 200 })).json(), { VolumesDeleted: null, SpaceReclaimed: 0 });
  assert.deepEqual((await bench.api('POST', '/v1.41/volumes/prune', { status: 200 })).json(), { VolumesDeleted: ['api'], SpaceReclaimed: 5 });
  assert.deepEqual(await names(), ['mem'], 'one with options of its own is not pruned');
  await removeVolume('mem');
  await bench.api('DELETE', '/volumes/mem', { status: 404 });
  await bench.api('DELETE', '/volumes/mem?force=1', { status: 204 });
  await bench.api('POST', '/volumes/create', { body: { Name: 7 }, status: 400 });
});

test('volumes and who has them are known to the next daemon, and mounts of options are held as long as they are used', async () => {
  const { Mountpoint: path } = await volume({ Name: 'held', Labels: { k: 'v' }, DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' } });
  assert.equal(mountedOn(path), 0, 'not before it is used');
  const one = await bench.run(['sh', '-c', 'echo shared > /d/f; exec sleep 1000'], { host: { Binds: ['held:/d'] } });
  const two = await bench.run(['sleep', '1000'], { host: { Mounts: [{ Type: 'volume', Source: 'held', Target: '/x' }, { Type: 'volume', Target: '/anon' }] } });
  assert.equal(mountedOn(path), 1);
  await until('the file', () => existsSync(join(path, 'f')));
  await bench.restart('kill');
  assert.equal(mountedOn(path), 1);
  assert.deepEqual((await volumes()).find(({ Name }) => Name === 'held')?.Labels, { k: 'v' });
  await bench.api('DELETE', '/volumes/held', { status: 409 });
  await bench.remove(one);
  assert.equal(readFileSync(join(path, 'f'), 'utf8'), 'shared\n', 'the other one has it still');
  const { Pid } = (await bench.inspect(two)).State;
  await bench.restart('kill', () => { process.kill(Pid, 'SIGKILL'); });
  await until('the end of the second to be on record', async () => !(await bench.inspect(two)).State.Running);
  await until('nothing to be mounted that nobody uses', () => mountedOn(path) === 0);
  await bench.api('DELETE', `/containers/${two}?v=1`, { status: 204 });
  assert.deepEqual(await names(), ['held']);
  await removeVolume('held');
});

test('what an ended daemon left mounted is let go at the start', async () => {
  const { Mountpoint: path } = await volume({ Name: 'stale', DriverOpts: { type: 'tmpfs', device: 'tmpfs' } });
  await bench.restart('stop', () => { mounts.mount({ source: 'tmpfs', target: path, fsType: 'tmpfs' }); });
  assert.equal(mountedOn(path), 0);
  await removeVolume('stale');
});

test('containers made at once fill one volume once, and whole', async () => {
  const ids = await Promise.all(Array.from({ length: 6 }, () => bench.create(['sh', '-c', 'find /data -type f | wc -l; cat /data/d7/f297'], { body: { Image: filled }, host: { Binds: ['filled:/data'] } })));
  for (const id of ids) {
    await bench.start(id);
    await bench.end(id);
    assert.equal(await bench.logs(id), '300\n297\n');
  }
  await bench.remove(...ids);
  await removeVolume('filled');
});

test('a daemon that dies while it fills a volume leaves it empty or whole', async () => {
  const folder = join(bench.path, 'engine/data/volumes');
  for (let round = 0; round < 3; round++) {
    const making = bench.api('POST', '/containers/create', { body: { Image: filled, Cmd: ['true'], HostConfig: { NetworkMode: 'none', Binds: [`cut${round}:/data`] } } }).catch(() => undefined);
    await until('the filling', () => existsSync(join(folder, `cut${round}`, round === 0 ? '_data' : '_filling')) || existsSync(join(folder, `cut${round}`, '_data/d0')));
    await bench.restart('kill');
    await making;
    const count = readdirSync(join(folder, `cut${round}/_data`)).length;
    assert.ok(count === 0 || count === 10, `${count} directories`);
    assert.deepEqual(readdirSync(join(folder, `cut${round}`)).toSorted(), ['_data', 'vaquita.json']);
    assert.deepEqual(mounts.list().filter(({ target }) => target.startsWith(bench.path)), [], 'what it had mounted to look into the image');
    assert.equal(await printed('find /data -type f | wc -l', { Binds: [`cut${round}:/data`] }, filled), '300\n');
    for (const { Id } of (await bench.api('GET', '/containers/json?all=1')).json<Array<{ Id: string }>>()) await bench.remove(Id);
    await removeVolume(`cut${round}`);
  }
});

test('a part of a volume is mounted alone, and never leads out of it', async () => {
  const { Mountpoint: path } = await volume({ Name: 'parts' });
  mkdirSync(join(path, 'deep/er'), { recursive: true });
  writeFileSync(join(path, 'deep/er/file'), 'deep\n');
  symlinkSync('deep', join(path, 'inside'));
  symlinkSync('/etc', join(path, 'outside'));
  mkdirSync(join(path, 'etc'));
  writeFileSync(join(path, 'etc/own'), 'own\n');
  const part = (Subpath: string, more = {}) => ({ Mounts: [{ Type: 'volume', Source: 'parts', Target: '/x', VolumeOptions: { Subpath }, ...more }] });
  assert.equal(await printed('ls /x; cat /x/file', part('deep/er')), 'file\ndeep\n');
  assert.equal(await printed('cat /x', part('deep/er/file')), 'deep\n');
  assert.equal(await printed('ls /x', part('inside')), 'er\n');
  assert.equal(await printed('ls /x', part('outside')), 'own\n');
  assert.match(await printed('touch /x/f; ls /x', part('deep/er', { ReadOnly: true })), /Read-only file system/);
  const id = await bench.create(['true'], { host: part('nosuch') });
  assert.match((await bench.api('POST', `/containers/${id}/start`, { status: 500 })).json<{ message: string }>().message, /cannot mount nosuch of .*parts\/_data: no such file or directory/);
  await bench.remove(id);
  await bench.api('POST', '/containers/create', { body: { Image: bench.image, Cmd: ['true'], HostConfig: part('../api') }, status: 400 });
  assert.deepEqual(mounts.list().filter(({ target }) => target.includes('/mounts/at-')), []);
  await removeVolume('parts');
});

test('binds show what is mounted below, or not, and read-only as deep as asked', async () => {
  const source = join(bench.path, 'host');
  mkdirSync(join(source, 'below'), { recursive: true });
  mounts.mount({ source: 'tmpfs', target: join(source, 'below'), fsType: 'tmpfs' });
  try {
    writeFileSync(join(source, 'below/file'), 'below\n');
    const bind = (ReadOnly: boolean, BindOptions = {}) => ({ Mounts: [{ Type: 'bind', Source: source, Target: '/x', ReadOnly, BindOptions }] });
    const touch = 'touch /x/below/new 2>/dev/null && echo written; ls /x/below';
    assert.equal(await printed('ls /x/below', bind(false)), 'file\n');
    assert.equal(await printed('ls /x/below', bind(false, { NonRecursive: true })), '');
    assert.equal(await printed(touch, bind(true, { ReadOnlyNonRecursive: true })), 'written\nfile\nnew\n');
    assert.equal(await printed('touch /x/below/more 2>/dev/null && echo written; ls /x/below', bind(true)), 'file\nnew\n');
    assert.equal(await printed('touch /x/below/more 2>/dev/null && echo written; ls /x/below', { Binds: [`${source}:/x:ro`] }), 'file\nnew\n');
    assert.equal(await printed('ls -d /x', { Mounts: [{ Type: 'bind', Source: join(source, 'made'), Target: '/x', BindOptions: { CreateMountpoint: true } }] }), '/x\n');
    assert.ok(existsSync(join(source, 'made')));
  } finally { mounts.unmount(join(source, 'below')); }
});

test('a create or start that fails leaves no volume of its own and nothing mounted', async () => {
  const before = await names();
  const create = (body: object, status: number) => bench.api('POST', '/containers/create', { body: { Image: filled, Cmd: ['true'], ...body }, status });
  await create({ Volumes: { '/first': {}, '/file': {} }, HostConfig: { Mounts: [{ Type: 'volume', Target: '/second' }] } }, 500);
  await create({ Volumes: { '/first': {} }, HostConfig: { Binds: ['./odd:/x'] } }, 400);
  await create({ HostConfig: { Mounts: [{ Type: 'volume', Target: '/a' }, { Type: 'volume', Source: 'bad', Target: '/b', VolumeOptions: { DriverConfig: { Name: 'nosuch' } } }] } }, 404);
  assert.deepEqual(await names(), before);
  const options = { type: 'none', o: 'bind', device: join(bench.path, 'nosuch') };
  const id = await bench.create(['true'], { host: { Mounts: [{ Type: 'volume', Source: 'gone', Target: '/gone', VolumeOptions: { DriverConfig: { Options: options } } }, { Type: 'volume', Target: '/anon' }] } });
  assert.match((await bench.api('POST', `/containers/${id}/start`, { status: 500 })).text, /error while mounting volume '.*gone\/_data': failed to mount local volume: mount .*nosuch:.*, flags: 0x1000: no such file or directory/);
  await bench.api('DELETE', `/containers/${id}?v=1`, { status: 204 });
  assert.deepEqual(await names(), [...before, 'gone'].toSorted());
  await removeVolume('gone');
  assert.deepEqual(mounts.list().filter(({ target }) => target.startsWith(bench.path)), []);
});

test('--rm takes the volumes without a name, also when the daemon was away at the end', async () => {
  const before = await names();
  const id = await bench.run(['sh', '-c', 'until [ -e /named/go ]; do sleep 0.05; done'], { body: { Volumes: { '/anon': {} } }, host: { AutoRemove: true, Binds: ['kept:/named'] } });
  const { Pid } = (await bench.inspect(id)).State;
  await bench.restart('kill', () => { process.kill(Pid, 'SIGKILL'); });
  await until('it to be gone', async () => (await bench.api('GET', `/containers/${id}/json`)).status === 404);
  assert.deepEqual(await names(), [...before, 'kept'].toSorted());
  await removeVolume('kept');
});

test('two containers that share a volume without a name and are removed at once take it along', async () => {
  for (let n = 0; n < 5; n++) {
    const first = await bench.create(['true'], { body: { Volumes: { '/shared': {} } } });
    const second = await bench.create(['true'], { host: { VolumesFrom: [first] } });
    await Promise.all([first, second].map((id) => bench.api('DELETE', `/containers/${id}?v=1`, { status: 204 })));
    const { Volumes: left } = (await bench.api('GET', '/volumes', { status: 200 })).json<{ Volumes: unknown[] }>();
    assert.deepEqual(left, []);
  }
});
