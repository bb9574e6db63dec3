import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, containerOf, openTestStore, quickDisk, seeded, temporary } from '../../test/kit/store.ts';

const ID = 'c'.repeat(64);

test('a container is written with the names and modes of Docker', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const container = containerOf(ID, '/web');
  await store.containers.create(container);
  const directory = store.containers.directory(ID);
  assert.equal(directory, `${root.path}/containers/${ID}`);
  const modes = ['', '/config.v2.json', '/hostconfig.json', '/checkpoints'].map((name) => (statSync(directory + name).mode & 0o777).toString(8));
  assert.deepEqual(modes, ['710', '600', '644', '700']);
  assert.deepEqual(JSON.parse(readFileSync(`${directory}/config.v2.json`, 'utf8')), container.record);
  assert.equal(await store.containers.writeFile(ID, 'hostname', 'web\n'), `${directory}/hostname`);
  await store.containers.save({ ...container.record, Name: '/other' }, { durable: false });
  await store.containers.saveHostConfig(ID, { ...container.hostConfig, Privileged: true });
  await store.close();
  const again = await openTestStore(root.path);
  assert.deepEqual(again.containers.loaded().map(({ record, hostConfig }) => [record.Name, hostConfig.Privileged]), [['/other', true]]);
  await again.containers.remove(ID);
  assert.ok(!existsSync(directory));
  assert.deepEqual(readdirSync(`${root.path}/vaquita/removed`), []);
  await again.containers.remove(ID);
  await again.close();
});

test('a file may be written before the container is created', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  await store.containers.writeFile(ID, 'hosts', 'x');
  await store.containers.create(containerOf(ID));
  assert.deepEqual(readdirSync(store.containers.directory(ID)).toSorted(), ['checkpoints', 'config.v2.json', 'hostconfig.json', 'hosts']);
  await store.close();
});

test('fields that an older record lacks are filled in, those unknown to us are kept', async () => {
  using root = temporary();
  await (await openTestStore(root.path)).close();
  const directory = `${root.path}/containers/${ID}`;
  mkdirSync(directory);
  const old = { ID, Name: '/old', Driver: 'overlay2', State: { Running: true, Pid: 12 }, Config: { Cmd: ['sh'], Labels: { a: 'b' } }, Args: null, Future: [1] };
  writeFileSync(`${directory}/config.v2.json`, JSON.stringify(old));
  writeFileSync(`${directory}/hostconfig.json`, '{"Memory":5,"Dns":null,"ContainerIDEnv":"ID"}');
  const store = await openTestStore(root.path);
  const [container] = store.containers.loaded();
  assert.ok(container);
  const { record, hostConfig } = container;
  assert.deepEqual([record.State.Pid, record.State.FinishedAt, record.Args, record.MountPoints, record.NetworkSettings.Networks, record.Config.Env], [12, '0001-01-01T00:00:00Z', [], {}, {}, null]);
  assert.deepEqual([hostConfig.Memory, hostConfig.Dns, hostConfig.ContainerIDEnv, hostConfig.RestartPolicy.Name, hostConfig.ShmSize], [5, null, 'ID', 'no', 67108864]);
  await store.containers.save(record);
  assert.deepEqual((JSON.parse(readFileSync(`${directory}/config.v2.json`, 'utf8')) as { Future: unknown }).Future, [1]);
  await store.close();
});

test('containers of another storage driver are left alone', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const { record, hostConfig } = containerOf(ID);
  await store.containers.create({ record: { ...record, Driver: 'aufs' }, hostConfig });
  await store.close();
  const again = await openTestStore(root.path);
  assert.deepEqual([again.containers.loaded(), again.recovered.quarantined], [[], []]);
  assert.ok(existsSync(again.containers.directory(ID)));
  await again.close();
});

test('after any power cut a record is the old or the new one, and whole', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  disk.syncAll();
  const { record, hostConfig } = containerOf(ID, '/v0');
  const marks = [disk.ops.length];
  const mark = () => marks.push(disk.ops.length);
  await store.containers.create({ record, hostConfig }); mark();
  await store.containers.save({ ...record, Name: '/v1' }); mark();
  await store.containers.save({ ...record, Name: '/v2' }, { durable: false }); mark();
  await store.containers.save({ ...record, Name: '/v3' }); mark();
  await store.containers.remove(ID); mark();
  await store.close();
  const [from = 0, created = 0, v1 = 0, v2 = 0, v3 = 0, removed = 0] = marks;
  for await (const { after, reopened } of afterPowerCuts(disk, { from, perStep: 8, random: seeded(5) })) {
    const name = reopened.containers.loaded()[0]?.record.Name ?? 'none';
    const allowed = after < created ? ['none', '/v0'] : after < v1 ? ['/v0', '/v1'] : after < v2 ? ['/v1', '/v2']
      : after < v3 ? ['/v1', '/v2', '/v3'] : after < removed ? ['/v3', 'none'] : ['none'];
    assert.ok(allowed.includes(name), `${name} after ${after} of ${marks.join()}`);
    assert.deepEqual(reopened.recovered.quarantined, []);
  }
});
