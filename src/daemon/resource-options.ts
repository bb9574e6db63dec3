// The flags about limits: who makes cgroups, where they stand, and what containers get that do not say otherwise. Pure.
import { invalid, messageOf } from '../lib/errors.ts';
import type { Ulimit } from '../wire/types.ts';
import { parseUlimit } from '../wire/ulimit.ts';
import { parseBytes } from '../wire/units.ts';

export interface ResourceOptions {
  /** '' lets the machine decide: systemd where it is PID 1 and there is nothing but cgroup v2. */
  readonly cgroupDriver: '' | 'cgroupfs' | 'systemd';
  readonly cgroupParent: string;
  readonly shmSizeBytes: number;
  readonly ulimits: readonly Ulimit[];
}

interface Given { text: (name: string, fallback: string) => string; all: (name: string) => readonly string[] }

/** Error: invalid, in dockerd's words. */
export function resourceOptionsOf({ text, all }: Given): ResourceOptions {
  const cgroupDriver = driverOf(all('exec-opt'));
  const cgroupParent = text('cgroup-parent', '');
  if (cgroupDriver === 'systemd' && cgroupParent !== '' && (cgroupParent.length <= '.slice'.length || !cgroupParent.endsWith('.slice'))) {
    throw invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
  }
  const shm = text('default-shm-size', '64M');
  const shmSizeBytes = parseBytes(shm);
  if (shmSizeBytes === undefined || shmSizeBytes <= 0) throw invalid(`invalid argument "${shm}" for "--default-shm-size": invalid size: '${shm}'`);
  return { cgroupDriver, cgroupParent, shmSizeBytes, ulimits: all('default-ulimit').map(ulimitOf) };
}

function driverOf(options: readonly string[]): ResourceOptions['cgroupDriver'] {
  let driver = '';
  for (const option of options) {
    const [key = '', value] = option.split(/=(.*)/s);
    if (value === undefined) throw invalid(`unable to parse key/value option: ${option}`);
    if (key.trim().toLowerCase() !== 'native.cgroupdriver') throw invalid(`--exec-opt ${option} is not supported: the one option is native.cgroupdriver`);
    driver = value.trim();
  }
  if (driver !== '' && driver !== 'cgroupfs' && driver !== 'systemd') throw invalid(`native.cgroupdriver option ${driver} not supported`);
  return driver;
}

/** "nofile=1024:2048", or "nofile={"Hard":…,"Soft":…}" from daemon.json. */
function ulimitOf(text: string): Ulimit {
  const [name = '', json] = text.split(/=(\{.*)/s);
  try {
    if (json === undefined) return parseUlimit(text);
    const { Hard = 0, Soft = 0 } = JSON.parse(json) as { Hard?: number; Soft?: number };
    return parseUlimit(`${name}=${Soft}:${Hard}`);
  } catch (cause) { throw invalid(messageOf(cause), { cause }); }
}
