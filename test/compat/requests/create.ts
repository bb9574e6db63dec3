// Create bodies, field by field: what dockerd takes, refuses, warns of and shows.
import { differs, type CreateRow } from './rows.ts';

const configs: readonly CreateRow[] = [
  {}, { version: '1.24' }, { version: '1.40' }, { config: { Hostname: 'a_b' } }, { config: { Hostname: 'a.b.c', Domainname: 'z' } }, { config: { Domainname: 'ex.com' } }, { config: { User: '1:2:3' } },
  { config: { ExposedPorts: { '80/tcp': {}, '90-92/udp': {} } } }, { config: { ExposedPorts: { 'x/tcp': {} } } }, { config: { Env: ['A'] } }, { config: { Env: ['A=1', 'A=2', 'B='] } }, { config: { Env: ['=x'] } }, { config: { Env: [''] } },
  { config: { Cmd: null, Image: 'FULLIMAGE' } }, { config: { Cmd: [], Image: 'FULLIMAGE' } }, { config: { Cmd: ['x'], Image: 'FULLIMAGE' } }, { config: { Cmd: 'echo hi' } }, { config: { Entrypoint: 'echo' } },
  { config: { Entrypoint: [], Image: 'FULLIMAGE' } }, { config: { Entrypoint: [''], Image: 'FULLIMAGE' } }, { config: { Entrypoint: ['a'], Cmd: null, Image: 'FULLIMAGE' } }, { config: { Entrypoint: null, Cmd: null, Image: 'FULLIMAGE' } },
  { config: { Env: ['GREETING', 'PATH=/x'], Labels: { from: 'me', own: '' }, WorkingDir: '/own', User: '0', StopSignal: 'SIGINT', Image: 'FULLIMAGE' } },
  { config: { WorkingDir: 'rel' } }, { config: { WorkingDir: '/a/../b//c/' } }, { config: { WorkingDir: '/' } }, { config: { Labels: { '': 'x', b: '2', a: '1' } } }, { config: { Labels: null } },
  { config: { StopSignal: 'BAD' } }, { config: { StopSignal: 'TERM' } }, { config: { StopSignal: '15' } }, { config: { StopSignal: 'SIGRTMIN+3' } }, { config: { StopSignal: 'sigterm' } },
  { config: { StopSignal: '99' }, differs: differs.refusedHere('no signal has this number, so no stop would ever work') },
  { config: { StopTimeout: -5 } }, { config: { StopTimeout: 0 } }, { config: { Shell: ['x'] } }, { config: { Shell: [] } }, { config: { ArgsEscaped: true } }, { config: { OnBuild: ['RUN x'] } }, { config: { OnBuild: [] } },
  { config: { NetworkDisabled: true } }, { config: { MacAddress: '02:42:ac:11:00:02' } }, { config: { MacAddress: 'zz' }, differs: differs.refusedHere('no interface could ever have it') },
  { config: { Tty: true, OpenStdin: true, StdinOnce: true } }, { config: { AttachStdin: true, AttachStdout: true, AttachStderr: true } },
  { config: { Healthcheck: {} } }, { config: { Healthcheck: { Test: [] } } }, { config: { Healthcheck: { Test: ['NONE'] } } }, { config: { Healthcheck: { Test: ['CMD-SHELL', 'a'], Interval: 1e9, Timeout: 2e9, StartPeriod: 3e9, Retries: 4 } } },
  { config: { Healthcheck: { Test: ['CMD', 'x'], Interval: 1 } } }, { config: { Healthcheck: { Interval: -1 } } }, { config: { Healthcheck: { Timeout: 5 } } }, { config: { Healthcheck: { StartPeriod: 5 } } },
  { config: { Healthcheck: { Retries: -1 } } }, { config: { Healthcheck: { Interval: 1e6, Test: ['CMD', 'x'] } } }, { config: { Healthcheck: { StartInterval: 5 } } }, { config: { Healthcheck: null } },
  { config: { Image: '' }, differs: differs.refusedHere('a container without an image has nothing to run') }, { config: { Image: 'nosuch' } }, { config: { Image: 'BAD!!' } }, { config: { Image: 'a:b:c' } },
  { config: { Image: `sha256:${'a'.repeat(64)}` } }, { config: { Image: `nosuch@sha256:${'a'.repeat(64)}` } },
  { config: { Hostname: 1 }, differs: differs.go }, { config: { Env: 'A=1' }, differs: differs.go }, { config: { Cmd: [1] }, differs: differs.go }, { config: { Labels: ['a'] }, differs: differs.go }, { config: { Healthcheck: { Retries: 1.5 } }, differs: differs.go },
];

