// The AppArmor profile of containers: loaded into the kernel when a container wants it and it is not there. Nothing is loaded otherwise.
import { EngineError, messageOf } from '../lib/errors.ts';

export const DEFAULT_PROFILE = 'docker-default';

export interface AppArmorNeeds {
  /** Text of a file; '' when there is none. */
  read: (path: string) => string;
  /** Runs apparmor_parser with the text on a file that it is given. */
  load: (text: string) => Promise<unknown>;
}

/** Upgrades of a distribution unload what they do not know, so it is looked for at each start. */
export async function ensureProfile(name: string, { read, load }: AppArmorNeeds): Promise<void> {
  if (name !== DEFAULT_PROFILE) return;
  const loaded = read('/sys/kernel/security/apparmor/profiles').split('\n').some((line) => line.startsWith(`${DEFAULT_PROFILE} (`));
  if (loaded) return;
  try { await load(profileText()); } catch (error) {
    throw new EngineError('system', `AppArmor enabled on system but the ${DEFAULT_PROFILE} profile could not be loaded: ${messageOf(error)}`, { cause: error });
  }
}

/** Files of the kernel through which a program could reach the machine itself: never, whatever capabilities it has. Source of the syntax: apparmor.d(5). */
const HIDDEN = ['/proc/{kcore,kmem,mem,sysrq-trigger}', '/sys/firmware/**', '/sys/kernel/{debug,security,tracing}/**', '/sys/devices/virtual/powercap/**'];
/** Readable, but only the host may change them; the network and what is a container's own (kernel.shm*, kernel.msg*, kernel.sem) stay free. */
const HOSTS_OWN = [
  '/proc/sys/{abi,debug,dev,fs,user,vm}/**', '/proc/sys/kernel/{core_*,dmesg_restrict,hotplug,kexec_*,kptr_restrict,modprobe,modules_disabled,panic*,poweroff_cmd,randomize_va_space,sysrq,unprivileged_*,yama/**}',
  '/sys/{block,bus,class,dev,devices,hypervisor,module,power}/**', '/sys/fs/{bpf,btrfs,ext4,f2fs,fuse,pstore,selinux,xfs}/**',
];

function profileText(): string {
  const rules = [
    '#include <abstractions/base>', 'network,', 'capability,', 'file,', 'umount,', 'deny mount,',
    'signal (receive) peer=unconfined,', `signal (send, receive) peer=${DEFAULT_PROFILE},`, `ptrace (read, readby, trace, tracedby) peer=${DEFAULT_PROFILE},`,
    ...HIDDEN.map((path) => `deny ${path} rwklx,`), ...HOSTS_OWN.map((path) => `deny ${path} wkl,`),
  ];
  return ['#include <tunables/global>', `profile ${DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {`, ...rules.map((rule) => `  ${rule}`), '}', ''].join('\n');
}
