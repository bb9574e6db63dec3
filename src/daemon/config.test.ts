import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseHost, readConfig } from './config.ts';
import { daemonHelp, FIXED_FLAGS, FLAGS } from './flags.ts';
import { liveConfig, takeOver } from './reload.ts';

/** Runs with a daemon.json of its own, so that the machine's is not read. */
function read(words: readonly string[], file: unknown = {}, env: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'config-'));
  const path = join(folder, 'daemon.json');
  writeFileSync(path, typeof file === 'string' ? file : JSON.stringify(file));
  try { return readConfig(['--config-file', path, ...words], env); } finally { rmSync(folder, { recursive: true }); }
}

test('flags of dockerd are read in every spelling', () => {
  const config = read(['--data-root=/d', '--exec-root', '/e', '-p', '/p', '-H', 'unix:///s', '-H', 'tcp://127.0.0.1:0', '--allow-plain-tcp', '--insecure-registry', 'a:1', '--insecure-registry=b', '-D', '--storage-driver', 'overlay2', '--iptables=false']);
  assert.deepEqual([config.dataRoot, config.execRoot, config.pidFile, config.logLevel], ['/d', '/e', '/p', 'debug']);
  assert.deepEqual(config.hosts, [{ kind: 'unix', path: '/s' }, { kind: 'tcp', host: '127.0.0.1', port: 0 }]);
  assert.deepEqual(config.insecureRegistries, ['a:1', 'b']);
});

test('daemon.json gives what flags do not, and both at once is an error', () => {
  const config = read([], { 'data-root': '/file', 'registry-mirrors': ['http://127.0.0.1:5000'], debug: true, 'max-concurrent-downloads': 2, hosts: ['unix:///x'] });
  assert.deepEqual([config.dataRoot, config.registryMirrors, config.logLevel, config.maxConcurrentDownloads], ['/file', ['http://127.0.0.1:5000'], 'debug', 2]);
  assert.throws(() => read(['--data-root', '/flag'], { 'data-root': '/file' }), /specified both as a flag and in the configuration file: data-root/);
});

test('a second root for bases of deltas is told by its path alone, or with the driver that balenaEngine wants to hear', () => {
  assert.deepEqual([read([]).deltaDataRoot, read(['--delta-data-root', '/d', '--delta-storage-driver=overlay2', '--delta-storage-opt', 'overlay2.sync_diffs=false']).deltaDataRoot], [undefined, '/d']);
  assert.equal(read([], { 'delta-data-root': '/mnt/sysroot/active/balena', 'delta-storage-driver': 'overlay2', 'delta-storage-opts': ['x=y'] }).deltaDataRoot, '/mnt/sysroot/active/balena');
  for (const words of [['--delta-storage-driver', 'aufs'], ['--delta-data-root', 'relative']]) assert.throws(() => read(words), /--delta-storage-driver=aufs is not supported|invalid delta-data-root: relative/);
});

test('the memory of making and applying deltas is told in megabytes', () => {
  assert.deepEqual([read([]).deltaCreateMemoryBytes, read([]).deltaApplyMemoryBytes, read([], { 'delta-create-memory': 100 }).deltaCreateMemoryBytes], [512, 64, 100].map((mb) => mb * 2 ** 20));
  assert.throws(() => read(['--delta-create-memory', '63']), /invalid delta create memory: 63: expected at least 64/);
});

test('uploads: how many at a time, and how often; the latter is taken over while the daemon runs', () => {
  const config = read([], { 'max-upload-attempts': 7 });
  assert.deepEqual([config.maxUploadAttempts, config.maxConcurrentUploads, read(['--max-concurrent-uploads=2']).maxConcurrentUploads], [7, 5, 2]);
  assert.throws(() => read(['--max-upload-attempts', '0']), /invalid max upload attempts: 0: expected at least 1/);
  const live = liveConfig(config);
  assert.deepEqual([takeOver(live, read([], { 'max-upload-attempts': 3, 'max-concurrent-uploads': 1 }), config), live.maxUploadAttempts], [['maxConcurrentUploads'], 3]);
});

