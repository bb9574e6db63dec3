// Devices of a container: nodes to make and the cgroup's rules about them.
import { lstatSync, readdirSync, realpathSync, statSync, type Stats } from 'node:fs';
import { EngineError, errnoOf, invalid } from '../lib/errors.ts';
import type { HostConfig } from '../wire/types.ts';

export interface DeviceNode { path: string; type: 'c' | 'b'; major: number; minor: number; fileMode: number; uid: number; gid: number }
export interface DeviceRule { allow: boolean; type?: 'a' | 'b' | 'c'; major?: number; minor?: number; access: string }
export interface DevicePlan { nodes: DeviceNode[]; rules: DeviceRule[] }

/** Nothing but making nodes, the harmless memory devices, terminals and tunnels. */
export const DEFAULT_RULES: readonly DeviceRule[] = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...[3, 5, 7, 8, 9].map((minor): DeviceRule => ({ allow: true, type: 'c', major: 1, minor, access: 'rwm' })), // null zero full random urandom
  ...[0, 1, 2].map((minor): DeviceRule => ({ allow: true, type: 'c', major: 5, minor, access: 'rwm' })), // tty console ptmx
  { allow: true, type: 'c', major: 136, access: 'rwm' }, // pts
  { allow: true, type: 'c', major: 10, minor: 200, access: 'rwm' }, // net/tun: a VPN in a container makes its node itself, as it may with runc
];

/** A host with more nodes than this in /dev is no host that we know. */
const MAX_NODES = 4096;

export function devicesOf(host: HostConfig): DevicePlan {
  if (host.Privileged) return { nodes: hostDevices('/dev'), rules: [{ allow: true, access: 'rwm' }] };
  const plan: DevicePlan = { nodes: [], rules: [...DEFAULT_RULES] };
  for (const device of host.Devices ?? []) {
    const target = device.PathInContainer === '' ? device.PathOnHost : device.PathInContainer;
    const access = device.CgroupPermissions === '' ? 'rwm' : device.CgroupPermissions;
    for (const node of mapped(device.PathOnHost, target)) {
      plan.nodes.push(node);
      plan.rules.push({ allow: true, type: node.type, major: node.major, minor: node.minor, access });
    }
  }
  for (const rule of host.DeviceCgroupRules ?? []) plan.rules.push(parseRule(rule));
  return plan;
}

/** "c 1:3 mr", with * for any number. */
export function parseRule(text: string): DeviceRule {
  const match = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/.exec(text);
  if (!match) throw invalid(`invalid device cgroup rule format: '${text}'`);
  const [, type, major, minor, access = ''] = match;
  return {
    allow: true, type: type as 'a' | 'b' | 'c',
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access,
  };
}

/** One device, or every one below a directory. */
function mapped(source: string, target: string): DeviceNode[] {
  try {
    if (source === '') throw Object.assign(new Error('no path'), { code: 'ENOENT' });
    const real = realpathSync(source);
    const stat = statSync(real);
    if (!stat.isDirectory()) {
      const node = nodeOf(target, stat);
      if (!node) throw noDevice(source);
      return [node];
    }
    const below = hostDevices(real);
    if (below.length === 0) throw noDevice(source);
    return below.map((node) => ({ ...node, path: target + node.path.slice(real.length) }));
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') throw new EngineError('system', `error gathering device information while adding custom device "${source}": no such file or directory`, { cause });
    throw cause;
  }
}

const noDevice = (source: string) => new EngineError('system', `error gathering device information while adding custom device "${source}": not a device node`);

/** Every device of the host below `dir`, but for what a container has of its own. */
function hostDevices(dir: string): DeviceNode[] {
  const nodes: DeviceNode[] = [];
  const waiting = [dir];
  for (let next = waiting.pop(); next !== undefined && nodes.length < MAX_NODES; next = waiting.pop()) {
    for (const name of readdirSync(next).toSorted()) {
      const path = `${next}/${name}`;
      if (['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev'].includes(name) || path === '/dev/console') continue;
      const stat = lstatSync(path, { throwIfNoEntry: false }); // a device may be unplugged while we look
      if (stat?.isDirectory()) waiting.push(path);
      const node = stat && nodeOf(path, stat);
      if (node) nodes.push(node);
    }
  }
  return nodes;
}

function nodeOf(path: string, stat: Stats): DeviceNode | undefined {
  if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return undefined;
  return { path, type: stat.isBlockDevice() ? 'b' : 'c', ...splitDevice(stat.rdev), fileMode: stat.mode & 0o777, uid: stat.uid, gid: stat.gid };
}

/** The parts of a device number as the C library lays them out: minor 0-7 and 20-31, major 8-19. */
export function splitDevice(rdev: number): { major: number; minor: number } {
  return { major: Math.floor(rdev / 256) & 0xfff, minor: (rdev & 0xff) | ((Math.floor(rdev / 4096)) & 0xfff00) };
}
