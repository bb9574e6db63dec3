// dockerd's flags: each with its key in daemon.json, its kind, and what this engine makes of it.
import { invalid } from '../lib/errors.ts';
import { isIp, isSearchDomain } from '../wire/address.ts';

/**
 * 'map': repeated NAME=VALUE words, in daemon.json an object; a value that is no text there stands as its JSON.
 * 'pool': repeated base=…,size=… words, in daemon.json a list of objects with those keys.
 */
export type FlagKind = 'string' | 'bool' | 'list' | 'int' | 'map' | 'ip' | 'pool';

export interface FlagSpec {
  name: string;
  short?: string;
  /** Key in daemon.json; the flag's own name unless said otherwise. */
  key?: string;
  kind: FlagKind;
  help: string;
  /** Why a value is refused; undefined when it is fine. */
  refuse?: (value: string) => string | undefined;
}

const notAnAddress = (value: string): string | undefined => (isIp(value.trim()) ? undefined : `${value} is not an ip address`);
const notADomain = (value: string): string | undefined => (isSearchDomain(value) ? undefined : `${value} is not a valid domain`);

/** Flags that do something here. */
export const FLAGS: readonly FlagSpec[] = [
  { name: 'config-file', kind: 'string', help: 'Daemon configuration file' },
  { name: 'data-root', kind: 'string', help: 'Root directory of persistent state' },
  { name: 'delta-data-root', kind: 'string', help: 'Second root directory, only read, in which bases of deltas are looked for too' },
  { name: 'exec-root', kind: 'string', help: 'Root directory for execution state files' },
  { name: 'pidfile', short: 'p', kind: 'string', help: 'Path to use for daemon PID file' },
  { name: 'host', short: 'H', key: 'hosts', kind: 'list', help: 'Daemon socket(s) to connect to' },
  { name: 'group', short: 'G', kind: 'string', help: 'Group for the unix socket' },
  { name: 'debug', short: 'D', kind: 'bool', help: 'Enable debug mode' },
  { name: 'log-level', short: 'l', kind: 'string', help: 'Set the logging level ("debug"|"info"|"warn"|"error")' },
  { name: 'log-driver', kind: 'string', help: 'Default driver for container logs' },
  { name: 'log-opt', key: 'log-opts', kind: 'map', help: 'Default log driver options for containers' },
  { name: 'label', key: 'labels', kind: 'list', help: 'Set key=value labels to the daemon' },
  { name: 'experimental', kind: 'bool', help: 'Enable experimental features' },
  { name: 'metrics-addr', kind: 'string', help: 'Set default address and port to serve the metrics api on' },
  { name: 'insecure-registry', key: 'insecure-registries', kind: 'list', help: 'Enable insecure registry communication' },
  { name: 'registry-mirror', key: 'registry-mirrors', kind: 'list', help: 'Preferred registry mirror' },
  { name: 'max-concurrent-downloads', kind: 'int', help: 'Set the max concurrent downloads for each pull' },
  { name: 'max-download-attempts', kind: 'int', help: 'Set the max download attempts for each pull' },
  { name: 'max-concurrent-uploads', kind: 'int', help: 'Set the max concurrent uploads for each push' },
  { name: 'max-upload-attempts', kind: 'int', help: 'Set the max upload attempts for each push' },
  { name: 'delta-create-memory', kind: 'int', help: 'Memory in megabytes that making a delta may take (default 512)' },
  { name: 'delta-apply-memory', kind: 'int', help: 'Memory in megabytes that applying a delta may take (default 64)' },
  { name: 'shutdown-timeout', kind: 'int', help: 'Set the default shutdown timeout in seconds' },
  { name: 'userns-remap', kind: 'string', help: 'User/Group setting for user namespaces' },
  { name: 'add-runtime', key: 'runtimes', kind: 'map', help: 'Register an additional OCI compatible runtime' },
  { name: 'default-runtime', kind: 'string', help: 'Default OCI runtime for containers' },
  { name: 'init', kind: 'bool', help: 'Run an init in the container to forward signals and reap processes' },
  { name: 'init-path', kind: 'string', help: 'Path to the docker-init binary' },
  { name: 'no-new-privileges', kind: 'bool', help: 'Set no-new-privileges by default for new containers' },
  { name: 'seccomp-profile', kind: 'string', help: 'Path to seccomp profile' },
  { name: 'default-ipc-mode', kind: 'string', help: 'Default mode for containers ipc ("shareable" | "private")' },
  { name: 'default-cgroupns-mode', kind: 'string', help: 'Default mode for containers cgroup namespace ("host" | "private")' },
  { name: 'selinux-enabled', kind: 'bool', help: 'Enable selinux support' },
  { name: 'exec-opt', key: 'exec-opts', kind: 'list', help: 'Runtime execution options (native.cgroupdriver=cgroupfs|systemd)' },
  { name: 'cgroup-parent', kind: 'string', help: 'Set parent cgroup for all containers' },
  { name: 'default-ulimit', key: 'default-ulimits', kind: 'map', help: 'Default ulimits for containers' },
  { name: 'default-shm-size', kind: 'string', help: 'Default shm size for containers' },
  { name: 'bridge', short: 'b', kind: 'string', help: 'Device of the default network, made when it is not there; "none" for no default network' },
  { name: 'bip', kind: 'string', help: 'Specify network bridge IP' },
  { name: 'fixed-cidr', kind: 'string', help: 'IPv4 subnet for fixed IPs' },
  { name: 'fixed-cidr-v6', kind: 'string', help: 'IPv6 subnet for fixed IPs' },
  { name: 'default-gateway', kind: 'ip', help: 'Container default gateway IPv4 address' },
  { name: 'default-gateway-v6', kind: 'ip', help: 'Container default gateway IPv6 address' },
  { name: 'default-address-pool', key: 'default-address-pools', kind: 'pool', help: 'Default address pools for node specific local networks' },
  { name: 'dns', kind: 'list', help: 'DNS server to use', refuse: notAnAddress },
  { name: 'dns-opt', key: 'dns-opts', kind: 'list', help: 'DNS options to use' },
  { name: 'dns-search', kind: 'list', help: 'DNS search domains to use', refuse: notADomain },
  { name: 'host-gateway-ip', kind: 'ip', help: 'IP address that the special "host-gateway" string in --add-host resolves to' },
  { name: 'icc', kind: 'bool', help: 'Enable inter-container communication on the default network (default true)' },
  { name: 'ip', kind: 'ip', help: 'Default IP when binding container ports' },
  { name: 'ip-forward', kind: 'bool', help: 'Enable net.ipv4.ip_forward (default true)' },
  { name: 'ip-masq', kind: 'bool', help: 'Enable IP masquerading (default true)' },
  { name: 'iptables', kind: 'bool', help: 'Enable addition of iptables rules (default true)' },
  { name: 'ip6tables', kind: 'bool', help: 'Enable addition of ip6tables rules (default: as iptables)' },
  { name: 'ipv6', kind: 'bool', help: 'Enable IPv6 on the default network' },
  { name: 'mtu', kind: 'int', help: 'Set the MTU of the default network' },
  { name: 'userland-proxy', kind: 'bool', help: 'Pass on within the daemon what the kernel cannot, such as connections to [::1] (default true)' },
  { name: 'tls', kind: 'bool', help: 'Use TLS; implied by --tlsverify' },
  { name: 'tlscacert', kind: 'string', help: 'Trust certs signed only by this CA' },
  { name: 'tlscert', kind: 'string', help: 'Path to TLS certificate file' },
  { name: 'tlskey', kind: 'string', help: 'Path to TLS key file' },
  { name: 'tlsverify', kind: 'bool', help: 'Use TLS and verify the remote' },
  { name: 'allow-plain-tcp', kind: 'bool', help: 'Listen on tcp:// without TLS: whoever reaches the port is root on this machine' },
];

