import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, containerOf, openTestStore, quickDisk, seeded, temporary } from '../../test/kit/store.ts';
import { kindOf } from '../lib/errors.ts';
import type { NetworkRecord, Store } from './index.ts';
import { parseNetwork } from './networks.ts';

const ID = 'ab'.repeat(32);
const networkOf = (changes: Partial<NetworkRecord> = {}): NetworkRecord => ({
  Id: ID, Name: 'web', Created: '2026-11-21T03:08:53.465084198Z', Driver: 'bridge', EnableIPv6: true, Internal: false, Attachable: true, Ingress: false, ConfigOnly: false, ConfigFrom: 'template',
  Options: { 'com.docker.network.driver.mtu': '1400' }, Labels: { a: 'b' },
  IPAM: { Driver: 'default', Options: null, Config: [{ Subnet: '10.1.0.0/16', IPRange: '10.1.5.0/24', Gateway: '', AuxiliaryAddresses: { a: '10.1.0.9' } }] },
  pools: { v4: [{ subnet: '10.1.0.0/16', range: '10.1.5.0/24', gateway: '10.1.0.1', aux: { a: '10.1.0.9' } }], v6: [{ subnet: 'fd00::/64', range: 'fd00::/64', gateway: 'fd00::1', aux: {} }] },
  ...changes,
});
const names = (store: Store) => store.networks.loaded().map(({ Name }) => Name).join();

test('a network is found again as it was recorded, oldest first', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const older = networkOf({ Id: 'cd'.repeat(32), Name: 'older', Created: '2026-11-20T03:08:53Z', IPAM: { Driver: 'default', Options: {}, Config: [] } });
  await store.networks.save(networkOf());
  await store.networks.save(older);
  const place = `${root.path}/vaquita/networks`;
  assert.deepEqual([(statSync(place).mode & 0o777).toString(8), (statSync(`${place}/${ID}.json`).mode & 0o777).toString(8)], ['700', '600']);
  await store.close();
  const again = await openTestStore(root.path);
  assert.deepEqual(again.networks.loaded(), [older, networkOf()]);
  await again.networks.remove(ID, { remember: false });
  await again.networks.remove(ID, { remember: false });
  assert.deepEqual(readdirSync(place), [`${older.Id}.json`]);
  assert.equal(again.networks.wasRemoved(ID), false);
  await assert.rejects(again.networks.save({ ...older, Id: '../x' }), /is a network ID/);
  await assert.rejects(again.networks.save({ ...older, Name: '' }), (error) => kindOf(error) === 'corrupt');
  await again.close();
});

test('what went on purpose is remembered as long as a container names it', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const { record, hostConfig } = containerOf('1'.repeat(64));
  const endpoint = { NetworkID: ID } as never;
  await store.containers.create({ record: { ...record, NetworkSettings: { ...record.NetworkSettings, Networks: { web: endpoint } } }, hostConfig });
  for (const Id of [ID, 'ef'.repeat(32)]) {
    await store.networks.save(networkOf({ Id }));
    await store.networks.remove(Id, { remember: true });
    assert.ok(store.networks.wasRemoved(Id));
  }
  await store.close();
  const again = await openTestStore(root.path);
  assert.deepEqual([again.networks.wasRemoved(ID), again.networks.wasRemoved('ef'.repeat(32))], [true, false]);
  await again.networks.save(networkOf()); // there again by some way: then it is there
  await again.close();
  const third = await openTestStore(root.path);
  assert.deepEqual([names(third), third.networks.wasRemoved(ID)], ['web', false]);
  await third.close();
});

const DAMAGED: ReadonlyArray<readonly [file: string, content: string]> = [
  [`${ID}.json`, ''], [`${ID}.json`, '{"Id":"'], [`${ID}.json`, '[]'], [`${ID}.json`, '{}'], [`${ID}.json`, JSON.stringify(networkOf({ Id: 'cd'.repeat(32) }))], [`${ID}.json`, JSON.stringify({ ...networkOf(), Name: 5 })],
  [`${ID}.json`, JSON.stringify({ ...networkOf(), Labels: { a: 5 } })], [`${ID}.json`, JSON.stringify({ ...networkOf(), IPAM: { Config: {} } })], [`${ID}.json`, JSON.stringify({ ...networkOf(), pools: 'x' })],
  [`${ID}.json`, JSON.stringify({ ...networkOf(), pools: { v4: [{ subnet: 5 }] } })], ['removed.json', '{"Ids":[5]}'], ['removed.json', 'x'],
];

test('a damaged record is set aside and does not keep the others', async () => {
  for (const [file, content] of DAMAGED) {
    using root = temporary();
    await (await openTestStore(root.path)).close();
    const place = `${root.path}/vaquita/networks`;
    writeFileSync(`${place}/${'cd'.repeat(32)}.json`, JSON.stringify(networkOf({ Id: 'cd'.repeat(32), Name: 'other' })));
    for (const [name, text] of [[file, content], ['.staged-x.json', 'half'], ['README', 'of somebody']] as const) writeFileSync(`${place}/${name}`, text);
    const store = await openTestStore(root.path);
    assert.equal(names(store), 'other', content);
    assert.equal(store.recovered.quarantined.length, 1, content);
    assert.equal(readFileSync(store.recovered.quarantined[0]?.path ?? '', 'utf8'), content);
    assert.deepEqual(readdirSync(place).toSorted(), ['README', `${'cd'.repeat(32)}.json`]);
    await store.close();
  }
});

test('a record that says little is completed', () => {
  const { pools: _pools, Labels: _labels, IPAM: _ipam, ...little } = networkOf();
  assert.deepEqual(parseNetwork({ ...little, Options: null, Internal: 'yes' }, ID), networkOf({ Labels: {}, Options: {}, pools: { v4: [], v6: [] }, IPAM: { Driver: 'default', Options: null, Config: [] } }));
});

test('after any power cut a network is there or not, and as it was told last', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  disk.syncAll();
  const marks = [disk.ops.length];
  await store.networks.save(networkOf()); marks.push(disk.ops.length);
  await store.networks.save(networkOf({ Name: 'new' })); marks.push(disk.ops.length);
  await store.networks.remove(ID, { remember: true }); marks.push(disk.ops.length);
  await store.close();
  const [from = 0, saved = 0, changed = 0, removed = 0] = marks;
  let seen = 0;
  for await (const { after, reopened } of afterPowerCuts(disk, { from, perStep: 8, random: seeded(11) })) {
    const allowed = after < saved ? ['', 'web'] : after < changed ? ['web', 'new'] : after < removed ? ['new', ''] : [''];
    assert.ok(allowed.includes(names(reopened)), `${names(reopened)} after ${after} of ${marks.join()}`);
    assert.deepEqual(reopened.recovered.quarantined, []);
    seen++;
  }
  assert.ok(seen > 20, `only ${seen} states`);
});
