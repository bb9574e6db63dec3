// A container's record and image config become the OCI config.json that crun is given, with Docker's defaults.
import { EngineError, invalid } from '../lib/errors.ts';
import type { HostConfig } from '../wire/types.ts';
import { capabilitySets, decideCapabilities } from './capabilities.ts';
import { devicesOf } from './devices.ts';
import { hiddenPaths, mountsOf, rootPropagation, type OciMount } from './filesystem.ts';
import type { BundleInput, OciSpec } from './index.ts';
import { oomScoreOf, rlimitsOf } from './limits.ts';
import type { Machine } from './machine.ts';
import { resourcesOf, supportOf } from './resources.ts';
import { defaultProfile, parseProfile, type Profile } from './seccomp.ts';
import { isKnown, resolveUser, type UserFiles } from './users.ts';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const INIT_PATH = '/sbin/docker-init';

export interface Built {
  spec: OciSpec;
  /** What was asked for and this machine cannot give: the start goes on without it. */
  notes: string[];
}

export function buildSpec(input: BundleInput, users: UserFiles, machine: Machine): Built {
  const { config, hostConfig: host } = input;
  const notes: string[] = [];
  const security = parseSecurity(host.SecurityOpt ?? []);
  const devices = devicesOf(host);
  const init = initOf(host, machine);
  if ((host.DeviceRequests ?? []).length > 0) throw deviceDriverMissing(host);
  const user = resolveUser(config.User, users, host.GroupAdd ?? []);
  const wish = { add: host.CapAdd, drop: host.CapDrop, privileged: host.Privileged };
  const capabilities = decideCapabilities(wish, machine.capabilities);
  if (capabilities.withheld.length > 0) notes.push(`capabilities that this machine lacks were left out: ${capabilities.withheld.join(', ')}`);
  const process = {
    terminal: config.Tty,
    ...(config.Tty && host.ConsoleSize[0] > 0 ? { consoleSize: { height: host.ConsoleSize[0], width: host.ConsoleSize[1] } } : {}),
    user,
    args: init ? [INIT_PATH, '--', ...input.argv] : [...input.argv],
    env: withHome(environmentOf(input), user.uid, users),
    cwd: config.WorkingDir === '' ? '/' : config.WorkingDir,
    capabilities: capabilitySets(capabilities.granted, user.uid),
    rlimits: rlimitsOf(host.Ulimits, machine, notes),
    noNewPrivileges: security.noNewPrivileges,
    oomScoreAdj: oomScoreOf(host.OomScoreAdj, machine, notes),
  };
  const linux = {
    namespaces: namespacesOf(input, machine),
    cgroupsPath: input.cgroupPath,
    resources: resourcesOf(host, devices.rules, supportOf(machine, notes)),
    devices: devices.nodes,
    sysctl: sysctlsOf(input, machine),
    rootfsPropagation: rootPropagation(input.mounts),
    ...hiddenPaths(host),
    ...seccompOf(security.seccomp, { host, machine, granted: capabilities.granted }),
  };
  const spec = {
    ociVersion: '1.0.2', process, root: { path: input.rootfs, readonly: host.ReadonlyRootfs },
    ...(host.UTSMode === 'host' ? {} : { hostname: input.hostname }),
    mounts: [...mountsOf(host, input.mounts), ...(init ? [init] : [])],
    ...(host.Annotations && Object.keys(host.Annotations).length > 0 ? { annotations: host.Annotations } : {}),
    linux,
  };
  return { spec, notes };
}