/** Flags of dockerd that may be given with these values (undefined: any), since that is what this engine does anyway, or has no use for. */
export const FIXED_FLAGS: ReadonlyArray<FlagSpec & { accepts: readonly string[] | undefined; why: string }> = [
  { name: 'storage-driver', short: 's', kind: 'string', accepts: ['overlay2', ''], why: 'the store is overlay2', help: 'Storage driver to use' },
  { name: 'delta-storage-driver', kind: 'string', accepts: ['overlay2', ''], why: 'the store is overlay2, and so is what it reads bases of deltas from', help: 'Storage driver of --delta-data-root' },
  { name: 'delta-storage-opt', key: 'delta-storage-opts', kind: 'list', accepts: undefined, why: '', help: 'Accepted and unused: what is only read needs no options' },
  { name: 'live-restore', kind: 'bool', accepts: ['true', 'false'], why: '', help: 'Containers always outlive the daemon' },
  { name: 'userland-proxy-path', kind: 'string', accepts: undefined, why: '', help: 'Accepted and unused: there is no program beside the daemon' },
  { name: 'network-control-plane-mtu', kind: 'int', accepts: undefined, why: '', help: 'Accepted and unused: there are no overlay networks' },
];

/** What `vaquita daemon --help` prints. */
export function daemonHelp(): string {
  const placeholder = { string: ' string', int: ' int', list: ' list', map: ' map', bool: '', ip: ' ip', pool: ' pool-options' };
  const lines = [...FLAGS, ...FIXED_FLAGS].toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((flag) => {
    const left = `  ${flag.short ? `-${flag.short}, ` : '    '}--${flag.name}${placeholder[flag.kind]}`;
    return `${left.padEnd(42)} ${flag.help}`;
  });
  return `\nUsage:  vaquita daemon [OPTIONS]\n\nThe engine: keeps images and containers, and answers Docker's API.\n\nOptions:\n${lines.join('\n')}\n`;
}

