// Bundles are Docker's: a plain one word for word, and what each option changes in it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideApart } from './apart.ts';
import { buildSpec, mergeEnv } from './bundle.ts';
import { ALL_CAPABILITIES, decideCapabilities, DEFAULT_CAPABILITIES } from './capabilities.ts';
import { parseRule, splitDevice } from './devices.ts';
import { bundleInput, GROUP, MACHINE, PASSWD, type Changes } from './fixture.ts';
import { parseLimits, type Machine } from './machine.ts';
import { NO_SECURITY } from './security.ts';
import { defaultProfile, parseProfile } from './seccomp.ts';
import { stringifySpec } from './spec-text.ts';
import { resolveUser } from './users.ts';
import { runtimeError } from './words.ts';

const USERS = { passwd: PASSWD, group: GROUP };

interface Spec {
  process: Record<string, unknown> & { args: string[]; env: string[]; user: unknown; capabilities: Record<string, string[]> };
  mounts: Array<{ destination: string; type: string; source: string; options: string[] }>;
  linux: Record<string, unknown> & { namespaces: Array<{ type: string; path?: string }>; resources: Record<string, unknown> };
  root: unknown; hostname?: string; annotations?: unknown;
}

function build(changes: Changes = {}, machine: Partial<Machine> = {}): Spec & { notes: string[] } {
  const { spec, notes } = buildSpec(bundleInput(changes), USERS, { ...MACHINE, ...machine });
  return { ...JSON.parse(stringifySpec(spec)) as Spec, notes };
}

test('a plain container is as Docker makes it', () => {
  const { linux, notes, ...spec } = build({ config: { Env: ['A=1', 'PATH=/bin'], WorkingDir: '/w' } });
  const { seccomp, ...rest } = linux;
  const caps = ['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP', 'SETPCAP', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE']
    .map((name) => `CAP_${name}`);
  assert.deepEqual(notes, []);
  assert.ok(seccomp);
  assert.deepEqual(spec, {
    ociVersion: '1.0.2',
    process: {
      terminal: false, user: { uid: 0, gid: 0, additionalGids: [0, 10] }, args: ['sh'], env: ['PATH=/bin', 'HOSTNAME=box', 'A=1'], cwd: '/w',
      capabilities: { bounding: caps, effective: caps, permitted: caps }, rlimits: [], noNewPrivileges: false, oomScoreAdj: 0,
    },
    root: { path: '/rootfs', readonly: false }, hostname: 'box',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro', 'nosuid', 'noexec', 'nodev'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=67108864'] },
    ],
  });
  const { resources, maskedPaths, readonlyPaths, ...plain } = rest;
  assert.deepEqual(plain, {
    namespaces: ['mount', 'network', 'uts', 'pid', 'ipc'].map((type) => ({ type })), cgroupsPath: '/vaquita-test/c1', devices: [],
    sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }, rootfsPropagation: 'rprivate',
  });
  assert.deepEqual((resources['devices'] as unknown[])[0], { allow: false, access: 'rwm' });
  assert.ok((maskedPaths as string[]).includes('/proc/kcore'));
  assert.ok((readonlyPaths as string[]).includes('/proc/sys'));
});

