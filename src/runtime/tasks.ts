// Where a task's files lie below execRoot, and the record by which a later daemon knows its processes again.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Kernel } from '../kernel/index.ts';
import { errnoOf } from '../lib/errors.ts';
import type { RuntimeProgram } from './index.ts';

/** All of it on tmpfs: after a reboot there is no task, and nothing here says otherwise. */
export interface Places {
  /** crun's own state. */
  crun: string;
  /** conmon's exit codes, one file per task. */
  exits: string;
  tasks: string;
  execs: string;
  /** State of runtimes that are not the engine's own, by name. */
  runtimes: string;
}

export function placesOf(execRoot: string): Places {
  return { crun: `${execRoot}/crun`, exits: `${execRoot}/exits`, tasks: `${execRoot}/tasks`, execs: `${execRoot}/execs`, runtimes: `${execRoot}/runtimes` };
}

/** A pid alone may be another process's by the time it is used; with its start time it is one process for ever. */
export interface Identity { pid: number; startTicks: string }

export interface TaskRecord { task: Identity; monitor: Identity; cgroupPath: string }

export function identityOf(kernel: Kernel, pid: number): Identity {
  return { pid, startTicks: String(kernel.processes.startTicks(pid) ?? 'gone') };
}

export function isAlive(kernel: Kernel, identity: Identity): boolean {
  return identity.pid > 1 && String(kernel.processes.startTicks(identity.pid)) === identity.startTicks;
}

export function writeTaskRecord(bundle: string, record: TaskRecord): void {
  writeFileSync(`${bundle}/.task.json`, JSON.stringify(record));
  renameSync(`${bundle}/.task.json`, `${bundle}/task.json`);
}

/** undefined when there is none, or none that can be read: then crun is asked. */
export function readTaskRecord(bundle: string): TaskRecord | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(`${bundle}/task.json`, 'utf8'));
    return isRecord(value) ? value : undefined;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Notes which runtime makes a task, unless it is the engine's own: an update of the daemon may have it registered otherwise, or not at all. */
export function writeMaker(bundle: string, { name, path, args, stock }: RuntimeProgram & { name: string; stock: boolean }): void {
  if (!stock) writeFileSync(`${bundle}/runtime.json`, JSON.stringify({ name, path, args }));
}

/** undefined for the engine's own. */
export function readMaker(bundle: string): (RuntimeProgram & { name: string }) | undefined {
  try {
    return JSON.parse(readFileSync(`${bundle}/runtime.json`, 'utf8')) as RuntimeProgram & { name: string };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The conmon of a bundle, if it lives; `uuid` is on its command line, so that another process that got its pid is not taken for it. */
export function monitorIn(kernel: Kernel, bundle: string, uuid: string): Identity | undefined {
  try {
    const pid = Number(readFileSync(`${bundle}/conmon.pid`, 'utf8').trim());
    if (!Number.isInteger(pid) || pid <= 1) return undefined;
    const identity = identityOf(kernel, pid); // before the look at the command line, so that both are of one process
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(uuid) ? identity : undefined;
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

function isRecord(value: unknown): value is TaskRecord {
  return typeof value === 'object' && value !== null && 'task' in value && isIdentity(value.task)
    && 'monitor' in value && isIdentity(value.monitor) && 'cgroupPath' in value && typeof value.cgroupPath === 'string';
}

function isIdentity(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'pid' in value && typeof value.pid === 'number' && 'startTicks' in value && typeof value.startTicks === 'string';
}
