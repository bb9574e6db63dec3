import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resourceOptionsOf } from './resource-options.ts';

const read = (given: Readonly<Record<string, string[]>>) => resourceOptionsOf({ text: (name, fallback) => given[name]?.at(-1) ?? fallback, all: (name) => given[name] ?? [] });

test('without flags the machine and Docker\'s defaults decide', () => {
  assert.deepEqual(read({}), { cgroupDriver: '', cgroupParent: '', shmSizeBytes: 64 << 20, ulimits: [] });
});

test('flags and entries of daemon.json are read', () => {
  const options = read({ 'exec-opt': ['native.cgroupdriver=systemd'], 'cgroup-parent': ['devices.slice'], 'default-shm-size': ['8M'], 'default-ulimit': ['nofile=10:20', 'core={"Name":"core","Hard":-1,"Soft":0}', 'nproc=5'] });
  assert.deepEqual(options, {
    cgroupDriver: 'systemd', cgroupParent: 'devices.slice', shmSizeBytes: 8 << 20,
    ulimits: [{ Name: 'nofile', Hard: 20, Soft: 10 }, { Name: 'core', Hard: -1, Soft: 0 }, { Name: 'nproc', Hard: 5, Soft: 5 }],
  });
});

test('what cannot be is refused in the words of dockerd', () => {
  const refused: Array<[Record<string, string[]>, RegExp]> = [
    [{ 'exec-opt': ['native.cgroupdriver=other'] }, /^native\.cgroupdriver option other not supported$/], [{ 'exec-opt': ['isolation=hyperv'] }, /isolation=hyperv is not supported/], [{ 'exec-opt': ['word'] }, /unable to parse/],
    [{ 'exec-opt': ['native.cgroupdriver=systemd'], 'cgroup-parent': ['/docker'] }, /valid slice named as "xxx\.slice"/], [{ 'exec-opt': ['native.cgroupdriver=systemd'], 'cgroup-parent': ['.slice'] }, /valid slice/],
    [{ 'default-ulimit': ['nope=3'] }, /invalid ulimit type: nope/], [{ 'default-ulimit': ['nofile'] }, /invalid ulimit argument: nofile/], [{ 'default-ulimit': ['nofile=3:2'] }, /soft limit must be less/],
    [{ 'default-shm-size': ['much'] }, /invalid size: 'much'/], [{ 'default-shm-size': ['0'] }, /default-shm-size/],
  ];
  for (const [given, words] of refused) assert.throws(() => read(given), { message: words }, JSON.stringify(given));
});
