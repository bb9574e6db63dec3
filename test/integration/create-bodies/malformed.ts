// Values of the right JSON type that mean nothing: dockerd refuses them too, or would fail at the start.

/** `path` with dots; `names`: how the refusal calls the field; `status`: where it is not 400. */
export interface Malformed { path: string; value: unknown; names: RegExp; status?: number }

const bad = (path: string, names: RegExp, ...values: readonly unknown[]): Malformed[] => values.map((value) => ({ path, value, names }));
const host = (field: string, names: RegExp, ...values: readonly unknown[]) => bad(`HostConfig.${field}`, names, ...values);

export const MALFORMED: readonly Malformed[] = [
  ...bad('Env', /environment variable/, [''], ['=x'], ['A=1', '=']), ...bad('WorkingDir', /working directory/, 'rel', './x'), ...bad('StopSignal', /signal/i, 'BAD', '0', '99', 'RTMIN+99'),
  ...bad('MacAddress', /MacAddress/, 'zz', '02:42'), ...bad('Healthcheck.Interval', /Interval/, 1, -1), ...bad('Healthcheck.Timeout', /Timeout/, 999_999), ...bad('Healthcheck.StartPeriod', /StartPeriod/, 5),
  ...bad('Healthcheck.StartInterval', /StartInterval/, 5), ...bad('Healthcheck.Retries', /Retries/, -1), ...bad('Image', /image|reference/, '', 'BAD!!', 'a:b:c'), { path: 'Image', value: 'nosuch', names: /image: nosuch/, status: 404 },
  ...host('Binds', /volume|bind|mount|mode/i, ['/a:b'], ['/a:/'], ['/a:/b:zz'], ['/a:/b:ro:x'], ['/a:/c', '/b:/c']), ...host('LogConfig.Type', /bogus/, 'bogus'),
  ...host('NetworkMode', /network/i, 'container:'), ...host('PortBindings', /port/, { 'x/tcp': [] }, { '80-81/tcp': [] }, { '80/tcp': [{ HostPort: '99999' }] }, { '80/tcp': [{ HostPort: 'x' }] }),
  ...host('RestartPolicy', /restart policy/, { Name: 'sometimes' }, { Name: 'always', MaximumRetryCount: 2 }), ...host('RestartPolicy', /retry count/, { Name: 'on-failure', MaximumRetryCount: -1 }),
  ...host('CapAdd', /CapAdd/, ['BOGUS'], ['']), ...host('CapDrop', /CapDrop/, ['BOGUS']), ...host('CgroupnsMode', /cgroup namespace mode/, 'bogus'), ...host('ExtraHosts', /add-host/, ['a'], ['a:b'], [''], [':1.2.3.4'], ['a:1.2.3.4:5']),
  ...host('IpcMode', /IPC mode/i, 'bogus', 'container:'), ...host('PidMode', /PID mode/i, 'bogus', 'container:'), ...host('UTSMode', /UTS mode/, 'bogus'), ...host('UsernsMode', /USER mode/, 'bogus'), ...host('Links', /links/i, ['a:b:c'], ['']),
  ...host('OomScoreAdj', /oom score adj/, 1001, -1001), ...host('SecurityOpt', /security-opt/, ['bogus'], ['x=y'], ['no-new-privileges=maybe']), ...host('StorageOpt', /StorageOpt/, { size: '1G' }, { foo: 'x' }),
  ...host('Tmpfs', /mount|destination|specification/, { t: '' }, { '/': '' }), ...host('ShmSize', /SHM size/, -1), ...host('Runtime', /runtime/, 'bogus'), ...host('Isolation', /isolation/, 'hyperv'),
  ...host('Annotations', /Annotations/, { '': 'x' }), ...host('IOMaximumIOps', /IOMaximumIOps/, 1), ...host('IOMaximumBandwidth', /IOMaximumBandwidth/, 1), ...host('Memory', /memory limit/, 1, -1, 6_291_455),
  ...host('MemorySwap', /swap/, 1e8), ...host('MemorySwappiness', /swappiness/, 101, -2), ...host('MemoryReservation', /reservation/, 1), ...host('NanoCpus', /CPUs/, -1, 1e15), ...host('CpuPeriod', /period/, 1, 2e6), ...host('CpuQuota', /quota/, 1),
  ...host('CpusetCpus', /cpuset|CPUs/, 'x', '1-0', '9999', '0,,1'), ...host('CpusetMems', /cpuset|memory nodes/, 'x', '999'),
  ...host('Mounts', /mount/, [{}], [{ Type: 'bogus', Target: '/x' }], [{ Type: 'bind', Target: '/x' }], [{ Type: 'bind', Source: '/tmp' }], [{ Type: 'bind', Source: '/no/such/folder', Target: '/x' }], [{ Type: 'tmpfs' }], [{ Type: 'tmpfs', Source: '/x', Target: '/y' }], [{ Type: 'tmpfs', Target: 'rel' }]),
  ...bad('NetworkingConfig.EndpointsConfig', /none/, { none: null }), ...bad('NetworkingConfig.EndpointsConfig', /host network/, { none: {}, host: {} }),
  ...bad('NetworkingConfig.EndpointsConfig.none.IPAMConfig.IPv4Address', /IPv4 address/, 'x', '::1'), ...bad('NetworkingConfig.EndpointsConfig.none.IPAMConfig.IPv6Address', /IPv6 address/, 'x', '1.2.3.4'), ...bad('NetworkingConfig.EndpointsConfig.none.MacAddress', /MacAddress/, 'zz'),
  { path: 'HostConfig', value: { AutoRemove: true, RestartPolicy: { Name: 'always' } }, names: /AutoRemove/ }, { path: 'HostConfig', value: { Memory: 1e8, MemorySwap: 1e7 }, names: /memoryswap/ }, { path: 'HostConfig', value: { Memory: 1e8, MemoryReservation: 2e8 }, names: /reservation/ },
  { path: 'HostConfig', value: { NanoCpus: 1e9, CpuQuota: 5000 }, names: /Nano CPUs/ }, { path: 'HostConfig', value: { NanoCpus: 1e9, CpuPeriod: 5000 }, names: /Nano CPUs/ }, { path: 'HostConfig', value: { NetworkMode: 'default', PublishAllPorts: true }, names: /ports/ },
];
