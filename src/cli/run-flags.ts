// The flags of run and create: what they are called, and what may be typed behind them.
import { flag, type FlagSpec } from './flags.ts';
import { parseGpus, parseMount } from './mount-flag.ts';
import { parseNetwork } from './network-flag.ts';
import { isIp, isSearchDomain } from '../wire/address.ts';
import { parseUlimit } from '../wire/ulimit.ts';
import { parseBytes } from '../wire/units.ts';

/** Flags that make a container; run adds those that are about watching it. */
export const containerFlags: readonly FlagSpec[] = [
  flag('add-host', 'list', 'Add a line to the container\'s hosts file (host:ip or host=ip)', { check: hostAndAddress }),
  flag('a, attach', 'list', 'Attach to STDIN, STDOUT or STDERR', { check: streamName }),
  flag('blkio-weight', 'uint16', 'Share of block I/O, 10 to 1000, or 0 for none of its own'),
  flag('blkio-weight-device', 'list-default', 'Share of block I/O on one device (device:weight)', { check: deviceWeight }),
  flag('cap-add', 'list', 'Add Linux capabilities'),
  flag('cap-drop', 'list', 'Drop Linux capabilities'),
  flag('cgroup-parent', 'string', 'Cgroup to put the container\'s under'),
  flag('cgroupns', 'string', 'Cgroup namespace: host, private, or empty for the daemon\'s choice'),
  flag('cidenv', 'string', 'Give the container its ID in this environment variable'),
  flag('cidfile', 'string', 'Write the container ID to the file'),
  flag('cpu-period', 'int', 'Period of the CPU scheduler (CFS) in microseconds'),
  flag('cpu-quota', 'int', 'CPU time per period (CFS) in microseconds'),
  flag('cpu-rt-period', 'int', 'Period of the real-time scheduler in microseconds'),
  flag('cpu-rt-runtime', 'int', 'Real-time CPU per period in microseconds'),
  flag('c, cpu-shares', 'int', 'Share of CPU relative to other containers'),
  flag('cpus', 'decimal', 'Number of CPUs'),
  flag('cpuset-cpus', 'string', 'CPUs to run on (0-3, 0,1)'),
  flag('cpuset-mems', 'string', 'Memory nodes to use (0-3, 0,1)'),
  flag('device', 'list', 'Give the container a device of the host'),
  flag('device-cgroup-rule', 'list', 'Allow devices by rule (type major:minor mode)', { check: deviceRule }),
  flag('device-read-bps', 'list-default', 'Most bytes per second read from a device', { check: deviceBytes }),
  flag('device-read-iops', 'list-default', 'Most reads per second from a device', { check: deviceCount }),
  flag('device-write-bps', 'list-default', 'Most bytes per second written to a device', { check: deviceBytes }),
  flag('device-write-iops', 'list-default', 'Most writes per second to a device', { check: deviceCount }),
  flag('disable-content-trust', 'bool', 'Accepted and ignored: signatures are not checked', { value: 'true' }),
  flag('dns', 'list', 'Name servers for the container', { check: ipAddress }),
  flag('dns-opt', 'list', 'Options for name look-ups', { hidden: true }),
  flag('dns-option', 'list', 'Options for name look-ups'),
  flag('dns-search', 'list', 'Domains searched for short names', { check: searchDomain }),
  flag('domainname', 'string', 'NIS domain name of the container'),
  flag('entrypoint', 'string', 'Run this instead of the image\'s ENTRYPOINT'),
  flag('e, env', 'list', 'Set environment variables', { check: variable }),
  flag('env-file', 'list', 'Read environment variables from a file'),
  flag('expose', 'list', 'Say that a port, or a range, is listened on'),
  flag('gpus', 'gpu-request', 'GPUs to give to the container (\'all\' for every one)', { check: (value) => { parseGpus(value); return value; } }),
  flag('group-add', 'list', 'Run with further groups'),
  flag('health-cmd', 'string', 'Command that tells whether the container is well'),
  flag('health-interval', 'duration', 'Time from one check to the next (ms|s|m|h)'),
  flag('health-retries', 'int', 'Failed checks in a row until it counts as unhealthy'),
  flag('health-start-period', 'duration', 'Time to come up in which failed checks do not count (ms|s|m|h)'),
  flag('health-timeout', 'duration', 'Most time one check may take (ms|s|m|h)'),
  flag('help', 'bool', 'Print usage'),
  flag('h, hostname', 'string', 'Host name of the container'),
  flag('init', 'bool', 'Run a small init that passes signals on and reaps processes'),
  flag('i, interactive', 'bool', 'Keep STDIN open even if not attached'),
  flag('ip', 'string', 'IPv4 address (172.30.100.104)'),
  flag('ip6', 'string', 'IPv6 address (2001:db8::33)'),
  flag('ipc', 'string', 'IPC mode to use'),
  flag('isolation', 'string', 'Container isolation technology'),
  flag('kernel-memory', 'bytes', 'Kernel memory limit'),
  flag('l, label', 'list', 'Attach a label to the container'),
  flag('label-file', 'list', 'Read labels from a file, one per line'),
  flag('link', 'list', 'Link to another container (name or name:alias)', { check: linkFormat }),
  flag('link-local-ip', 'list', 'Link-local addresses of the container', { check: ipAddress }),
  flag('log-driver', 'string', 'Log driver of the container'),
  flag('log-opt', 'list', 'Options of the log driver'),
  flag('mac-address', 'string', 'MAC address of the container (92:d0:c6:0a:29:33)'),
  flag('m, memory', 'bytes', 'Memory limit'),
  flag('memory-reservation', 'bytes', 'Memory soft limit'),
  flag('memory-swap', 'bytes', 'Limit of memory and swap together: \'-1\' for unlimited swap'),
  flag('memory-swappiness', 'int', 'How readily memory is swapped out (0 to 100)', { value: '-1' }),
  flag('mount', 'mount', 'Attach a filesystem mount to the container', { check: (value) => { parseMount(value); return value; } }),
  flag('name', 'string', 'Name of the container'),
  flag('net', 'network', 'Network to connect to', { hidden: true, check: network }),
  flag('net-alias', 'list', 'Further names within the network', { hidden: true }),
  flag('network', 'network', 'Network to connect to, or name=…,alias=…,ip=… (again for further ones)', { check: network }),
  flag('network-alias', 'list', 'Further names within the network'),
  flag('no-healthcheck', 'bool', 'Switch the image\'s HEALTHCHECK off'),
  flag('oom-kill-disable', 'bool', 'Do not kill when memory runs out'),
  flag('oom-score-adj', 'int', 'Preference when memory runs out (-1000 to 1000)'),
  flag('pid', 'string', 'PID namespace to use'),
  flag('pids-limit', 'int', 'Most processes at once (-1 for unlimited)'),
  flag('platform', 'string', 'Platform of the image (os/arch/variant)'),
  flag('privileged', 'bool', 'Give the container every privilege'),
  flag('p, publish', 'list', 'Publish a port of the container on the host'),
  flag('P, publish-all', 'bool', 'Publish all exposed ports on free ports'),
  flag('pull', 'string', 'When to pull the image: always, missing or never', { value: 'missing' }),
  flag('q, quiet', 'bool', 'Do not show the progress of a pull'),
  flag('read-only', 'bool', 'Mount the root filesystem read-only'),
  flag('restart', 'string', 'What to do when the container exits', { value: 'no' }),
  flag('rm', 'bool', 'Remove the container when it exits'),
  flag('runtime', 'string', 'Runtime to use for this container'),
  flag('security-opt', 'list', 'Security options'),
  flag('shm-size', 'bytes', 'Size of /dev/shm'),
  flag('stop-signal', 'string', 'Signal that stops the container', { value: 'SIGTERM' }),
  flag('stop-timeout', 'int', 'Seconds to wait for the container to stop'),
  flag('storage-opt', 'list', 'Options of the storage driver'),
  flag('sysctl', 'map', 'Kernel parameters', { check: sysctl }),
  flag('tmpfs', 'list', 'Mount a tmpfs directory'),
  flag('t, tty', 'bool', 'Give the container a terminal'),
  flag('ulimit', 'ulimit', 'Limits of resources', { check: (value) => { parseUlimit(value); return value; } }),
  flag('u, user', 'string', 'User to run as (<name|uid>[:<group|gid>])'),
  flag('userns', 'string', 'User namespace to use'),
  flag('uts', 'string', 'UTS namespace to use'),
  flag('v, volume', 'list', 'Mount a volume or a directory of the host'),
  flag('volume-driver', 'string', 'Driver of the container\'s volumes'),
  flag('volumes-from', 'list', 'Mount the volumes of other containers'),
  flag('w, workdir', 'string', 'Working directory inside the container'),
];

