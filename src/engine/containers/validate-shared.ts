// What a create body may not say of what runs a container and of what it shares with the host: refusals in Docker's words. Pure.
import { invalid } from '../../lib/errors.ts';
import { parseDeviceRule } from '../../runtime/index.ts';
import type { HostConfig } from '../../wire/types.ts';

/** The runtime of what is only a file system, for other programs to use: balenaOS keeps its host systems so. Never registered, never started. */
export const BARE = 'bare';

export function validateShared(host: HostConfig, machine: { runtimes: readonly string[]; remapped: boolean }): void {
  if (host.Runtime !== BARE && !machine.runtimes.includes(host.Runtime)) throw invalid(`Unknown runtime specified ${host.Runtime}`);
  validateModes(host);
  validateDevices(host);
  if (machine.remapped && host.UsernsMode !== 'host') validateRemapped(host);
}

function validateModes(host: HostConfig): void {
  if (!/^(|private|shareable|none|host|container:.+)$/s.test(host.IpcMode)) throw invalid(`Invalid IPC mode: ${host.IpcMode}`);
  if (!/^(|private|host|container:.+)$/s.test(host.PidMode)) throw invalid(`invalid PID mode: ${host.PidMode}`);
  if (!['', 'host', 'private'].includes(host.UTSMode)) throw invalid(`invalid UTS mode: ${host.UTSMode}`);
  if (!['', 'host', 'private'].includes(host.UsernsMode)) throw invalid(`invalid USER mode: ${host.UsernsMode}`);
  if (!['', 'host', 'private'].includes(host.CgroupnsMode)) throw invalid(`invalid cgroup namespace mode: ${host.CgroupnsMode}`);
}

function validateDevices(host: HostConfig): void {
  for (const { PathOnHost, CgroupPermissions } of host.Devices ?? []) {
    if (!/^[rwm]{0,3}$/.test(CgroupPermissions)) throw invalid(`invalid CgroupPermissions of device ${JSON.stringify(PathOnHost)}: ${JSON.stringify(CgroupPermissions)}: expected letters of "rwm"`);
  }
  for (const rule of host.DeviceCgroupRules ?? []) parseDeviceRule(rule);
}

/** What belongs to the host cannot be used from below a user namespace. */
function validateRemapped(host: HostConfig): void {
  if (host.Privileged) throw invalid('privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode');
  if (host.NetworkMode === 'host') throw invalid("cannot share the host's network namespace when user namespaces are enabled");
  if (host.PidMode === 'host') throw invalid('cannot share the host PID namespace when user namespaces are enabled');
}
