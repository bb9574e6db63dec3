import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { MountEntry } from '../kernel/index.ts';
import { kindOf } from '../lib/errors.ts';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, commitChain, containerOf, openTestStore, quickDisk, seeded, temporary, topOf } from '../../test/kit/store.ts';

const ID = 'c'.repeat(64);
const read = (path: string): string => readFileSync(path, 'utf8');

test('a writable snapshot stands where Docker expects it, with its init layer', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const [base] = await commitChain(store, 'base');
  assert.ok(base);
  const mount = await store.layers.createActive(ID, { parent: base.chainId, init: true });
  const record = `${root.path}/image/overlay2/layerdb/mounts/${ID}`;
  const mountId = read(`${record}/mount-id`);
  assert.deepEqual([read(`${record}/init-id`), read(`${record}/parent`)], [`${mountId}-init`, base.chainId]);
  const [path, init] = [`${root.path}/overlay2/${mountId}`, `${root.path}/overlay2/${mountId}-init`];
  assert.deepEqual(readdirSync(path).toSorted(), ['diff', 'link', 'lower', 'merged', 'work']);
  assert.deepEqual(readdirSync(init).toSorted(), ['committed', 'diff', 'link', 'lower', 'work']);
  const [baseLink, initLink] = [read(`${root.path}/overlay2/${base.cacheId}/link`), read(`${init}/link`)];
  assert.equal(read(`${path}/lower`), `l/${initLink}:l/${baseLink}`);
  assert.equal(read(`${init}/lower`), `l/${baseLink}`);
  const content = execFileSync('find', ['.', '-printf', '%P %y %m %s %l\n'], { cwd: `${init}/diff`, encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(content.map((line) => line.trim().replace(/(^| )d (\d+) \d+$/, '$1d $2')).toSorted(), [
    '.dockerenv f 755 0', 'd 755', 'dev d 755', 'dev/console f 755 0', 'dev/pts d 755', 'dev/shm d 755', 'etc d 755', 'etc/hostname f 755 0',
    'etc/hosts f 755 0', 'etc/mtab l 777 12 /proc/mounts', 'etc/resolv.conf f 755 0', 'proc d 755', 'sys d 755',
  ].toSorted());
  assert.deepEqual(mount, {
    lowerDirs: [`${init}/diff`, base.diffPath], upperDir: `${path}/diff`, workDir: `${path}/work`, mergedDir: `${path}/merged`,
    data: `lowerdir=${root.path}/overlay2/l/${initLink}:${root.path}/overlay2/l/${baseLink},upperdir=${path}/diff,workdir=${path}/work`,
  });
  await store.containers.create(containerOf(ID));
  await store.close();

  const again = await openTestStore(root.path);
  assert.deepEqual(again.layers.active(ID), mount);
  await again.layers.removeActive(ID);
  assert.equal(again.layers.active(ID), undefined);
  assert.deepEqual([readdirSync(`${root.path}/overlay2`).length, readdirSync(`${root.path}/overlay2/l`)], [2, [baseLink]]);
  assert.ok(!existsSync(record));
  await again.layers.removeActive(ID); // gone is gone
  await again.close();
});

test('the size of what a container wrote counts each inode once, under any name', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const { upperDir } = await store.layers.createActive(ID, { parent: undefined, init: false });
  mkdirSync(`${upperDir}/d`);
  writeFileSync(Buffer.concat([Buffer.from(`${upperDir}/d/`), Buffer.from([0xff, 0x41])]), 'abc');
  writeFileSync(`${upperDir}/one`, '1234');
  linkSync(`${upperDir}/one`, `${upperDir}/d/two`);
  symlinkSync('12345678', `${upperDir}/symlink`);
  assert.equal(await store.layers.activeSizeBytes(ID), 3 + 4 + 8);
  rmSync(upperDir, { recursive: true });
  writeFileSync(upperDir, 'a directory until just now');
  assert.equal(await store.layers.activeSizeBytes(ID), 0);
  await store.layers.removeActive(ID);
  assert.ok(!existsSync(upperDir));
  await store.close();
});

