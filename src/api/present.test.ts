// Golden JSON: what clients read, in the versions in which it differs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerState } from '../wire/types.ts';
import { CONTAINER_ID, IMAGE_ID, INFO, VERSION, containerView, imageView } from './fake-engine.ts';
import { humanDuration } from '../wire/units.ts';
import { presentContainer, presentSummary, statusText } from './present-containers.ts';
import { presentImage, presentImageSummary } from './present-images.ts';
import { presentEvent, presentInfo, presentVersion } from './present-system.ts';
import { MAX_MINOR } from './version.ts';

const at = (minor: number) => ({ minor, superset: false });
const UNVERSIONED = { minor: MAX_MINOR, superset: true };
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

test('a container in full', () => {
  const json = JSON.parse(JSON.stringify(presentContainer(containerView(), at(51)))) as Record<string, unknown>;
  assert.deepEqual(Object.keys(json), ['Id', 'Created', 'Path', 'Args', 'State', 'Image', 'ResolvConfPath', 'HostnamePath', 'HostsPath', 'LogPath', 'Name', 'RestartCount',
    'Driver', 'Platform', 'MountLabel', 'ProcessLabel', 'AppArmorProfile', 'ExecIDs', 'HostConfig', 'GraphDriver', 'Mounts', 'Config', 'NetworkSettings']);
  assert.deepEqual(json['State'], {
    Status: 'running', Running: true, Paused: false, Restarting: false, OOMKilled: false, Dead: false, Pid: 1264, ExitCode: 0, Error: '',
    StartedAt: '2026-11-20T19:33:11.844881652Z', FinishedAt: '0001-01-01T00:00:00Z',
  });
  assert.deepEqual(json['GraphDriver'], { Data: { ID: CONTAINER_ID, LowerDir: '/r/a-init/diff:/r/b/diff', MergedDir: '/r/a/merged', UpperDir: '/r/a/diff', WorkDir: '/r/a/work' }, Name: 'overlay2' });
  assert.deepEqual([json['ExecIDs'], json['Mounts'], json['Name'], json['Platform']], [null, [], '/probe', 'linux']);
  assert.deepEqual(json['Config'], {
    Hostname: '388deedef289', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false, ExposedPorts: { '80/tcp': {} }, Tty: false, OpenStdin: false,
    StdinOnce: false, Env: ['PATH=/bin'], Cmd: ['sh', '-c', 'echo out'], Image: 'busybox', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: { a: 'b' },
  });
  assert.deepEqual(json['NetworkSettings'], {
    Bridge: '', SandboxID: '', SandboxKey: '', Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '18123' }], '81/udp': null }, HairpinMode: false, LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0, SecondaryIPAddresses: null, SecondaryIPv6Addresses: null, EndpointID: '', Gateway: '', GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0,
    IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '', MacAddress: '',
    Networks: { host: {
      IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', NetworkID: 'aa', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '',
      GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DriverOpts: null, GwPriority: 0, DNSNames: null,
    } },
  });
});

test('host config fields that newer versions dropped are there for older clients and for those that name no version', () => {
  const has = (version: { minor: number; superset: boolean }) => {
    const { HostConfig } = presentContainer(containerView(), version);
    return ['KernelMemory' in HostConfig, 'ContainerIDEnv' in HostConfig];
  };
  assert.deepEqual([has(at(41)), has(at(42)), has(UNVERSIONED)], [[true, true], [false, false], [true, true]]);
});

test('what says nothing is left out where Go leaves it out', () => {
  const { record, hostConfig } = containerView();
  const said = { ...hostConfig, StorageOpt: {}, Tmpfs: {}, Sysctls: {}, Annotations: {}, Mounts: [{ Type: 'volume', Source: '', Target: '/x', ReadOnly: false, VolumeOptions: { NoCopy: false, DriverConfig: {} } }] };
  const config = { ...record.Config, Healthcheck: { Test: [], Interval: 0, Retries: 3 }, Shell: [], ArgsEscaped: false };
  const shown = JSON.parse(JSON.stringify(presentContainer(containerView({ hostConfig: said, record: { ...record, Config: config } }), at(51)))) as { HostConfig: Record<string, unknown>; Config: Record<string, unknown> };
  assert.deepEqual(['StorageOpt', 'Tmpfs', 'Sysctls', 'Annotations'].filter((field) => field in shown.HostConfig), []);
  assert.deepEqual([shown.HostConfig['Mounts'], shown.Config['Healthcheck'], 'Shell' in shown.Config], [[{ Type: 'volume', Target: '/x', VolumeOptions: { DriverConfig: {} } }], { Retries: 3 }, false]);
  const annotated = containerView({ hostConfig: { ...hostConfig, Annotations: { a: 'b' } } });
  assert.deepEqual([42, 43].map((minor) => 'Annotations' in presentContainer(annotated, at(minor)).HostConfig), [false, true]);
});