export const runOnlyFlags: readonly FlagSpec[] = [
  flag('d, detach', 'bool', 'Leave the container in the background and print its ID'),
  flag('detach-keys', 'string', 'Keys that let go of the container'),
  flag('sig-proxy', 'bool', 'Pass signals on to the container', { value: 'true' }),
];

function hostAndAddress(value: string): string {
  const at = value.includes('=') ? value.indexOf('=') : value.indexOf(':');
  if (at <= 0) throw new Error(`bad format for add-host: ${JSON.stringify(value)}`);
  const address = value.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  if (address !== 'host-gateway' && !isIp(address)) throw new Error(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${value.slice(0, at)}:${address}`;
}

function network(value: string): string {
  parseNetwork(value);
  return value;
}

function searchDomain(value: string): string {
  if (!isSearchDomain(value)) throw new Error(`${value} is not a valid domain`);
  return value.trim();
}

/** Shared with `network connect`: name or name:alias. */
export function linkFormat(value: string): string {
  if (value === '') throw new Error('empty string specified for links');
  if (value.split(':').length > 2) throw new Error(`bad format for links: ${value}`);
  return value;
}

function streamName(value: string): string {
  const name = value.toLowerCase();
  if (!['stdin', 'stdout', 'stderr'].includes(name)) throw new Error('valid streams are STDIN, STDOUT and STDERR');
  return name;
}

function ipAddress(value: string): string {
  if (!isIp(value.trim())) throw new Error(`${value} is not an ip address`);
  return value.trim();
}

function sysctl(value: string): string {
  const name = value.split('=')[0] ?? '';
  const own = ['kernel.msgmax', 'kernel.msgmnb', 'kernel.msgmni', 'kernel.sem', 'kernel.shmall', 'kernel.shmmax', 'kernel.shmmni', 'kernel.shm_rmid_forced'];
  if (!value.includes('=') || !(own.includes(name) || name.startsWith('net.') || name.startsWith('fs.mqueue.'))) throw new Error(`sysctl '${value}' is not whitelisted`);
  return value;
}

function deviceRule(value: string): string {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(value)) throw new Error(`invalid device cgroup format '${value}'`);
  return value;
}

function devicePart(value: string): string {
  const [path = '', amount, ...more] = value.split(':');
  if (amount === undefined || more.length > 0) throw new Error(`bad format: ${value}`);
  if (!path.startsWith('/dev/')) throw new Error(`bad format for device path: ${value}`);
  return amount;
}

function deviceWeight(value: string): string {
  const weight = devicePart(value);
  if (!/^\d+$/.test(weight) || (Number(weight) > 0 && (Number(weight) < 10 || Number(weight) > 1000))) throw new Error(`invalid weight for device: ${value}`);
  return value;
}

function deviceBytes(value: string): string {
  if (parseBytes(devicePart(value)) === undefined) throw new Error(`invalid rate for device: ${value}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`);
  return value;
}

function deviceCount(value: string): string {
  if (!/^\d+$/.test(devicePart(value))) throw new Error(`invalid rate for device: ${value}. The correct format is <device-path>:<number>. Number must be a positive integer`);
  return value;
}

/** Shared with exec: a variable needs a name. */
export function variable(value: string): string {
  if (value === '' || value.startsWith('=')) throw new Error(`invalid environment variable: ${value}`);
  return value;
}