test('capabilities are added and dropped, and never more than the machine has', () => {
  const all = new Set(ALL_CAPABILITIES);
  const cases: Array<[string[] | null, string[] | null, boolean, readonly string[]]> = [
    [null, null, false, DEFAULT_CAPABILITIES],
    [['net_admin'], ['CAP_KILL', 'mknod'], false, [...DEFAULT_CAPABILITIES.filter((name) => !['CAP_KILL', 'CAP_MKNOD'].includes(name)), 'CAP_NET_ADMIN']],
    [['CHOWN'], ['ALL'], false, ['CAP_CHOWN']],
    [['all'], ['SYS_ADMIN'], false, ALL_CAPABILITIES.filter((name) => name !== 'CAP_SYS_ADMIN')],
    [null, ['ALL'], true, ALL_CAPABILITIES],
  ];
  for (const [add, drop, privileged, want] of cases) assert.deepEqual(decideCapabilities({ add, drop, privileged }, all), { granted: [...want], withheld: [] });
  const poor = decideCapabilities({ add: null, drop: null, privileged: true }, new Set(['CAP_KILL']));
  assert.deepEqual(poor.granted, ['CAP_KILL']);
  assert.equal(poor.withheld.length, ALL_CAPABILITIES.length - 1);
  assert.throws(() => decideCapabilities({ add: ['FLY'], drop: null, privileged: false }, all), { kind: 'invalid', message: 'invalid CapAdd: unknown capability: "CAP_FLY"' });
  assert.deepEqual(Object.keys(build({ config: { User: 'app' } }).process.capabilities), ['bounding']);
});