test('health and sizes are shown only where there are any', () => {
  const health = { Status: 'healthy' as const, FailingStreak: 0, Log: [] };
  const { record } = containerView();
  const json = presentContainer(containerView({ record: { ...record, State: { ...record.State, Health: health } }, sizeRwBytes: 0, sizeRootFsBytes: 9, execIds: ['e'] }), at(51));
  assert.deepEqual([json.State.Health, json.SizeRw, json.SizeRootFs, json.ExecIDs], [health, 0, 9, ['e']]);
  const none = presentContainer(containerView({ record: { ...record, State: { ...record.State, Health: { ...health, Status: 'none' } } } }), at(51));
  assert.equal('Health' in none.State, false);
});

test('a container in the list', () => {
  const now = Date.parse('2026-11-20T19:33:14Z');
  assert.deepEqual(JSON.parse(JSON.stringify(presentSummary(containerView(), { version: at(43), now }))), {
    Id: CONTAINER_ID, Names: ['/probe'], Image: 'busybox', ImageID: IMAGE_ID, Command: "sh -c 'echo out'", Created: 1795203191,
    Ports: [{ IP: '0.0.0.0', PrivatePort: 80, PublicPort: 18123, Type: 'tcp' }, { PrivatePort: 81, Type: 'udp' }], Labels: { a: 'b' }, State: 'running', Status: 'Up 2 seconds',
    HostConfig: { NetworkMode: 'host' },
    NetworkSettings: { Networks: { host: {
      IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', NetworkID: 'aa', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '',
      GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DriverOpts: null,
    } } },
    Mounts: [],
  });
});

test('the status of each state', () => {
  const base: ContainerState = {
    Running: true, Paused: false, Restarting: false, OOMKilled: false, RemovalInProgress: false, Dead: false, Pid: 1, ExitCode: 0, Error: '',
    StartedAt: '2026-01-01T00:00:00Z', FinishedAt: '2026-01-01T00:00:05Z',
  };
  const now = Date.parse('2026-01-01T00:03:05Z');
  const stopped = { ...base, Running: false, ExitCode: 7 };
  const health = (Status: 'none' | 'starting' | 'healthy' | 'unhealthy') => ({ ...base, Health: { Status, FailingStreak: 0, Log: null } });
  const table: Array<[ContainerState, string]> = [
    [base, 'Up 3 minutes'], [{ ...base, Paused: true }, 'Up 3 minutes (Paused)'], [{ ...base, Restarting: true, ExitCode: 1 }, 'Restarting (1) 3 minutes ago'],
    [{ ...stopped, Restarting: true }, 'Restarting (7) 3 minutes ago'], [health('none'), 'Up 3 minutes'], [health('starting'), 'Up 3 minutes (health: starting)'],
    [health('unhealthy'), 'Up 3 minutes (unhealthy)'], [stopped, 'Exited (7) 3 minutes ago'], [{ ...stopped, Dead: true }, 'Dead'],
    [{ ...stopped, RemovalInProgress: true }, 'Removal In Progress'], [{ ...stopped, StartedAt: '0001-01-01T00:00:00Z' }, 'Created'],
    [{ ...stopped, FinishedAt: '0001-01-01T00:00:00Z' }, ''], [{ ...base, StartedAt: '2027-01-01T00:00:00Z' }, 'Up Less than a second'],
  ];
  for (const [state, text] of table) assert.equal(statusText(state, now), text);
});

test('durations change units where Docker does', () => {
  const table: Array<[number, string]> = [
    [999, 'Less than a second'], [SECOND, '1 second'], [59 * SECOND, '59 seconds'], [MINUTE, 'About a minute'], [2 * MINUTE, '2 minutes'], [59 * MINUTE, '59 minutes'],
    [HOUR, 'About an hour'], [89 * MINUTE, 'About an hour'], [90 * MINUTE, '2 hours'], [47 * HOUR, '47 hours'], [2 * DAY, '2 days'], [13 * DAY, '13 days'],
    [14 * DAY, '2 weeks'], [59 * DAY, '8 weeks'], [60 * DAY, '2 months'], [729 * DAY, '24 months'], [730 * DAY, '2 years'],
  ];
  for (const [ms, text] of table) assert.equal(humanDuration(ms), text);
});

