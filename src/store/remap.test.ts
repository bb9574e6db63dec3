import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import type { IdMap } from '../lib/ids.ts';
import { openTestStore, temporary } from '../../test/kit/store.ts';
import { remappedRoot } from './remap.ts';

const MAP: IdMap = { uids: [{ containerId: 0, hostId: 231_072, size: 65_536 }], gids: [{ containerId: 0, hostId: 300_000, size: 65_536 }] };
/** "drwx--x--- 0:300000" of what stands there. */
const shown = (path: string) => { const { mode, uid, gid } = statSync(path); return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`; };

test('the root of a remapped daemon is laid out as Docker lays it out, and its ways are open to the remapped root', async () => {
  using dir = temporary();
  chmodSync(dir.path, 0o711);
  const root = remappedRoot(`${dir.path}/data`, MAP);
  assert.equal(root, `${dir.path}/data/231072.300000`);
  const store = await openTestStore(root, { idMap: MAP });
  const container = 'a'.repeat(64);
  const mount = await store.layers.createActive(container, { parent: undefined, init: true });
  await store.containers.writeFile(container, 'hosts', 'x');
  const snapshot = mount.upperDir.slice(0, -'/diff'.length);
  const init = `${snapshot}-init/diff`;
  assert.deepEqual(
    [`${dir.path}/data`, root, `${root}/overlay2`, `${root}/overlay2/l`, `${root}/containers`, `${root}/image`].map(shown),
    ['711 0:0', '710 0:300000', '710 0:300000', '700 0:0', '710 0:300000', '700 0:0'],
  );
  assert.deepEqual([snapshot, mount.upperDir, mount.workDir, mount.mergedDir].map(shown), ['710 0:300000', '755 231072:300000', '700 231072:300000', '700 231072:300000']);
  assert.deepEqual([init, `${init}/etc`, `${init}/etc/hosts`, `${init}/.dockerenv`].map(shown), ['755 231072:300000', '755 231072:300000', '755 231072:300000', '755 231072:300000']);
  assert.deepEqual([`${root}/containers/${container}`, `${root}/containers/${container}/hosts`].map(shown), ['710 0:300000', '644 231072:300000']);
  assert.deepEqual(store.idMap, MAP);
  await store.close();
});

test('without remapping everything stays with root', async () => {
  using dir = temporary();
  const store = await openTestStore(`${dir.path}/data`);
  const mount = await store.layers.createActive('b'.repeat(64), { parent: undefined, init: true });
  for (const path of [store.root, mount.upperDir, mount.workDir, mount.mergedDir]) assert.match(shown(path), / 0:0$/, path);
  await store.close();
});

test('a directory above that keeps the remapped root out is named, before anything is made there', () => {
  using dir = temporary();
  mkdirSync(`${dir.path}/closed`, { mode: 0o700 });
  chmodSync(dir.path, 0o711);
  assert.throws(() => remappedRoot(`${dir.path}/closed/data`, MAP), new RegExp(`restricts access to the remapped root uid/gid.*: ${dir.path}/closed does not$`));
  assert.deepEqual(readdirSync(`${dir.path}/closed/data`), []);
  assert.ok(!existsSync(`${dir.path}/closed/data/231072.300000`));
});