/** Docker's order: PATH, HOSTNAME, TERM, then the container's own, which replace those of the same name in place. */
function environmentOf(input: BundleInput): string[] {
  const base = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${input.hostname}`, ...(input.config.Tty ? ['TERM=xterm'] : [])];
  return mergeEnv(base, input.config.Env ?? []);
}

/** crun takes HOME from passwd, and leaves it out for a user that is not there; programs rely on having one. */
export function withHome(env: readonly string[], uid: number, users: UserFiles): string[] {
  return isKnown(uid, users) || env.some((entry) => entry.startsWith('HOME=')) ? [...env] : [...env, 'HOME=/'];
}

/** `over` wins; a name without '=' takes a variable away. */
export function mergeEnv(base: readonly string[], over: readonly string[]): string[] {
  const merged = new Map(base.map((entry) => [nameOf(entry), entry]));
  for (const entry of over) {
    if (entry.includes('=')) merged.set(nameOf(entry), entry);
    else merged.delete(entry);
  }
  return [...merged.values()];
}

function nameOf(entry: string): string {
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

function namespacesOf(input: BundleInput, machine: Machine): Array<{ type: string; path?: string }> {
  const { hostConfig: host, joinNamespaces: join } = input;
  const one = (type: 'network' | 'ipc' | 'pid' | 'uts', mode: string) => {
    if (mode === 'host') return [];
    const path = join[type];
    if (path === undefined && mode.startsWith('container:')) throw invalid(`container ${input.id} joins the ${type} namespace of ${mode.slice(10)}, but no path was given`);
    return [path === undefined ? { type } : { type, path }];
  };
  // Docker's defaults: own cgroup namespace on v2, the host's on v1 and for privileged containers.
  const cgroupMode = host.CgroupnsMode !== '' ? host.CgroupnsMode : machine.layout.mode === 'v2' && !host.Privileged ? 'private' : 'host';
  return [
    { type: 'mount' }, ...one('network', host.NetworkMode), ...one('uts', host.UTSMode), ...one('pid', host.PidMode), ...one('ipc', host.IpcMode),
    ...(cgroupMode === 'private' && machine.exists('/proc/self/ns/cgroup') ? [{ type: 'cgroup' }] : []),
  ];
}

/** Ping sockets and low ports for everyone, as Docker does where the network is the container's own. */
function sysctlsOf(input: BundleInput, machine: Machine): Record<string, string> {
  const { hostConfig: host, config } = input;
  const sysctls: Record<string, string> = {};
  if (config.Domainname !== '') sysctls['kernel.domainname'] = config.Domainname;
  const shared = host.NetworkMode === 'host' || host.NetworkMode.startsWith('container:');
  const offered = { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' };
  for (const [name, value] of Object.entries(offered)) {
    if (!shared && machine.exists(`/proc/sys/${name.replaceAll('.', '/')}`)) sysctls[name] = value;
  }
  return { ...sysctls, ...host.Sysctls };
}

interface Security { noNewPrivileges: boolean; seccomp: string }

/** "key=value", in old clients "key:value". */
function parseSecurity(options: readonly string[]): Security {
  const security: Security = { noNewPrivileges: false, seccomp: '' };
  for (const option of options) {
    const match = /^([a-z-]+)(?:[=:]([\s\S]*))?$/.exec(option);
    const [, key, value = ''] = match ?? [];
    switch (key) {
      case 'no-new-privileges': security.noNewPrivileges = value === '' || value === 'true' || value === '1'; break;
      case 'seccomp': security.seccomp = value; break;
      // Neither of these guards this kernel for us; asking for what is so anyway is no error.
      case 'apparmor': case 'label': case 'systempaths': case 'writable-cgroups': break;
      default: throw invalid(`invalid --security-opt 2: "${option}"`);
    }
  }
  return security;
}

function seccompOf(wanted: string, given: { host: HostConfig; machine: Machine; granted: readonly string[] }): { seccomp?: Profile } {
  if (!given.machine.seccomp || wanted === 'unconfined') return {};
  if (wanted !== '' && wanted !== 'builtin') return { seccomp: parseProfile(wanted, given.machine.arch, given.granted) };
  return given.host.Privileged ? {} : { seccomp: defaultProfile(given.machine.arch, given.granted) };
}

function initOf(host: HostConfig, machine: Machine): OciMount | undefined {
  if (host.Init !== true || (host.PidMode !== '' && host.PidMode !== 'private')) return undefined;
  const source = ['docker-init', 'tini-static', 'tini'].map((name) => machine.findProgram(name)).find((path) => path !== undefined);
  if (source === undefined) throw new EngineError('system', 'failed to find docker-init or tini on this machine: install one, or run without --init');
  return { destination: INIT_PATH, type: 'bind', source, options: ['bind', 'ro'] };
}

function deviceDriverMissing(host: HostConfig): EngineError {
  const [first] = host.DeviceRequests ?? [];
  const sets = (first?.Capabilities ?? []).map((set) => `[${set.join(' ')}]`).join(' ');
  return new EngineError('system', `could not select device driver "${first?.Driver ?? ''}" with capabilities: [${sets}]`);
}
