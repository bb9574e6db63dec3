import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { buildBolt } from '../../test/kit/bolt.ts';
import { afterPowerCuts, openTestStore, quickDisk, seeded, temporary } from '../../test/kit/store.ts';
import type { MountEntry } from '../kernel/index.ts';
import { kindOf } from '../lib/errors.ts';
import type { Store } from './index.ts';
import type { TreeCopy } from './volumes.ts';

const TMPFS = { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' };
const plain = { name: 'plain', labels: null, options: null };
const withOptions = { name: 'mem', labels: { a: 'b' }, options: TMPFS };
const about = (store: Store) => store.volumes.list().map(({ name, labels, options, mount, damaged }) => ({ name, labels, options, mount, damaged: damaged !== undefined }));

test('a volume stands on the disk as Docker has it, and is found again', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const made = await store.volumes.create(plain);
  await store.volumes.create(withOptions);
  assert.deepEqual(made, { ...plain, createdAt: made.createdAt, path: `${root.path}/volumes/plain/_data`, mount: undefined, damaged: undefined });
  assert.match(made.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const modes = ['', '/mem', '/mem/_data', '/mem/opts.json', '/mem/vaquita.json'].map((name) => (statSync(`${root.path}/volumes${name}`).mode & 0o777).toString(8));
  assert.deepEqual(modes, ['701', '701', '755', '600', '600']);
  assert.equal(readFileSync(`${root.path}/volumes/mem/opts.json`, 'utf8'), '{"MountType":"tmpfs","MountOpts":"size=1m","MountDevice":"tmpfs","Quota":{"Size":0}}');
  assert.ok(!existsSync(`${root.path}/volumes/plain/opts.json`));
  await assert.rejects(store.volumes.create(plain), (error) => kindOf(error) === 'conflict');
  writeFileSync(`${made.path}/five`, '12345');
  assert.equal(await store.volumes.sizeBytes('plain'), 5);
  await store.close();

  const again = await openTestStore(root.path);
  assert.deepEqual(about(again), [
    { ...withOptions, mount: { type: 'tmpfs', options: 'size=1m', device: 'tmpfs' }, damaged: false }, { ...plain, mount: undefined, damaged: false },
  ]);
  assert.equal(again.volumes.get('plain')?.createdAt, made.createdAt);
  await again.volumes.remove('plain');
  await again.volumes.remove('plain');
  assert.deepEqual(readdirSync(`${root.path}/volumes`), ['mem']);
  await again.volumes.create(plain);
  assert.deepEqual(readdirSync(again.volumes.get('plain')?.path ?? ''), []);
  await again.close();
});

test('after a power cut a volume is whole or not there, and there once it was told', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  const marks: number[] = [];
  const mark = () => { marks.push(disk.ops.length); };
  mark();
  await store.volumes.create(withOptions); mark();
  await store.volumes.remove('mem'); mark();
  await store.volumes.create(withOptions); mark();
  await store.close();
  const [from = 0, created = 0, removed = 0, anew = 0] = marks;
  let seen = 0;
  for await (const { after, at, reopened } of afterPowerCuts(disk, { from, perStep: 8, random: seeded(7) })) {
    const found = about(reopened);
    const there = found.length === 1;
    assert.deepEqual(found, there ? [{ ...withOptions, mount: { type: 'tmpfs', options: 'size=1m', device: 'tmpfs' }, damaged: false }] : []);
    assert.ok(after === created || after >= anew ? there : after === removed ? !there : true, `after ${after} of ${marks.join()}: ${there}`);
    assert.deepEqual([reopened.recovered.quarantined, readdirSync(`${at}/volumes`)], [[], there ? ['mem'] : []]);
    seen++;
  }
  assert.ok(seen > 50, `${seen} states`);
});

test('whichever step of making a volume fails, nothing is left', async () => {
  for (let n = 1; n < 40; n++) {
    using root = temporary();
    const disk = new RecordingDisk(root.path, quickDisk);
    const store = await openTestStore(root.path, { disk });
    disk.failAfter(n);
    const made = await store.volumes.create(withOptions).then(() => true, () => false);
    disk.failAfter(0);
    if (!made) assert.deepEqual([about(store), readdirSync(`${root.path}/volumes`)], [[], []], `step ${n}`);
    await store.close();
    if (made) return assert.ok(n > 8, `${n} steps`);
  }
  assert.fail('it was never made');
});

