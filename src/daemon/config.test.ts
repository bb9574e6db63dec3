import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseHost, readConfig } from './config.ts';
import { daemonHelp, FIXED_FLAGS, FLAGS } from './flags.ts';

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

test('what is wrong is named', () => {
  const cases: Array<[string[], unknown, RegExp]> = [
    [['--nope'], {}, /unknown flag: --nope/], [['--log-driver', 'nosuch'], {}, /failed to set log opts: error looking up logging plugin nosuch/], [[], { 'log-opts': { nosuch: '1' } }, /failed to set log opts: unknown log opt 'nosuch' for json-file log driver/], [['--data-root'], {}, /flag needs an argument: --data-root/], [['word'], {}, /accepts no arguments: word/],
    [['--data-root', 'relative'], {}, /invalid data-root: relative/], [['-H', 'http://x'], {}, /unable to parse -H http:\/\/x/], [['-l', 'loud'], {}, /invalid logging level: loud/],
    [['-s', 'vfs'], {}, /--storage-driver=vfs is not supported/], [['--max-concurrent-downloads', 'x'], {}, /invalid argument "x"/], [['--max-concurrent-downloads', '0'], {}, /at least 1/],
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