const names: readonly CreateRow[] = [
  { name: 'a' }, { name: '_x' }, { name: '-a' }, { name: 'a b' }, { name: 'a/b' }, { name: 'é' }, { name: '//ab3' }, { name: 'x'.repeat(300) }, { name: 'good.name-1_x' }, { name: '/slash' }, { name: 'BASE' },
  { query: 'platform=linux/amd64' }, { query: 'platform=linux' }, { query: 'platform=' }, { query: 'platform=linux/arm64' }, { query: 'platform=windows' }, { query: 'platform=linux/arm64', version: '1.40' },
  { query: 'platform=bogus', differs: differs.words('says which part is wrong') }, { query: 'platform=a/b/c/d', differs: differs.words('says which part is wrong') },
];

const policies: readonly CreateRow[] = [
  { host: { RestartPolicy: { Name: 'no' } } }, { host: { RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } } }, { host: { RestartPolicy: { Name: 'no', MaximumRetryCount: 3 } } },
  { host: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: -1 } } }, { host: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 5 } } }, { host: { RestartPolicy: { Name: 'unless-stopped' } } },
  { host: { RestartPolicy: {} }, differs: differs.fields('Docker since 25 writes the default policy out', 'HostConfig.RestartPolicy.Name') },
  { host: { RestartPolicy: { MaximumRetryCount: 3 } }, differs: differs.fields('a count without a policy means nothing; Docker since 25 writes the default policy out', 'HostConfig.RestartPolicy.Name', 'HostConfig.RestartPolicy.MaximumRetryCount') },
  { host: { RestartPolicy: { Name: 'bogus' } }, differs: differs.words('names those there are, as Docker does since 25') },
  { host: { AutoRemove: true } }, { host: { AutoRemove: true, RestartPolicy: { Name: 'always' } } },
  { host: { Isolation: 'default' } }, { host: { Isolation: 'hyperv' }, differs: differs.status('it is the request that is wrong, not the engine') },
  { host: { IOMaximumIOps: 1 }, differs: differs.status('it is the request that is wrong, not the engine') }, { host: { IOMaximumBandwidth: 1 }, differs: differs.status('it is the request that is wrong, not the engine') },
  { host: { CpuCount: 1 } }, { host: { CpuPercent: 5 } }, { host: { StorageOpt: {} } }, { host: { StorageOpt: { size: '10G' } }, differs: differs.status('it is the request that is wrong, not the engine') },
  { host: { StorageOpt: { foo: 'x' } }, differs: differs.status('it is the request that is wrong, not the engine') }, { host: { ContainerIDFile: '/x' } }, { host: { Cgroup: 'x' } }, { host: { VolumeDriver: 'local' } },
  { host: { ConsoleSize: [10, 20] } }, { host: { ConsoleSize: [1] } }, { host: { ConsoleSize: [1, 2, 3] } }, { host: { ConsoleSize: [-1, 2] }, differs: differs.go },
  { host: { Annotations: { a: 'b' } } }, { host: { Init: true } }, { host: { Init: false } }, { host: { Init: null } }, { host: { MaskedPaths: [] } }, { host: { MaskedPaths: ['/x'] } }, { host: { ReadonlyPaths: [] } },
  { host: { Sysctls: {} } }, { host: { Tmpfs: {} } }, { host: { Mounts: [] } }, { host: { Mounts: null } }, { host: { Binds: [] } }, { host: { GroupAdd: ['x'] } }, { host: { CapAdd: [] } }, { host: { CapAdd: 'NET_ADMIN' } }, { host: { SecurityOpt: [] } },
  { host: { LogConfig: {} } }, { host: { LogConfig: { Type: 'json-file', Config: null } } }, { host: { ReadonlyRootfs: true } }, { host: { PidsLimit: -1 } }, { host: { PidsLimit: 0 } }, { host: { UTSMode: 'host' } },
  { host: { NanoCpus: '1' }, differs: differs.go }, { host: { Privileged: 1 }, differs: differs.go }, { host: { Ulimits: [{ Name: 'nofile', Soft: '1' }] }, differs: differs.go }, { host: { PortBindings: [] }, differs: differs.go },
  { host: { BlkioWeight: 65_536 }, differs: differs.go }, { host: { BlkioDeviceReadBps: [{ Path: '/dev/null', Rate: -1 }] }, differs: differs.go },
];

