// A container's record and image config become the OCI config.json that crun is given, with Docker's defaults.
import { EngineError, invalid } from '../lib/errors.ts';
import type { HostConfig } from '../wire/types.ts';
import { capabilitySets, decideCapabilities } from './capabilities.ts';
import { devicesOf } from './devices.ts';
import { hiddenPaths, mountsOf, rootPropagation, type OciMount } from './filesystem.ts';
import type { IdRange } from '../lib/ids.ts';
import { DEFAULT_PROFILE } from './apparmor.ts';
import type { BundleInput, BundleSettings, OciSpec } from './index.ts';
import { oomScoreOf, rlimitsOf } from './limits.ts';
import type { Machine } from './machine.ts';
import { abilitiesOf } from './abilities.ts';
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

/** Of a daemon that was told nothing. */
export const NO_SETTINGS: BundleSettings = { noNewPrivileges: false, seccompProfile: '', seccompName: 'builtin', selinux: false, init: false, initPath: '' };

export function buildSpec(input: BundleInput & { settings?: BundleSettings }, users: UserFiles, machine: Machine): Built {
  const { config, hostConfig: host, security, settings = NO_SETTINGS } = input;
  const notes: string[] = [];
  const devices = devicesOf(host);
  const init = initOf(host, machine, settings);
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
    ...(machine.apparmor ? { apparmorProfile: security.apparmorProfile || (host.Privileged ? 'unconfined' : DEFAULT_PROFILE) } : {}),
    ...(security.processLabel === '' ? {} : { selinuxLabel: security.processLabel }),
    oomScoreAdj: oomScoreOf(host.OomScoreAdj, machine, notes),
  };
  const linux = {
    namespaces: namespacesOf(input, machine),
    cgroupsPath: input.cgroupPath,
    resources: resourcesOf(host, devices.rules, supportOf(abilitiesOf(machine), notes)),
    devices: devices.nodes,
    sysctl: sysctlsOf(input, machine),
    rootfsPropagation: rootPropagation(input.mounts),
    ...hiddenPaths(host),
    ...(input.idMap ? { uidMappings: mappingsOf(input.idMap.uids), gidMappings: mappingsOf(input.idMap.gids) } : {}),
    ...(security.mountLabel === '' ? {} : { mountLabel: security.mountLabel }),
    ...seccompOf(security.seccompProfile || (host.Privileged ? 'unconfined' : settings.seccompProfile), { machine, granted: capabilities.granted }),
  };
  const spec = {
    ociVersion: '1.0.2', process, root: { path: input.rootfs, readonly: host.ReadonlyRootfs },
    ...(host.UTSMode === 'host' ? {} : { hostname: input.hostname }),
    mounts: [...mountsOf(host, input), ...(init ? [init] : [])],
    ...annotationsOf(input),
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
  const user = join.user === undefined ? { type: 'user' } : { type: 'user', path: join.user };
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
    ...(input.idMap ? [user] : []),
    ...(cgroupMode === 'private' && machine.exists('/proc/self/ns/cgroup') ? [{ type: 'cgroup' }] : []),
  ];
}

/** systemd's cgroups are "slice:prefix:name"; crun would put the container one level below its scope, where Docker's clients do not look. */
function annotationsOf({ hostConfig, cgroupPath }: BundleInput): { annotations?: Record<string, string> } {
  const annotations = { ...hostConfig.Annotations, ...(cgroupPath.includes(':') ? { 'run.oci.systemd.subgroup': '' } : {}) };
  return Object.keys(annotations).length > 0 ? { annotations } : {};
}

/** Ping sockets and low ports for everyone, as Docker does where the network is the container's own. */
function sysctlsOf(input: BundleInput, machine: Machine): Record<string, string> {
  const { hostConfig: host, config } = input;
  const sysctls: Record<string, string> = {};
  if (config.Domainname !== '') sysctls['kernel.domainname'] = config.Domainname;
  const shared = host.NetworkMode === 'host' || host.NetworkMode.startsWith('container:');
  // A group that has no number outside cannot be in the range.
  const offered = { 'net.ipv4.ip_unprivileged_port_start': '0', ...(input.idMap ? {} : { 'net.ipv4.ping_group_range': '0 2147483647' }) };
  for (const [name, value] of Object.entries(offered)) {
    if (!shared && machine.exists(`/proc/sys/${name.replaceAll('.', '/')}`)) sysctls[name] = value;
  }
  return { ...sysctls, ...host.Sysctls };
}

const mappingsOf = (ranges: readonly IdRange[]) => ranges.map(({ containerId: containerID, hostId: hostID, size }) => ({ containerID, hostID, size }));

function seccompOf(wanted: string, { machine, granted }: { machine: Machine; granted: readonly string[] }): { seccomp?: Profile } {
  if (wanted === 'unconfined') return {};
  const own = wanted === '' || wanted === 'builtin';
  if (!machine.seccomp && !own) throw new EngineError('system', 'seccomp is not enabled in your kernel, cannot run a custom seccomp profile');
  if (!machine.seccomp) return {};
  const profile = own ? defaultProfile(machine.arch, granted) : parseProfile(wanted, { arch: machine.arch, kernel: machine.kernel, capabilities: granted });
  return profile === undefined ? {} : { seccomp: profile };
}

function initOf(host: HostConfig, machine: Machine, { init, initPath }: BundleSettings): OciMount | undefined {
  if (!(host.Init ?? init) || (host.PidMode !== '' && host.PidMode !== 'private')) return undefined;
  const names = initPath === '' ? ['docker-init', 'tini-static', 'tini'] : [initPath];
  const source = names.map((name) => machine.findProgram(name)).find((path) => path !== undefined);
  if (source === undefined) throw new EngineError('system', `exec: ${JSON.stringify(initPath || 'docker-init')}: ${initPath.includes('/') ? `stat ${initPath}: no such file or directory` : 'executable file not found in $PATH'}`);
  return { destination: INIT_PATH, type: 'bind', source, options: ['bind', 'ro'] };
}

function deviceDriverMissing(host: HostConfig): EngineError {
  const [first] = host.DeviceRequests ?? [];
  const sets = (first?.Capabilities ?? []).map((set) => `[${set.join(' ')}]`).join(' ');
  return new EngineError('system', `could not select device driver "${first?.Driver ?? ''}" with capabilities: [${sets}]`);
}