test('an image in full, and what versions differ in', () => {
  const { Container: _container, ContainerConfig: _config, ...image } = presentImage(imageView(), at(51));
  assert.deepEqual(JSON.parse(JSON.stringify(image)), {
    Id: IMAGE_ID, RepoTags: ['busybox:latest'], RepoDigests: [], Parent: '', Comment: 'c', Created: '2020-09-13T12:26:40Z', DockerVersion: '20.10', Author: 'a',
    Config: { Cmd: ['sh'], Entrypoint: null, Env: ['PATH=/bin'], Labels: { a: 'b' }, OnBuild: null, User: '', Volumes: null, WorkingDir: '' },
    Architecture: 'amd64', Os: 'linux', Size: 1984679,
    GraphDriver: { Data: { MergedDir: '/r/overlay2/x/merged', UpperDir: '/r/overlay2/x/diff', WorkDir: '/r/overlay2/x/work' }, Name: 'overlay2' },
    RootFS: { Type: 'layers', Layers: [`sha256:${'65'.repeat(32)}`] }, Metadata: { LastTagTime: '2026-11-20T19:33:18.676685011Z' },
  });
  for (const version of [at(41), UNVERSIONED]) {
    const old = presentImage(imageView(), version);
    assert.equal(old.VirtualSize, 1984679);
    assert.equal(old.Container, 'cafe');
    assert.deepEqual([(old.ContainerConfig as Record<string, unknown>)['Cmd'], (old.ContainerConfig as Record<string, unknown>)['Hostname']], [['/bin/sh'], '']);
    assert.deepEqual([(old.Config as Record<string, unknown>)['Hostname'], (old.Config as Record<string, unknown>)['Cmd']], ['', ['sh']]);
  }
  assert.deepEqual(['VirtualSize' in presentImage(imageView(), at(43)), 'VirtualSize' in presentImage(imageView(), at(44))], [true, false]);
  assert.deepEqual(['ContainerConfig' in presentImage(imageView(), at(44)), 'ContainerConfig' in presentImage(imageView(), at(51))], [true, true]);
  const undated = imageView({ config: { ...imageView().config, created: '' }, graph: undefined });
  assert.deepEqual([presentImage(undated, at(43)).Created, 'Created' in presentImage(undated, at(44)), presentImage(undated, at(44)).GraphDriver.Data], ['0001-01-01T00:00:00Z', false, null]);
});

test('an image in the list', () => {
  assert.deepEqual(presentImageSummary(imageView(), { version: at(51) }), {
    Containers: 1, Created: 1600000000, Id: IMAGE_ID, Labels: { a: 'b' }, ParentId: '', RepoDigests: [], RepoTags: ['busybox:latest'], SharedSize: -1, Size: 1984679,
  });
  const dangling = imageView({ repoTags: [] });
  const of = (minor: number) => { const { RepoTags, RepoDigests, Containers } = presentImageSummary(dangling, { version: at(minor) }); return [RepoTags, RepoDigests, Containers]; };
  assert.deepEqual([of(42), of(43)], [[['<none>:<none>'], ['<none>@<none>'], -1], [[], [], -1]]);
  assert.equal(presentImageSummary(dangling, { version: UNVERSIONED }).VirtualSize, 1984679);
});

test('version and info', () => {
  const facts = { Arch: 'amd64', BuildTime: '2026-11-20T00:00:00Z', GitCommit: 'abc', GoVersion: 'v26.10.0', KernelVersion: '6.18', Os: 'linux' };
  assert.deepEqual(presentVersion(VERSION), {
    Platform: { Name: 'Vaquita 0.1.0' },
    Components: [{ Name: 'Engine', Version: '20.10.44', Details: { ApiVersion: '1.51', MinAPIVersion: '1.24', ...facts, Experimental: 'false' } }, { Name: 'vaquita', Version: '0.1.0', Details: { GitCommit: 'abc' } }, { Name: 'crun', Version: '1.8.1', Details: { GitCommit: '' } }],
    Engine: 'balena-engine', Version: '20.10.44', ApiVersion: '1.51', MinAPIVersion: '1.24', ...facts,
  });
  const info = presentInfo(INFO, at(51));
  assert.deepEqual(info.Swarm, { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null });
  assert.deepEqual(info.RegistryConfig, {
    AllowNondistributableArtifactsCIDRs: [], AllowNondistributableArtifactsHostnames: [], InsecureRegistryCIDRs: ['127.0.0.0/8', '::1/128', '10.0.0.0/8'],
    IndexConfigs: {
      'docker.io': { Name: 'docker.io', Mirrors: ['http://127.0.0.1:5055/'], Secure: true, Official: true }, 'reg:5000': { Name: 'reg:5000', Mirrors: [], Secure: false, Official: false },
    },
    Mirrors: ['http://127.0.0.1:5055/'],
  });
  assert.deepEqual((presentInfo({ ...INFO, addressPools: [{ base: '10.1.0.0/16', size: 24 }] }, at(41)) as { DefaultAddressPools?: object }).DefaultAddressPools, [{ Base: '10.1.0.0/16', Size: 24 }]);
  assert.deepEqual([info.Warnings, 'KernelMemory' in info, 'KernelMemory' in presentInfo(INFO, UNVERSIONED), 'BridgeNfIptables' in presentInfo(INFO, at(49))], [null, false, true, true]);
});

