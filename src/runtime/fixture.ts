// For tests: a container's record as Docker fills it in, and a rootfs that holds nothing but busybox.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import type { ContainerConfig, HostConfig } from '../wire/types.ts';
import type { BundleInput } from './index.ts';
import { ALL_CAPABILITIES } from './capabilities.ts';
import type { Machine } from './machine.ts';
import { NO_SECURITY } from './security.ts';

export const CONFIG: ContainerConfig = {
  Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: true, AttachStderr: true, Tty: false, OpenStdin: false, StdinOnce: false,
  Env: null, Cmd: null, Image: '', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: null,
};

export const HOST_CONFIG: HostConfig = {
  Binds: null, ContainerIDFile: '', LogConfig: { Type: 'json-file', Config: null }, NetworkMode: 'none', PortBindings: null, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
  AutoRemove: false, VolumeDriver: '', VolumesFrom: null, ConsoleSize: [0, 0], CapAdd: null, CapDrop: null, CgroupnsMode: 'host', Dns: [], DnsOptions: [], DnsSearch: [],
  ExtraHosts: null, GroupAdd: null, IpcMode: 'private', Cgroup: '', Links: null, OomScoreAdj: 0, PidMode: '', Privileged: false, PublishAllPorts: false,
  ReadonlyRootfs: false, SecurityOpt: null, UTSMode: '', UsernsMode: '', ShmSize: 67108864, Runtime: 'runc', Isolation: '', CpuShares: 0, Memory: 0, NanoCpus: 0,
  CgroupParent: '', BlkioWeight: 0, BlkioWeightDevice: null, BlkioDeviceReadBps: null, BlkioDeviceWriteBps: null, BlkioDeviceReadIOps: null, BlkioDeviceWriteIOps: null,
  CpuPeriod: 0, CpuQuota: 0, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', Devices: null, DeviceCgroupRules: null, DeviceRequests: null,
  MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: null, OomKillDisable: false, PidsLimit: null, Ulimits: null,
  CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0, MaskedPaths: null, ReadonlyPaths: null,
};

export interface Changes { id?: string; rootfs?: string; argv?: readonly string[]; config?: Partial<ContainerConfig>; host?: Partial<HostConfig>; rest?: Partial<BundleInput> }

export function bundleInput(changes: Changes = {}): BundleInput {
  const id = changes.id ?? 'c1';
  return {
    id, config: { ...CONFIG, ...changes.config }, hostConfig: { ...HOST_CONFIG, ...changes.host }, argv: changes.argv ?? ['sh'], rootfs: changes.rootfs ?? '/rootfs',
    hostname: 'box', mounts: [], cgroupPath: `/vaquita-test/${id}`, joinNamespaces: {}, security: NO_SECURITY, ...changes.rest,
  };
}

/** A machine that has everything. */
export const MACHINE: Machine = {
  arch: 'x64', kernel: '6.1.0-18-amd64', capabilities: new Set(ALL_CAPABILITIES),
  layout: { mode: 'v1', controllers: ['cpu', 'cpuset', 'memory', 'pids', 'blkio', 'devices', 'freezer'], unifiedPath: undefined, strayControllers: [] },
  controllerPaths: { memory: '/cg/memory', cpu: '/cg/cpu', blkio: '/cg/blkio' },
  seccomp: true, limits: { nofile: { hard: 4096 } }, oomScoreAdj: 0, exists: () => true, findProgram: (name) => `/usr/bin/${name}`, apparmor: false, selinuxContexts: undefined, read: () => '',
};

export const PASSWD = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:an app:/home/app:/bin/sh\n# app2:x:7:7::/:\nodd:x:notanumber:1::/:\n';
export const GROUP = 'root:x:0:\nwheel:x:10:root,app\napps:x:1001:\naudio:x:29:app\n';

export function makeRootfs(dir: string): void {
  for (const name of ['bin', 'etc', 'dev', 'proc', 'sys', 'tmp']) mkdirSync(`${dir}/${name}`, { recursive: true });
  copyFileSync('/bin/busybox', `${dir}/bin/busybox`);
  execFileSync('chroot', [dir, '/bin/busybox', '--install', '-s', '/bin']);
  writeFileSync(`${dir}/etc/passwd`, PASSWD);
  writeFileSync(`${dir}/etc/group`, GROUP);
}