test('what is wrong is named', () => {
  const cases: Array<[string[], unknown, RegExp]> = [
    [['--nope'], {}, /unknown flag: --nope/], [['--log-driver', 'nosuch'], {}, /failed to set log opts: error looking up logging plugin nosuch/], [[], { 'log-opts': { nosuch: '1' } }, /failed to set log opts: unknown log opt 'nosuch' for json-file log driver/], [['--data-root'], {}, /flag needs an argument: --data-root/], [['word'], {}, /accepts no arguments: word/],
    [['--data-root', 'relative'], {}, /invalid data-root: relative/], [['-H', 'http://x'], {}, /unable to parse -H http:\/\/x/], [['-l', 'loud'], {}, /invalid logging level: loud/],
    [['-s', 'vfs'], {}, /--storage-driver=vfs is not supported/], [['--max-concurrent-downloads', 'x'], {}, /invalid argument "x"/], [['--max-concurrent-downloads', '0'], {}, /at least 1/], [['--delta-apply-memory', '8'], {}, /invalid delta apply memory: 8: expected at least 16/],
    [['--label', 'x'], {}, /bad attribute format: x/], [['--registry-mirror', 'ftp://x'], {}, /unsupported scheme "ftp"/], [['--tlsverify', '--tlscert', 'a', '--tlskey', 'b'], {}, /--tlscacert/],
    [['-H', 'tcp://0.0.0.0:1'], {}, /root on this machine/], [[], { nope: 1 }, /don't match any configuration option: nope/], [[], { debug: 'yes' }, /debug must be a bool/],
    [[], '{', /unable to configure the daemon with file/], [[], '[]', /expected a JSON object/], [[], { 'storage-driver': 'btrfs' }, /btrfs is not supported/],
  ];
  for (const [words, file, wanted] of cases) assert.throws(() => read(words, file), wanted, words.join(' '));
});

test('hosts get the ports that Docker uses', () => {
  assert.deepEqual(parseHost('tcp://', true), { kind: 'tcp', host: '127.0.0.1', port: 2376 });
  assert.deepEqual(parseHost('tcp://[::1]', false), { kind: 'tcp', host: '::1', port: 2375 });
  assert.deepEqual(parseHost('fd://', false), { kind: 'fd', rest: '' });
});

test('proxies come from the environment in either case', () => {
  assert.deepEqual(read([], {}, { HTTPS_PROXY: 'http://p:1', no_proxy: 'x' }).proxy, { https: 'http://p:1', no: 'x' });
});

test('help names every flag', () => {
  for (const flag of [...FLAGS, ...FIXED_FLAGS]) assert.ok(daemonHelp().includes(`--${flag.name}`), flag.name);
});

test('runtimes come from flags or from daemon.json, and defaults of containers are checked', () => {
  const { containers } = read(['--init', '--default-ipc-mode', 'shareable'], { runtimes: { Kata: { path: '/k', runtimeArgs: ['--x', 'y'] }, plain: { path: '/p' } }, 'default-runtime': 'kata', 'userns-remap': 'default' });
  assert.deepEqual([containers.runtimes, containers.defaultRuntime, containers.usernsRemap, containers.init, containers.ipcMode, containers.cgroupnsMode],
    [{ kata: { path: '/k', args: ['--x', 'y'] }, plain: { path: '/p', args: [] } }, 'kata', 'default', true, 'shareable', '']);
  assert.deepEqual(read(['--add-runtime', 'a=/b', '--add-runtime=c=/d']).containers.runtimes, { a: { path: '/b', args: [] }, c: { path: '/d', args: [] } });
  const cases: Array<[string[], unknown, RegExp]> = [
    [['--add-runtime', 'runc=/x'], {}, /runtime name 'runc' is reserved/], [['--add-runtime', 'x'], {}, /invalid runtime argument: x/], [['--add-runtime', 'a=/b', '--add-runtime', 'a=/c'], {}, /runtime 'a' was already defined/],
    [['--default-runtime', 'nope'], {}, /specified default runtime 'nope' does not exist/], [['--default-ipc-mode', 'bad'], {}, /default IPC mode setting \(bad\) is invalid; use "shareable" or "private"/],
    [['--default-ipc-mode', 'host'], {}, /IPC mode "host" is not supported as default value/], [['--default-cgroupns-mode', 'bad'], {}, /default cgroup namespace mode \(bad\) is invalid/],
    [[], { runtimes: { a: { runtimeArgs: [] } } }, /runtime 'a' needs a path/], [[], { runtimes: { a: { path: '/a', runtimeArgs: 'x' } } }, /runtimeArgs of runtime 'a' must be a list of strings/], [[], { runtimes: [] }, /runtimes must be a JSON object/],
  ];
  for (const [words, file, wanted] of cases) assert.throws(() => read(words, file), wanted, words.join(' '));
});

test('networks are told by flags and by daemon.json alike', () => {
  const plain = read([]).network;
  assert.deepEqual(plain, {
    bridge: 'docker0', bip: '', fixedCidr: '', fixedCidrV6: '', defaultGateway: '', defaultGatewayV6: '', ipv6: false, mtu: 0, icc: true, ipMasq: true, ipForward: true, iptables: true, ip6tables: true,
    hostIp: '', userlandProxy: true, dns: [], dnsSearch: [], dnsOptions: [], hostGatewayIp: '', addressPools: [],
  });
  const words = ['--bip', '10.5.0.1/24', '--fixed-cidr=10.5.0.128/25', '--fixed-cidr-v6', 'fd00::/80', '--default-gateway', '10.5.0.9', '--default-gateway-v6', 'fd00::9', '--ipv6', '--mtu', '1400', '--icc=false', '--ip-masq=false', '--ip-forward=0', '--ip6tables=false',
    '--ip', '127.0.0.1', '--userland-proxy=false', '--userland-proxy-path', '/x', '--network-control-plane-mtu', '1400', '--dns', '1.1.1.1', '--dns', 'fd00::53', '--dns-search', 'a.example', '--dns-search', '.', '--dns-opt', 'ndots:1', '--host-gateway-ip', '10.0.0.9',
    '--default-address-pool', 'base=10.0.0.0/8,size=24', '--default-address-pool', 'size=64,base=fd01::/48'];
  const file = {
    bip: '10.5.0.1/24', 'fixed-cidr': '10.5.0.128/25', 'fixed-cidr-v6': 'fd00::/80', 'default-gateway': '10.5.0.9', 'default-gateway-v6': 'fd00::9', ipv6: true, mtu: 1400, icc: false, 'ip-masq': false, 'ip-forward': false, ip6tables: false,
    ip: '127.0.0.1', 'userland-proxy': false, 'userland-proxy-path': '/x', 'network-control-plane-mtu': 1400, dns: ['1.1.1.1', 'fd00::53'], 'dns-search': ['a.example', '.'], 'dns-opts': ['ndots:1'], 'host-gateway-ip': '10.0.0.9',
    'default-address-pools': [{ base: '10.0.0.0/8', size: 24 }, { base: 'fd01::/48', size: 64 }],
  };
  assert.deepEqual(read(words).network, read([], file).network);
  assert.deepEqual(read(words).network, {
    bridge: 'docker0', bip: '10.5.0.1/24', fixedCidr: '10.5.0.128/25', fixedCidrV6: 'fd00::/80', defaultGateway: '10.5.0.9', defaultGatewayV6: 'fd00::9', ipv6: true, mtu: 1400, icc: false, ipMasq: false, ipForward: false, iptables: true, ip6tables: false,
    hostIp: '127.0.0.1', userlandProxy: false, dns: ['1.1.1.1', 'fd00::53'], dnsSearch: ['a.example', '.'], dnsOptions: ['ndots:1'], hostGatewayIp: '10.0.0.9', addressPools: [{ base: '10.0.0.0/8', size: 24 }, { base: 'fd01::/48', size: 64 }],
  });
  assert.deepEqual(read(['-b', 'none', '--iptables=false']).network, { ...plain, bridge: 'none', iptables: false, ip6tables: false, ipMasq: false });
  assert.deepEqual(read(['-b', ''], { ip: '', 'default-gateway': '' }).network, plain);
});

test('networks that dockerd would not start with are refused in its words', () => {
  const cases: Array<[string[], unknown, string]> = [
    [['-b', 'br0', '--bip', '10.1.0.1/16'], {}, 'You specified -b & --bip, mutually exclusive options. Please specify only one'],
    [[], { bridge: 'br0', bip: '10.1.0.1/16' }, 'You specified -b & --bip, mutually exclusive options. Please specify only one'],
    [['--icc=false', '--iptables=false'], {}, 'You specified --iptables=false with --icc=false. ICC=false uses iptables to function. Please set --icc or --iptables to true'],
    ...['ip', 'default-gateway', 'default-gateway-v6', 'host-gateway-ip', 'dns'].map((name): [string[], unknown, string] => [[`--${name}`, 'bad!'], {}, `invalid argument "bad!" for "--${name}" flag: bad! is not an ip address`]),
    [['--ip', ''], {}, 'invalid argument "" for "--ip" flag:  is not an ip address'], [[], { dns: ['bad!'] }, 'bad! is not an ip address'],
    ...['a_b', '', '1.2', `${'x'.repeat(254)}.a`].map((domain): [string[], unknown, string] => [['--dns-search', domain], {}, `invalid argument "${domain}" for "--dns-search" flag: ${domain} is not a valid domain`]),
    ...['bip', 'fixed-cidr', 'fixed-cidr-v6'].map((name): [string[], unknown, string] => [[], { [name]: '10.0.0.0/33' }, 'invalid CIDR address: 10.0.0.0/33']),
    [['--mtu', '-5'], {}, 'invalid MTU number: -5'], [['--mtu', 'x'], {}, 'invalid argument "x" for "--mtu"'], [['--bridge', 'sixteen-bytes-xx'], {}, 'expected the name of a device'],
    ...Object.entries({
      'bad!': "invalid field 'bad!' must be a key=value pair", 'size=24': 'invalid base pool "": invalid CIDR address: ', 'base=x,size=24': 'invalid base pool "x": invalid CIDR address: x', 'base=10.0.0.0/8': 'invalid pools size: 0',
      'base=10.0.0.0/8,size=x': 'invalid size value: "x" (must be integer): strconv.Atoi: parsing "x": invalid syntax', 'base=10.0.0.0/8,size=4': 'invalid pools size: 4', 'base=10.0.0.0/8,size=33': 'invalid pools size: 33',
      'base=10.0.0.0/8,size=24,foo=1': "unexpected key 'foo' in 'foo=1'",
    }).map(([pool, why]): [string[], unknown, string] => [['--default-address-pool', pool], {}, `invalid argument "${pool}" for "--default-address-pool" flag: ${why}`]),
    [[], { 'default-address-pools': [{ base: '10.0.0.0/8', size: '24' }] }, 'default-address-pools must be a list of objects'], [[], { 'default-address-pools': ['base=10.0.0.0/8,size=24'] }, 'default-address-pools must be a list of objects'],
    [['--dns', '1.1.1.1'], { dns: ['1.1.1.1'] }, 'specified both as a flag and in the configuration file: dns'],
  ];
  for (const [words, file, wanted] of cases) assert.throws(() => read(words, file), (error: Error) => error.message.includes(wanted), `${words.join(' ')} ${JSON.stringify(file)}`);
});