test('events carry status, id and from for containers, status and id for images, none of them for others', () => {
  const event = { Actor: { ID: 'x', Attributes: { image: 'busybox' } }, Action: 'die', scope: 'local' as const, time: 1, timeNano: 2 };
  assert.deepEqual(presentEvent({ ...event, Type: 'container' }), { status: 'die', id: 'x', from: 'busybox', ...event, Type: 'container' });
  assert.deepEqual(presentEvent({ ...event, Type: 'image' }), { status: 'die', id: 'x', ...event, Type: 'image' });
  assert.equal('id' in presentEvent({ ...event, Type: 'image', Actor: { ID: '', Attributes: {} } }), false, 'a prune is of nothing alone');
  assert.deepEqual(presentEvent({ ...event, Type: 'network', status: 'stale' }), { ...event, Type: 'network' });
});

test('networks of a container are told as each version of the API has them', () => {
  const view = containerView();
  const { Networks: { host }, ...rest } = view.network;
  assert.ok(host);
  const [short, name] = ['388deedef289', view.record.Config.Hostname];
  const own = { ...host, IPAMConfig: { IPv4Address: '10.0.0.2' }, Aliases: ['web', short, name], IPAMOperational: false, DesiredMacAddress: '02:42:ac:11:00:09', GwPriority: 2 };
  const bare = { ...host, Aliases: [short] };
  const network = { ...rest, Networks: { own, bare, bridge: { ...host, IPAddress: '172.17.0.2', MacAddress: 'm', EndpointID: 'e' } }, Ports: { '443/tcp': null, '80/udp': null, '80/tcp': [{ HostIp: '::', HostPort: '8080' }] } };
  const shown = (minor: number) => JSON.parse(JSON.stringify(presentContainer({ ...view, record: { ...view.record, ID: `${short}${'0'.repeat(52)}` }, network }, at(minor)))) as { NetworkSettings: { Networks: Record<string, Record<string, unknown>>; IPAddress: string; MacAddress: string; EndpointID: string } };
  const { NetworkSettings: old } = shown(43);
  assert.deepEqual([Object.keys(old.Networks), old.IPAddress, old.MacAddress, old.EndpointID], [['bare', 'bridge', 'own'], '172.17.0.2', 'm', 'e'], 'beside Networks stands the default bridge');
  assert.deepEqual([old.Networks['own']?.['Aliases'], Object.keys(old.Networks['own'] ?? {}).filter((key) => /DNSNames|GwPriority|Desired|Operational/.test(key))], [['web', short, name], []]);
  const later = (minor: number, of: string) => ['Aliases', 'DNSNames', 'GwPriority'].map((key) => shown(minor).NetworkSettings.Networks[of]?.[key]);
  const names = ['probe', 'web', ...new Set([short, name])];
  assert.deepEqual([later(44, 'own'), later(45, 'own'), later(48, 'own')], [[['web', short, name], names, undefined], [['web'], names, undefined], [['web'], names, 2]]);
  assert.deepEqual([later(48, 'bare'), later(48, 'bridge')], [[null, ['probe', ...new Set([short, name])], 0], [null, null, 0]]);
  const { Names, Ports } = JSON.parse(JSON.stringify(presentSummary({ ...view, network, names: ['/app/db', '/probe'] }, { version: at(43), now: 0 }))) as { Names: string[]; Ports: Array<{ PrivatePort: number; Type: string }> };
  assert.deepEqual([Names, Ports.map(({ PrivatePort, Type }) => `${PrivatePort}/${Type}`)], [['/app/db', '/probe'], ['80/tcp', '80/udp', '443/tcp']]);
});