test('a user is found by name or number, with groups, or refused in Docker\'s words', () => {
  const cases: Array<[string, string[], unknown]> = [
    ['', [], { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ['app', [], { uid: 1000, gid: 1001, additionalGids: [1001, 10, 29] }],
    ['1000', ['audio', '77'], { uid: 1000, gid: 1001, additionalGids: [1001, 10, 29, 77] }],
    ['app:wheel', [], { uid: 1000, gid: 10, additionalGids: [10] }],
    ['4000', [], { uid: 4000, gid: 0, additionalGids: [0] }],
    ['4000:5000', [], { uid: 4000, gid: 5000, additionalGids: [5000] }],
    [':29', [], { uid: 0, gid: 29, additionalGids: [29] }],
    ['foo', [], 'unable to find user foo: no matching entries in passwd file'],
    ['app2', [], 'unable to find user app2: no matching entries in passwd file'],
    ['app:foo', [], 'unable to find group foo: no matching entries in group file'],
    ['app', ['nosuch'], 'Unable to find group nosuch: no matching entries in group file'],
    ['2147483648', [], 'uids and gids must be in range 0-2147483647'],
  ];
  for (const [wanted, groupAdd, want] of cases) {
    if (typeof want === 'string') assert.throws(() => resolveUser(wanted, USERS, groupAdd), { kind: 'system', message: want });
    else assert.deepEqual(resolveUser(wanted, USERS, groupAdd), want, wanted);
  }
  assert.deepEqual(resolveUser('0', { passwd: '', group: '' }), { uid: 0, gid: 0, additionalGids: [0] });
});

test('privileged takes every fence away', () => {
  const { linux, mounts, process } = build({ host: { Privileged: true } });
  assert.deepEqual([linux['maskedPaths'], linux['readonlyPaths'], linux['seccomp']], [[], [], undefined]);
  assert.deepEqual(linux.resources['devices'], [{ allow: true, access: 'rwm' }]);
  assert.ok((linux['devices'] as Array<{ path: string }>).some((node) => node.path === '/dev/null'));
  assert.ok(mounts.every((mount) => !mount.options.includes('ro')));
  assert.equal(process.capabilities['effective']?.length, ALL_CAPABILITIES.length);
});

test('namespaces, mounts and sysctls follow the modes', () => {
  const host = build({ host: { NetworkMode: 'host', PidMode: 'host', IpcMode: 'host', UTSMode: 'host', CgroupnsMode: 'private' } });
  assert.deepEqual(host.linux.namespaces, [{ type: 'mount' }, { type: 'cgroup' }]);
  assert.equal(host.hostname, undefined);
  assert.deepEqual(host.linux['sysctl'], {});
  assert.deepEqual(host.mounts.find((mount) => mount.destination === '/dev/shm')?.source, '/dev/shm');
  const joined = build({ host: { NetworkMode: 'container:x', IpcMode: 'none' }, rest: { joinNamespaces: { network: '/proc/7/ns/net' } } });
  assert.deepEqual(joined.linux.namespaces.find(({ type }) => type === 'network'), { type: 'network', path: '/proc/7/ns/net' });
  assert.ok(!joined.mounts.some((mount) => mount.destination === '/dev/shm'));
  assert.throws(() => build({ host: { PidMode: 'container:x' } }), { kind: 'invalid' });
  const mounts = [
    { type: 'bind' as const, source: '/a', destination: '/dev/shm', options: ['ro', 'rslave'] },
    { type: 'tmpfs' as const, source: '', destination: '/run', options: ['size=1m'] },
  ];
  const mounted = build({ rest: { mounts } });
  assert.deepEqual(mounted.mounts.slice(-2), [
    { destination: '/dev/shm', type: 'bind', source: '/a', options: ['rbind', 'ro', 'rslave'] },
    { destination: '/run', type: 'tmpfs', source: 'tmpfs', options: ['size=1m'] },
  ]);
  assert.equal(mounted.mounts.filter((mount) => mount.destination === '/dev/shm').length, 1);
  assert.equal(mounted.linux['rootfsPropagation'], 'rslave');
});

test('limits become resources; what the machine lacks is left out and noted', () => {
  const host = { Memory: 1000, NanoCpus: 1_500_000_000, CpusetCpus: '0', PidsLimit: 5, CpuShares: 2, BlkioWeight: 100, OomKillDisable: true, MemorySwappiness: 3 };
  const { devices: _, ...resources } = build({ host }).linux.resources;
  assert.deepEqual(resources, {
    memory: { limit: 1000, swap: 2000, swappiness: 3, disableOOMKiller: true }, cpu: { shares: 2, period: 100_000, quota: 150_000, cpus: '0' },
    pids: { limit: 5 }, blockIO: { weight: 100 },
  });
  const poor = build({ host: { ...host, MemorySwap: -1 } }, { layout: { ...MACHINE.layout, controllers: ['memory', 'cpu'] }, exists: (path) => /swappiness|oom_control|cpu\.shares/.test(path) });
  const { devices: __, ...left } = poor.linux.resources;
  assert.deepEqual(left, { memory: { limit: 1000, swappiness: 3, disableOOMKiller: true }, cpu: { shares: 2 } });
  assert.equal(poor.notes.length, 4);
});

test('limits that need CAP_SYS_RESOURCE stop at what this process has', () => {
  const host = { Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 9999 }, { Name: 'core', Soft: -1, Hard: -1 }], OomScoreAdj: -500 };
  const rich = build({ host });
  assert.deepEqual(rich.process['rlimits'], [{ type: 'RLIMIT_NOFILE', hard: 9999, soft: 100 }, { type: 'RLIMIT_CORE', hard: 2 ** 64, soft: 2 ** 64 }]);
  assert.equal(rich.process['oomScoreAdj'], -500);
  const poor = build({ host }, { capabilities: new Set(['CAP_KILL']) });
  assert.deepEqual((poor.process['rlimits'] as unknown[])[0], { type: 'RLIMIT_NOFILE', hard: 4096, soft: 100 });
  assert.equal(poor.process['oomScoreAdj'], 0);
  assert.equal(poor.notes.length, 3);
  const text = stringifySpec({ a: { hard: 2 ** 64 }, args: ['"hard":18446744073709552000'] });
  assert.equal(text, '{"a":{"hard":18446744073709551615},"args":["\\"hard\\":18446744073709552000"]}');
  assert.throws(() => build({ host: { Ulimits: [{ Name: 'foo', Soft: 1, Hard: 1 }] } }), { message: 'invalid ulimit type: foo' });
  assert.deepEqual(parseLimits('Max open files            20000                unlimited            files     \n'), { nofile: { hard: Infinity } });
});