test('what Docker made is used as it is, and what is damaged is told', async () => {
  using root = temporary();
  const folder = (name: string, files: Readonly<Record<string, string>>, data = true) => {
    mkdirSync(`${root.path}/volumes/${name}${data ? '/_data' : ''}`, { recursive: true });
    for (const [file, content] of Object.entries(files)) writeFileSync(`${root.path}/volumes/${name}/${file}`, content);
  };
  folder('dockers', {});
  folder('dockers-nfs', { 'opts.json': '{"MountType":"nfs","MountOpts":"addr=10.0.0.1,rw","MountDevice":":/srv","Quota":{"Size":0}}' });
  folder('dockers-empty', { 'opts.json': '{"MountType":"","MountOpts":"","MountDevice":"","Quota":{"Size":0}}' });
  folder('lost-options', { 'opts.json': '' });
  folder('mended', { 'opts.json': '{"Mount', 'vaquita.json': JSON.stringify({ Driver: 'local', CreatedAt: '2026-01-01T00:00:00Z', Labels: { k: 'v' }, Options: TMPFS }) });
  folder('lost-record', { 'vaquita.json': '{' });
  folder('labelled', {});
  folder('labelled-ours', { 'vaquita.json': JSON.stringify({ Driver: 'local', CreatedAt: '2026-01-01T00:00:00Z', Labels: null, Options: null }) });
  folder('labelled-torn', { 'opts.json': '{"Mou' });
  folder('half-made', { 'vaquita.json': '{}', 'opts.json': '' }, false);
  folder('half-removed', {}, false);
  mkdirSync(`${root.path}/volumes/half-removed/_removed/deep`, { recursive: true });
  folder('somebodys', { important: 'data' }, false);
  const docker = (name: string, options: object) => JSON.stringify({ Name: name, Driver: 'local', Labels: { of: 'docker' }, Options: options });
  writeFileSync(`${root.path}/volumes/metadata.db`, buildBolt({ volumes: { labelled: docker('labelled', {}), 'labelled-ours': docker('labelled-ours', {}), 'labelled-torn': docker('labelled-torn', TMPFS), gone: docker('gone', {}), torn: '{"Na' } }));
  const store = await openTestStore(root.path);
  const none = { labels: null, options: null, mount: undefined, damaged: false };
  assert.deepEqual(about(store), [
    { ...none, name: 'dockers' }, { ...none, name: 'dockers-empty' },
    { ...none, name: 'dockers-nfs', options: { type: 'nfs', o: 'addr=10.0.0.1,rw', device: ':/srv' }, mount: { type: 'nfs', options: 'addr=10.0.0.1,rw', device: ':/srv' } },
    { ...none, name: 'labelled', labels: { of: 'docker' }, options: {} }, { ...none, name: 'labelled-ours' },
    { ...none, name: 'labelled-torn', labels: { of: 'docker' }, options: TMPFS, mount: { type: 'tmpfs', options: 'size=1m', device: 'tmpfs' } },
    { ...none, name: 'lost-options', damaged: true }, { ...none, name: 'lost-record' },
    { ...none, name: 'mended', labels: { k: 'v' }, options: TMPFS, mount: { type: 'tmpfs', options: 'size=1m', device: 'tmpfs' } },
  ]);
  assert.deepEqual(store.recovered.quarantined.map(({ path }) => path.replace(/.*volumes./, '').replace(/^\d.*-/, '')).toSorted(), ['lost-options/opts.json', 'lost-record_vaquita.json', 'mended/opts.json', 'somebodys', 'labelled-torn/opts.json', 'metadata.db: torn'].toSorted());
  assert.deepEqual(readdirSync(`${root.path}/volumes`).filter((name) => name.startsWith('half')), []);
  assert.match(store.volumes.get('dockers')?.createdAt ?? '', /^\d{4}-/);
  await assert.rejects(store.volumes.create({ ...plain, name: 'somebodys' }), /other files; move them away/);
  assert.equal(readFileSync(`${root.path}/volumes/somebodys/important`, 'utf8'), 'data');
  await store.close();
  const again = await openTestStore(root.path);
  assert.notEqual(again.volumes.get('lost-options')?.damaged, undefined, 'its files may be elsewhere');
  await again.close();
});

test('nothing is erased while something is mounted in it', async () => {
  using root = temporary();
  const mounted: MountEntry[] = [];
  const store = await openTestStore(root.path, { mounted });
  const { path } = await store.volumes.create(plain);
  writeFileSync(`${path}/file`, 'kept');
  mounted.push({ id: 1, parentId: 0, root: '/', target: `${path}/inner`, fsType: 'tmpfs', source: 'tmpfs', options: '', superOptions: '', propagation: '' });
  await assert.rejects(store.volumes.remove('plain'), /inner is still mounted/);
  assert.equal(readFileSync(`${path}/file`, 'utf8'), 'kept');
  await store.close();
});

test('content takes the place of an empty folder at once, and of no other', async () => {
  using root = temporary();
  const jobs: string[] = [];
  const copier: TreeCopy = {
    look: (_rootfs, path) => (path === '/none' ? 'nothing' : path === '/file' ? 'file' : path === '/empty' ? 'empty' : 'files'),
    dress: ({ into }) => { jobs.push(`dress ${into}`); },
    copy: async ({ path, into, onlyIfEmpty }) => {
      jobs.push(`copy ${into}${onlyIfEmpty ? ' if empty' : ''}`);
      if (onlyIfEmpty) return;
      chownSync(into, 5, 6);
      writeFileSync(`${into}/a`, 'a');
      if (path === '/broken') throw new Error('no space left');
    },
  };
  const store = await openTestStore(root.path, { copier });
  const { path } = await store.volumes.create(plain);
  const fill = (from: string, inPlace = false) => store.volumes.fill('plain', { rootfs: '/image', path: from, inPlace, remote: false });
  await fill('/none');
  await assert.rejects(fill('/file'), /source \/image\/file is not directory/);
  await fill('/empty');
  await assert.rejects(fill('/broken'), /no space left/);
  assert.deepEqual([readdirSync(path), readdirSync(`${root.path}/volumes/plain`)], [[], ['_data', 'vaquita.json']]);
  await fill('/data');
  assert.deepEqual([readdirSync(path), statSync(path).uid, readdirSync(`${root.path}/volumes/plain`)], [['a'], 5, ['_data', 'vaquita.json']]);
  await fill('/data', true);
  await store.volumes.fill('plain', { rootfs: '/image', path: '/empty', inPlace: true, remote: true });
  assert.equal(jobs.pop(), `copy ${root.path}/volumes/plain/_data if empty`, 'nobody but the worker has looked');
  assert.deepEqual(jobs.map((job) => job.replace(root.path, '')), ['dress /volumes/plain/_data', 'copy /volumes/plain/_filling', 'copy /volumes/plain/_filling']);
  await store.close();
});