export type FlagValues = Map<string, string[]>;

/** Reads words as dockerd does; values of a repeated flag are kept in order. Error: invalid, naming the flag. */
export function parseFlags(words: readonly string[]): FlagValues {
  const all = [...FLAGS, ...FIXED_FLAGS];
  const values: FlagValues = new Map();
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (!word.startsWith('-') || word === '-') throw invalid(`"vaquita daemon" accepts no arguments: ${word}`);
    const equals = word.indexOf('=');
    const name = (equals < 0 ? word : word.slice(0, equals)).replace(/^--?/, '');
    const spec = all.find((flag) => (word.startsWith('--') ? flag.name === name : flag.short === name));
    if (!spec) throw invalid(`unknown flag: ${equals < 0 ? word : word.slice(0, equals)}`);
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (value === undefined) {
      value = spec.kind === 'bool' ? 'true' : words[++at];
      if (value === undefined) throw invalid(`flag needs an argument: ${word}`);
    }
    checkValue(spec, value);
    values.set(spec.name, [...values.get(spec.name) ?? [], value]);
  }
  return values;
}

/** Held for flags and for daemon.json alike. */
export function checkValue(spec: FlagSpec, value: string): void {
  if (spec.kind === 'bool' && !['true', 'false', '1', '0'].includes(value)) throw invalid(`invalid argument "${value}" for "--${spec.name}": expected true or false`);
  if (spec.kind === 'int' && !/^-?\d+$/.test(value)) throw invalid(`invalid argument "${value}" for "--${spec.name}": expected a whole number`);
  const reason = spec.kind === 'ip' ? notAnAddress(value) : spec.refuse?.(value);
  if (reason !== undefined) throw invalid(`invalid argument ${JSON.stringify(value)} for "--${spec.name}" flag: ${reason}`);
  const fixed = FIXED_FLAGS.find((flag) => flag.name === spec.name);
  if (fixed && fixed.accepts?.includes(value) === false) throw invalid(`--${spec.name}=${value} is not supported: ${fixed.why}`);
}
