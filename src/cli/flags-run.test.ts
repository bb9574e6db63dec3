import assert from 'node:assert/strict';
import test from 'node:test';
import { openTestIo } from '../../test/kit/cli-io.ts';
import { parseFlags } from './flags.ts';
import { createBody } from './flags-run.ts';
import { containerFlags, runOnlyFlags } from './run-flags.ts';

const io = openTestIo({ env: { HOME: '/user' }, files: { '/env': '# no\nA=1\n  B=2\nHOME\n\nC\n', '/labels': 'x=y\nz\n', '/seccomp': '{ "a": 1 }' } });

async function body(...words: string[]) {
  const { flags, args } = parseFlags([...words, 'image', 'cmd', '-x'], { specs: [...containerFlags, ...runOnlyFlags], interspersed: false, path: 'vaquita run' });
  return createBody(flags, args, io);
}

test('what is not said stays as Docker leaves it', async () => {
  const { HostConfig: host, ...config } = await body();
  assert.deepEqual([config.Image, config.Cmd, config.Env, config.Entrypoint, config.AttachStdout, config.AttachStdin, config.OpenStdin, config.Labels, config.Volumes],
    ['image', ['cmd', '-x'], null, null, true, false, false, {}, {}]);
  assert.deepEqual([host?.Binds, host?.NetworkMode, host?.RestartPolicy, host?.MemorySwappiness, host?.PidsLimit, host?.PortBindings, host?.AutoRemove],
    [null, 'default', { Name: 'no', MaximumRetryCount: 0 }, -1, 0, {}, false]);
  assert.equal(config.StopSignal, undefined);
});

test('resources and isolation', async () => {
  const { HostConfig: host, ...config } = await body('-m', '4m', '--cpus', '1.5', '--pids-limit', '5', '--ulimit', 'nofile=10:20', '--device', '/dev/a:/dev/b:rm', '--device', '/dev/c:rw',
    '--cap-add', 'NET_ADMIN', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--security-opt', 'seccomp=/seccomp', '--tmpfs', '/t:size=1', '--sysctl', 'net.a=1', '--shm-size', '64m', '--memory-swap', '-1',
    '--device-read-bps', '/dev/a:1mb', '--stop-signal', '9', '--stop-timeout', '5', '--init', '--gpus', 'all', '--cidenv', 'ID');
  assert.deepEqual([host?.Memory, host?.NanoCpus, host?.PidsLimit, host?.Ulimits, host?.ShmSize, host?.MemorySwap, host?.Init, host?.ContainerIDEnv],
    [4194304, 1.5e9, 5, [{ Name: 'nofile', Hard: 20, Soft: 10 }], 67108864, -1, true, 'ID']);
  assert.deepEqual(host?.Devices, [{ PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions: 'rm' }, { PathOnHost: '/dev/c', PathInContainer: '/dev/c', CgroupPermissions: 'rw' }]);
  assert.deepEqual([host?.CapAdd, host?.CapDrop, host?.SecurityOpt, host?.Tmpfs, host?.Sysctls], [['NET_ADMIN'], ['ALL'], ['no-new-privileges', 'seccomp={"a":1}'], { '/t': 'size=1' }, { 'net.a': '1' }]);
  assert.deepEqual([host?.BlkioDeviceReadBps, host?.DeviceRequests?.[0]?.Count, config.StopSignal, config.StopTimeout], [[{ Path: '/dev/a', Rate: 1048576 }], -1, '9', 5]);
});

test('files, volumes and mounts', async () => {
  const { HostConfig: host, ...config } = await body('--env-file', '/env', '-e', 'A=2', '-e', 'HOME', '-e', 'NOPE', '--label-file', '/labels', '-l', 'k=v', '-v', 'vol:/c', '-v', '/a:/b:ro', '-v', '/anon',
    '--mount', 'type=bind,src=/x,dst=/y,readonly', '--mount', 'type=volume,dst=/z,volume-nocopy,"volume-opt=o=a,b"', '--mount', 'type=tmpfs,dst=/q,tmpfs-size=1m,tmpfs-mode=1777');
  assert.deepEqual(config.Env, ['A=1', 'B=2', 'HOME=/user', 'C', 'A=2', 'HOME=/user', 'NOPE']);
  assert.deepEqual([config.Labels, config.Volumes, host?.Binds], [{ x: 'y', z: '', k: 'v' }, { '/anon': {} }, ['/a:/b:ro', 'vol:/c']]);
  assert.deepEqual(host?.Mounts, [
    { Type: 'bind', Source: '/x', Target: '/y', ReadOnly: true },
    { Type: 'volume', Target: '/z', VolumeOptions: { DriverConfig: { Options: { o: 'a,b' } }, NoCopy: true } },
    { Type: 'tmpfs', Target: '/q', TmpfsOptions: { SizeBytes: 1048576, Mode: 0o1777 } },
  ]);
});

test('ports, networks and health', async () => {
  const { HostConfig: host, ...config } = await body('-p', '8080:80', '-p', '127.0.0.1::53/udp', '-p', '1000-1001:2000-2001', '-p', '[::1]:81:81', '-p', '9000-9010:99', '--expose', '5-6',
    '--network', 'net', '--network-alias', 'al', '--ip', '1.2.3.4', '--link', 'x:y', '--health-cmd', 'true', '--health-interval', '5s', '--health-retries', '3');
  assert.deepEqual(host?.PortBindings, {
    '80/tcp': [{ HostIp: '', HostPort: '8080' }], '53/udp': [{ HostIp: '127.0.0.1', HostPort: '' }], '2000/tcp': [{ HostIp: '', HostPort: '1000' }], '2001/tcp': [{ HostIp: '', HostPort: '1001' }],
    '81/tcp': [{ HostIp: '::1', HostPort: '81' }], '99/tcp': [{ HostIp: '', HostPort: '9000-9010' }],
  });
  assert.deepEqual(Object.keys(config.ExposedPorts ?? {}).toSorted(), ['2000/tcp', '2001/tcp', '5/tcp', '53/udp', '6/tcp', '80/tcp', '81/tcp', '99/tcp']);
  assert.deepEqual(config.NetworkingConfig?.EndpointsConfig, { net: { IPAMConfig: { IPv4Address: '1.2.3.4' }, Links: ['x:y'], Aliases: ['al'] } });
  assert.deepEqual(config.Healthcheck, { Test: ['CMD-SHELL', 'true'], Interval: 5e9, Retries: 3 });
});

test('what contradicts itself is refused', async () => {
  const cases: Array<[string[], string]> = [
    [['--rm', '--restart', 'always'], 'Conflicting options: --restart and --rm'],
    [['--no-healthcheck', '--health-cmd', 'x'], '--no-healthcheck conflicts with --health-* options'],
    [['-p', '99999:80'], 'Invalid hostPort: 99999'],
    [['-p', 'x'], 'Invalid containerPort: x'],
    [['-p', '1-3:1-2'], 'Invalid ranges specified for container and host Ports: 1-2 and 1-3'],
    [['--env-file', '/nosuch'], 'open /nosuch: no such file or directory'],
    [['--device', 'a:b:c:d'], 'bad format for path: a:b:c:d'],
    [['--memory-swappiness', '101'], 'invalid value: 101. Valid memory swappiness range is 0-100'],
    [['--mac-address', 'x'], 'x is not a valid mac address'],
  ];
  for (const [words, message] of cases) await assert.rejects(body(...words), { message }, message);
});