test('environment, terminal, init and security options', () => {
  assert.deepEqual(mergeEnv(['A=1', 'B=2'], ['C=3', 'A=x', 'B']), ['A=x', 'C=3']);
  const made = build({ config: { Tty: true }, host: { Init: true, ConsoleSize: [20, 80] }, rest: { security: { ...NO_SECURITY, noNewPrivileges: true, seccompProfile: 'unconfined' } } });
  assert.deepEqual(made.process.env.slice(1), ['HOSTNAME=box', 'TERM=xterm']);
  assert.deepEqual(made.process.args, ['/sbin/docker-init', '--', 'sh']);
  assert.deepEqual(made.mounts.at(-1), { destination: '/sbin/docker-init', type: 'bind', source: '/usr/bin/docker-init', options: ['bind', 'ro'] });
  assert.deepEqual([made.process['noNewPrivileges'], made.linux['seccomp'], made.process['consoleSize']], [true, undefined, { height: 20, width: 80 }]);
  assert.throws(() => build({ host: { Init: true } }, { findProgram: () => undefined }), { kind: 'system', message: 'exec: "docker-init": executable file not found in $PATH' });
});

test('devices and their rules', () => {
  const { linux } = build({ host: { Devices: [{ PathOnHost: '/dev/zero', PathInContainer: '/dev/z', CgroupPermissions: 'r' }], DeviceCgroupRules: ['c 13:* rm'] } });
  assert.deepEqual(linux['devices'], [{ path: '/dev/z', type: 'c', major: 1, minor: 5, fileMode: 0o666, uid: 0, gid: 0 }]);
  assert.deepEqual((linux.resources['devices'] as unknown[]).slice(-2), [{ allow: true, type: 'c', major: 1, minor: 5, access: 'r' }, { allow: true, type: 'c', major: 13, access: 'rm' }]);
  assert.throws(() => build({ host: { Devices: [{ PathOnHost: '/dev/nosuch', PathInContainer: '', CgroupPermissions: '' }] } }), /custom device "\/dev\/nosuch": no such file or directory/);
  assert.throws(() => parseRule('c 1:3 x'), { kind: 'invalid' });
  assert.deepEqual(splitDevice(0x12345678), { major: 0x456, minor: 0x12378 });
});

test('seccomp knows the capabilities and the machine', () => {
  const plain = defaultProfile('x64', DEFAULT_CAPABILITIES);
  const allowed = plain.syscalls[0]?.names ?? [];
  assert.ok(allowed.includes('chroot') && allowed.includes('arch_prctl') && !allowed.includes('mount') && !allowed.includes('clone'));
  assert.deepEqual(plain.syscalls.at(-1), { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 });
  const admin = defaultProfile('arm64', ['CAP_SYS_ADMIN']);
  assert.ok(admin.syscalls[0]?.names.includes('clone3') && admin.syscalls.every(({ names }) => names[0] !== 'clone3'));
  assert.deepEqual(admin.architectures, ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  const own = {
    defaultAction: 'SCMP_ACT_ERRNO', archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW' }, { names: ['reboot'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_BOOT'] } },
      { names: ['breakpoint'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm'] } }, { name: 'write', action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_SYS_BOOT'] } },
    ],
  };
  const given = { arch: 'x64', kernel: '6.1.0-18-amd64', capabilities: [] };
  const parsed = parseProfile(JSON.stringify(own), given);
  assert.ok(parsed);
  assert.deepEqual(parsed.syscalls.map(({ names }) => names), [['read'], ['write']]);
  assert.deepEqual(parsed.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
  const rules = (...syscalls: object[]) => parseProfile(JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }), given)?.syscalls.length;
  const ptrace = (conditions: object) => ({ names: ['ptrace'], action: 'SCMP_ACT_ERRNO', ...conditions });
  assert.deepEqual([rules(ptrace({ includes: { minKernel: '4.8' } })), rules(ptrace({ includes: { minKernel: '6.2' } })), rules(ptrace({ excludes: { minKernel: '6.1' } }))], [1, 0, 0]);
});