test('a snapshot that is mounted is not removed', async () => {
  using root = temporary();
  const mounted: MountEntry[] = [];
  const store = await openTestStore(root.path, { mounted });
  const mount = await store.layers.createActive(ID, { parent: undefined, init: true });
  mounted.push({ id: 1, parentId: 0, root: '/', target: mount.mergedDir, fsType: 'overlay', source: 'overlay', options: '', superOptions: '', propagation: '' });
  await assert.rejects(store.layers.removeActive(ID), (error) => kindOf(error) === 'conflict');
  assert.ok(store.layers.active(ID));
  await store.close();
  const again = await openTestStore(root.path, { mounted }); // no container of that ID, yet somebody uses it
  assert.ok(existsSync(mount.upperDir));
  await again.close();
});

test('after any power cut a snapshot is whole or swept, and there once acknowledged', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  await commitChain(store, 'a');
  await store.containers.create(containerOf(ID));
  disk.syncAll();
  const from = disk.ops.length;
  await store.layers.createActive(ID, { parent: topOf('a'), init: true });
  const created = disk.ops.length;
  await store.layers.removeActive(ID);
  const removed = disk.ops.length;
  await store.close();
  let seen = 0;
  for await (const { after, at, reopened } of afterPowerCuts(disk, { from, perStep: 6, random: seeded(2) })) {
    const mount = reopened.layers.active(ID);
    if (after === created) assert.ok(mount, 'acknowledged and lost');
    if (after === removed) assert.equal(mount, undefined, 'removed and back');
    assert.deepEqual(reopened.recovered.quarantined, []);
    if (mount) {
      seen++;
      assert.ok(existsSync(mount.upperDir) && existsSync(mount.workDir) && existsSync(mount.mergedDir));
      assert.ok(existsSync(`${mount.lowerDirs[0]}/.dockerenv`) && lstatSync(`${mount.lowerDirs[0]}/etc/mtab`).isSymbolicLink());
      const path = mount.upperDir.replace(/\/diff$/, '');
      assert.equal(readlinkSync(`${at}/overlay2/l/${read(`${path}/link`)}`), `../${path.split('/').at(-1)}/diff`);
      assert.match(read(`${path}/lower`), /^l\/[A-Z2-7]{26}:l\/[A-Z2-7]{26}$/);
    } else assert.deepEqual([readdirSync(`${at}/overlay2`).length, readdirSync(`${at}/overlay2/l`).length], [2, 1]);
  }
  assert.ok(seen > 5, `${seen}`);
});

test('createActive leaves everything or nothing, whichever step fails', async () => {
  for (let n = 1; ; n++) {
    using root = temporary();
    const disk = new RecordingDisk(root.path, quickDisk);
    const store = await openTestStore(root.path, { disk });
    await commitChain(store, 'a');
    disk.failAfter(n);
    const made = await store.layers.createActive(ID, { parent: topOf('a'), init: true }).catch(() => undefined);
    disk.failAfter(0);
    assert.equal(store.layers.active(ID) !== undefined, made !== undefined);
    const left = [readdirSync(`${root.path}/overlay2`).length, readdirSync(`${root.path}/overlay2/l`).length, readdirSync(`${root.path}/image/overlay2/layerdb/tmp`).length];
    assert.deepEqual(left, made ? [4, 3, 0] : [2, 1, 0], `after failure ${n}`);
    await store.close();
    if (made) { assert.ok(n > 30); return; }
  }
});

test('what Docker leaves unsynced is mended: empty link and lower, missing symlinks', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  await commitChain(store, 'a', 'b');
  await store.containers.create(containerOf(ID));
  const mount = await store.layers.createActive(ID, { parent: topOf('a', 'b'), init: true });
  const path = mount.upperDir.replace(/\/diff$/, '');
  await store.close();
  const good = [read(`${path}/link`), read(`${path}/lower`)];
  for (const name of ['link', 'lower']) writeFileSync(`${path}/${name}`, '');
  rmSync(mount.mergedDir, { recursive: true });
  const again = await openTestStore(root.path);
  assert.deepEqual([again.layers.active(ID), read(`${path}/link`), read(`${path}/lower`)], [mount, ...good]);
  assert.ok(existsSync(mount.mergedDir));
  await again.close();
  rmSync(`${root.path}/overlay2/l`, { recursive: true });
  const third = await openTestStore(root.path);
  const links = mount.lowerDirs.map((dir) => read(dir.replace(/diff$/, 'link')));
  assert.equal(read(`${path}/lower`), links.map((link) => `l/${link}`).join(':'));
  assert.equal(readdirSync(`${root.path}/overlay2/l`).length, 4);
  assert.deepEqual(third.layers.active(ID)?.lowerDirs, mount.lowerDirs);
  await third.close();
});
