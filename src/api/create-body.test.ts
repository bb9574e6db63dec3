// What a create body means in each version of the API.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyAsMeant, versionWarnings } from './create-body.ts';
import { MAX_MINOR } from './version.ts';

const at = (minor: number) => ({ minor, superset: false });
const UNVERSIONED = { minor: MAX_MINOR, superset: true };

test('fields that came later are passed over, those that went are kept for older clients', () => {
  const body = {
    Healthcheck: { Test: ['CMD', 'x'], StartInterval: 1e9 },
    HostConfig: {
      Annotations: { a: 'b' }, KernelMemory: 7, IpcMode: 'private', CgroupnsMode: 'private', Mounts: [
        { Type: 'bind', Target: '/a', BindOptions: { NonRecursive: true, CreateMountpoint: true, ReadOnlyNonRecursive: true, Propagation: 'rslave' } },
        { Type: 'volume', Target: '/b', VolumeOptions: { Subpath: 's', NoCopy: true } }, { Type: 'tmpfs', Target: '/c', TmpfsOptions: { Options: [['noexec']], Mode: 7 } },
      ],
    },
  };
  const seen = (minor: number) => {
    const { Healthcheck: health, HostConfig: host } = bodyAsMeant(body, at(minor));
    const [bind, volume, tmpfs] = host?.Mounts ?? [];
    return [health?.StartInterval, host?.Annotations, host?.KernelMemory, Object.keys(bind?.BindOptions ?? {}).join(), Object.keys(volume?.VolumeOptions ?? {}).join(), Object.keys(tmpfs?.TmpfsOptions ?? {}).join()];
  };
  assert.deepEqual(seen(24), [undefined, undefined, 7, 'Propagation', 'NoCopy', 'Mode']);
  assert.deepEqual(seen(41), [undefined, undefined, 7, 'NonRecursive,Propagation', 'NoCopy', 'Mode']);
  assert.deepEqual(seen(43), [undefined, { a: 'b' }, undefined, 'NonRecursive,CreateMountpoint,Propagation', 'NoCopy', 'Mode']);
  assert.deepEqual(seen(51), [1e9, { a: 'b' }, undefined, 'NonRecursive,CreateMountpoint,ReadOnlyNonRecursive,Propagation', 'Subpath,NoCopy', 'Options,Mode']);
  assert.equal(bodyAsMeant(body, UNVERSIONED).HostConfig?.KernelMemory, 7);
});

test('what was not said had other defaults in older versions', () => {
  const host = (minor: number, said = {}) => bodyAsMeant({ Image: 'x', HostConfig: said }, at(minor)).HostConfig;
  assert.deepEqual([host(39), host(40), host(41)], [{ IpcMode: 'shareable', CgroupnsMode: 'host' }, { CgroupnsMode: 'host' }, {}]);
  assert.deepEqual(host(24, { IpcMode: 'none', CgroupnsMode: 'private' }), { IpcMode: 'none', CgroupnsMode: 'private' });
  assert.equal('HostConfig' in bodyAsMeant({ Image: 'x' }, at(51)), false);
});

test('a MAC address in the old place is warned of since the new one is there', () => {
  const warned = (minor: number) => versionWarnings({ MacAddress: '02:42:ac:11:00:02' }, at(minor)).length;
  assert.deepEqual([warned(43), warned(44), versionWarnings({}, at(51)).length], [0, 1, 0]);
});