test('a profile that cannot be used is refused as Docker refuses it, and an empty one turns seccomp off', () => {
  const parse = (text: string) => parseProfile(text, { arch: 'x64', kernel: '6.1', capabilities: [] });
  assert.equal(parse('{}'), undefined);
  const cases = {
    notjson: "Decoding seccomp profile failed: invalid character 'o' in literal null (expecting 'u')", 'builtin.json': "Decoding seccomp profile failed: invalid character 'b' looking for beginning of value",
    '': 'Decoding seccomp profile failed: unexpected end of JSON input', nul: 'Decoding seccomp profile failed: unexpected end of JSON input', '{"a"': 'Decoding seccomp profile failed: invalid JSON',
    '[]': 'Decoding seccomp profile failed: json: cannot unmarshal array into Go value of type seccomp.Seccomp',
    '{"defaultAction":"A","syscalls":[{"name":"a","names":["b"],"action":"B"}]}': "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'",
    '{"defaultAction":"A","architectures":["x"],"archMap":[{"architecture":"y"}]}': "'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'",
  };
  for (const [text, message] of Object.entries(cases)) assert.throws(() => parse(text), { kind: 'system', message }, text);
});

test('crun\'s words become Docker\'s', () => {
  const cases: Array<[string, string, string, string]> = [
    ['executable file `foo` not found in $PATH: No such file or directory', 'foo', 'invalid', 'exec: "foo": executable file not found in $PATH'],
    ['executable file `/x` not found in $PATH: No such file or directory\n', '/x', 'invalid', 'exec: "/x": stat /x: no such file or directory'],
    ['open executable: Permission denied', '/bin/p', 'invalid', 'exec: "/bin/p": permission denied'],
    ['2026-11-20T00:00:00.0Z: open executable: Operation not permitted', '/etc', 'invalid', 'exec: "/etc": is a directory: permission denied'],
    ['exec container process `/bin/junk`: Exec format error', '/bin/junk', 'invalid', 'exec: "/bin/junk": exec format error'],
    ['mount `/nosuch` to `/x`: No such file or directory', 'sh', 'system', 'mount `/nosuch` to `/x`: No such file or directory'],
  ];
  for (const [said, program, kind, words] of cases) {
    const error = runtimeError(said, { stage: 'create', program, runtime: { stock: true, path: '/usr/bin/crun' } });
    assert.equal(error.kind, kind);
    assert.equal(error.message, `failed to create task for container: failed to create shim task: OCI runtime create failed: crun create failed: unable to start container process: ${words}: unknown`);
    assert.ok(error.cause instanceof Error);
  }
  assert.match(runtimeError('executable file `foo` not found in $PATH', { stage: 'exec', program: 'foo', runtime: { stock: true, path: '/usr/bin/crun' } }).message, /^OCI runtime exec failed: exec failed: .*executable file not found in \$PATH: unknown$/);
});

test('only a hybrid host with stray controllers is worked around', () => {
  const mount = (id: number, parentId: number, target: string) => ({ id, parentId, target, root: '/', fsType: '', source: '', options: '', superOptions: '', propagation: '' });
  const mounts = [mount(1, 0, '/'), mount(2, 1, '/sys/fs/cgroup'), mount(3, 2, '/sys/fs/cgroup/unified')];
  const programs = { unshare: '/u', sh: '/s' };
  const hybrid = { mode: 'hybrid' as const, controllers: ['cpu'], unifiedPath: '/sys/fs/cgroup/unified', strayControllers: ['hugetlb'] };
  const apart = decideApart(hybrid, mounts, programs);
  assert.deepEqual(apart.prefix.slice(-2), ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']);
  assert.match(apart.note, /hugetlb/);
  assert.deepEqual(decideApart({ ...hybrid, strayControllers: [] }, mounts, programs), { prefix: [], note: '' });
  assert.deepEqual(decideApart({ ...hybrid, mode: 'v2' }, mounts, programs), { prefix: [], note: '' });
  assert.match(decideApart(hybrid, mounts, { ...programs, unshare: undefined }).note, /unshare is missing/);
});
