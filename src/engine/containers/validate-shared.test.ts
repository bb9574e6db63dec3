import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostConfig } from '../../wire/types.ts';
import { completeHostConfig } from './defaults.ts';
import { NO_DEFAULTS } from './needs.ts';
import { validateShared } from './validate-shared.ts';

const host = (given: Partial<HostConfig>, cgroupVersion: 1 | 2 = 1, defaults = NO_DEFAULTS) => completeHostConfig(given, { cgroupVersion, defaults });
const check = (given: Partial<HostConfig>, remapped = false) => validateShared(host(given), { runtimes: ['runc', 'mine'], remapped });

test('what runs a container is known, or the bare file system', () => {
  for (const Runtime of ['', 'runc', 'mine', 'bare']) check({ Runtime });
  assert.throws(() => check({ Runtime: 'kata' }), { kind: 'invalid', message: 'Unknown runtime specified kata' });
});

test('modes and devices that mean nothing are refused by name', () => {
  for (const given of [{ IpcMode: 'container:x' }, { PidMode: 'container:x' }, { UTSMode: 'host' }, { UsernsMode: 'host' }, { CgroupnsMode: 'private' }, { DeviceCgroupRules: ['c 1:3 rwm', 'a *:* m'] }]) check(given);
  const wrong: Array<[Partial<HostConfig>, string]> = [
    [{ IpcMode: 'weird' }, 'Invalid IPC mode: weird'], [{ IpcMode: 'container:' }, 'Invalid IPC mode: container:'], [{ PidMode: 'weird' }, 'invalid PID mode: weird'], [{ UTSMode: 'weird' }, 'invalid UTS mode: weird'],
    [{ UsernsMode: 'weird' }, 'invalid USER mode: weird'], [{ CgroupnsMode: 'weird' }, 'invalid cgroup namespace mode: weird'], [{ DeviceCgroupRules: ['c 1:3 rwmx'] }, "invalid device cgroup rule format: 'c 1:3 rwmx'"],
    [{ Devices: [{ PathOnHost: '/dev/null', PathInContainer: '', CgroupPermissions: 'z' }] }, 'invalid CgroupPermissions of device "/dev/null": "z": expected letters of "rwm"'],
  ];
  for (const [given, message] of wrong) assert.throws(() => check(given), { kind: 'invalid', message });
});

test('below a user namespace nothing of the host can be shared, unless the container stays outside of it', () => {
  const wrong: Array<[Partial<HostConfig>, string]> = [
    [{ Privileged: true }, 'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode'],
    [{ NetworkMode: 'host' }, "cannot share the host's network namespace when user namespaces are enabled"], [{ PidMode: 'host' }, 'cannot share the host PID namespace when user namespaces are enabled'],
  ];
  for (const [given, message] of wrong) {
    assert.throws(() => check(given, true), { kind: 'invalid', message });
    check(given);
    check({ ...given, UsernsMode: 'host' }, true);
  }
  check({ UTSMode: 'host' }, true);
});

test('the defaults of the daemon are those of containers that say nothing, and cgroup namespaces are as Docker has them', () => {
  const defaults = { ...NO_DEFAULTS, runtime: 'mine', ipcMode: 'shareable', cgroupnsMode: 'private' } as const;
  const { Runtime, IpcMode, CgroupnsMode } = host({}, 1, defaults);
  assert.deepEqual([Runtime, IpcMode, CgroupnsMode], ['mine', 'shareable', 'private']);
  assert.deepEqual([host({}).CgroupnsMode, host({}, 2).CgroupnsMode, host({ Privileged: true }, 2).CgroupnsMode, host({ Privileged: true }, 1, defaults).CgroupnsMode], ['host', 'private', 'private', 'host']);
  assert.equal(host({ IpcMode: 'none' }, 1, defaults).IpcMode, 'none');
});