const addresses: readonly CreateRow[] = [
  { host: { Dns: ['1.2.3.4'] } }, { host: { Dns: ['x'] } }, { host: { Dns: [] } }, { host: { DnsOptions: ['ndots:2'] } }, { host: { DnsSearch: ['.'] } }, { host: { ExtraHosts: ['a:1.2.3.4'] } }, { host: { ExtraHosts: ['a'] } },
  { host: { ExtraHosts: ['a:b'] } }, { host: { ExtraHosts: ['a:host-gateway'] } }, { host: { ExtraHosts: ['a:::1'] } }, { host: { ExtraHosts: [':1.2.3.4'] } }, { host: { ExtraHosts: ['a:1.2.3.4:5'] } }, { host: { ExtraHosts: [''] } },
  { host: { ExtraHosts: ['a=1.2.3.4'] }, differs: differs.takenHere('Docker since 25 takes both forms') }, { host: { ExtraHosts: ['a:[::1]'] }, differs: differs.takenHere('Docker since 25 takes brackets') },
  { host: { NetworkMode: 'host' } }, { host: { NetworkMode: 'container:' } }, { host: { NetworkMode: 'container:nosuch' } }, { host: { NetworkMode: 'container:BASE' } }, { host: { NetworkMode: 'bridge' } },
  { host: { NetworkMode: 'nosuch' } }, { config: { Hostname: 'x' }, host: { NetworkMode: 'container:BASE' } }, { config: { MacAddress: '02:42:ac:11:00:02' }, host: { NetworkMode: 'container:BASE' } },
  { config: { ExposedPorts: { '80/tcp': {} } }, host: { NetworkMode: 'container:BASE' } }, { host: { NetworkMode: 'container:BASE', Dns: ['1.2.3.4'] } }, { host: { NetworkMode: 'container:BASE', DnsSearch: ['x'] } },
  { host: { NetworkMode: 'container:BASE', ExtraHosts: ['a:1.2.3.4'] } }, { host: { NetworkMode: 'container:BASE', PortBindings: { '80/tcp': [{ HostPort: '1' }] } } }, { host: { NetworkMode: 'container:BASE', Links: ['nosuch:b'] } },
  { host: { NetworkMode: 'container:BASE', PublishAllPorts: true } }, { config: { Hostname: 'x' }, host: { NetworkMode: 'host' } }, { host: { NetworkMode: 'host', Links: ['nosuch:b'] } }, { config: { MacAddress: '02:42:ac:11:00:02' }, host: { NetworkMode: 'host' } },
  { host: { NetworkMode: 'host', PublishAllPorts: true } }, { host: { NetworkMode: 'host', PortBindings: { '80/tcp': [{ HostPort: '1' }] } } }, { config: { Hostname: 'x' }, host: { UTSMode: 'host' } },
  { host: { PortBindings: {} } }, { host: { PortBindings: null } }, { host: { PortBindings: { '80/tcp': null, '81/tcp': [] } } }, { host: { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '18081' }, { HostPort: '1000-1010' }] } } },
  { host: { PortBindings: { 'x/tcp': [{ HostPort: '18081' }] } } }, { host: { PortBindings: { '80/tcp': [{ HostPort: 'abc' }] } } }, { host: { PortBindings: { '80/tcp': [{ HostPort: '99999' }] } } }, { host: { PortBindings: { '80-81/tcp': [{ HostPort: '1' }] } } },
  { host: { Links: [] } }, { host: { Links: ['nosuch:b'] } }, { host: { Links: [''] }, differs: differs.status('it is the request that is wrong, not the engine') },
  { net: {} }, { net: { EndpointsConfig: null } }, { net: { EndpointsConfig: { none: {} } } }, { net: { EndpointsConfig: { none: null } } },
  { net: { EndpointsConfig: { none: { Aliases: ['al'], IPAMConfig: { IPv4Address: '1.2.3.4' }, MacAddress: '02:42:ac:11:00:02', DriverOpts: { a: 'b' }, Links: ['x:y'] } } } }, { net: { EndpointsConfig: { none: { IPAMConfig: { IPv4Address: 'x' } } } } },
  { net: { EndpointsConfig: { nosuch: {} } } }, { net: { EndpointsConfig: { host: {} } } },
  { net: { EndpointsConfig: { none: { MacAddress: 'zz' } } }, differs: differs.refusedHere('no interface could ever have it') }, { net: [], differs: differs.go }, { net: { EndpointsConfig: { none: { Aliases: 'x' } } }, differs: differs.go },
];

export const CREATE_ROWS: readonly CreateRow[] = [...configs, ...names, ...policies, ...addresses];
