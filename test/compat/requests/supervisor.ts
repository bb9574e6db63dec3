// Bodies as balena-supervisor sends them, and what it compares in inspect: a field that comes back otherwise makes it create anew for ever.
import type { CreateBody } from '../../../src/wire/types.ts';

/** A service without any wish of its own. */
export const PLAIN_SERVICE: CreateBody = serviceBody({}, {});

/** A service with a wish in every field. */
export const FULL_SERVICE: CreateBody = serviceBody({
  Tty: true, Cmd: ['sleep', '1000'], Entrypoint: ['/bin/sh', '-c'], Env: ['A=1', 'BALENA_APP_ID=12', 'EMPTY='], ExposedPorts: { '80/tcp': {}, '53/udp': {} }, Labels: { 'io.balena.supervised': 'true', 'io.balena.app-id': '12' }, StopSignal: 'SIGINT',
  Domainname: 'example.org', Hostname: 'device', User: '1000:1000', WorkingDir: '/usr/src/app', Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 30e9, Timeout: 5e9, StartPeriod: 1e9, Retries: 3 }, StopTimeout: 30,
}, {
  CapAdd: ['SYS_TIME', 'NET_ADMIN'], CapDrop: ['MKNOD'], Binds: ['/tmp:/host:ro'], CgroupParent: '/own', Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rwm' }], Dns: ['10.114.102.1'], DnsOptions: ['ndots:2'],
  DnsSearch: ['example.org'], PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] }, ExtraHosts: ['far:192.0.2.7'], GroupAdd: ['audio'], PidMode: '', PidsLimit: 100, SecurityOpt: ['no-new-privileges'], Sysctls: { 'net.core.somaxconn': '512' },
  Ulimits: [{ Name: 'nofile', Hard: 2048, Soft: 1024 }], RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 5 }, CpuShares: 512, CpuQuota: 50_000, CpusetCpus: '0', Memory: 64 << 20, MemoryReservation: 32 << 20, OomKillDisable: false, OomScoreAdj: 100,
  ReadonlyRootfs: true, ShmSize: 32 << 20, Tmpfs: { '/run': '' }, UsernsMode: '', IpcMode: 'shareable', Init: true,
});

/** What it expects of a service that wishes nothing. */
export const PLAIN_DEFAULTS: Readonly<Record<string, unknown>> = {
  'HostConfig.Memory': 0, 'HostConfig.MemoryReservation': 0, 'HostConfig.CpuShares': 0, 'HostConfig.CpuQuota': 0, 'HostConfig.OomScoreAdj': 0, 'HostConfig.PidsLimit': null, 'HostConfig.ShmSize': 64 << 20, 'HostConfig.IpcMode': 'shareable',
  'HostConfig.CgroupParent': '', 'HostConfig.CpusetCpus': '', 'HostConfig.UsernsMode': '', 'HostConfig.PidMode': '', 'HostConfig.SecurityOpt': [], 'HostConfig.NanoCpus': 0, 'HostConfig.OomKillDisable': false, 'Config.StopSignal': 'SIGTERM', 'Config.StopTimeout': 10,
};

function serviceBody(config: Partial<CreateBody>, host: NonNullable<CreateBody['HostConfig']>): CreateBody {
  return {
    Tty: false, Cmd: ['true'], Volumes: {}, Env: [], ExposedPorts: {}, Image: 'IMAGE', Labels: {}, NetworkingConfig: { EndpointsConfig: {} }, StopSignal: 'SIGTERM', Domainname: '', Hostname: '', MacAddress: '', User: '', WorkingDir: '', StopTimeout: 10, ...config,
    HostConfig: {
      CapAdd: [], CapDrop: [], Binds: [], Mounts: [], CgroupParent: '', Devices: [], DeviceRequests: [], Dns: [], DnsOptions: [], DnsSearch: [], PortBindings: {}, ExtraHosts: [], GroupAdd: [], NetworkMode: 'none', PidMode: '', PidsLimit: 0, SecurityOpt: [], Sysctls: {},
      Ulimits: [], RestartPolicy: { Name: 'always', MaximumRetryCount: 0 }, CpuShares: 0, CpuQuota: 0, CpusetCpus: '', Memory: 0, MemoryReservation: 0, OomKillDisable: false, OomScoreAdj: 0, Privileged: false, ReadonlyRootfs: false, ShmSize: 64 << 20, Tmpfs: {}, UsernsMode: '',
      NanoCpus: 0, IpcMode: 'shareable', ...host,
    },
  };
}
