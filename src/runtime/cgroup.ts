// What a container's cgroup says: its processes, and whether they are frozen.
import { readdirSync, readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { Machine } from './machine.ts';

/** Engines in containers nest cgroups; nothing sane nests them deeper. */
const MAX_DEPTH = 16;

/** PIDs in the cgroup and those below it; undefined when this machine has no hierarchy to look in. */
export function processesIn(machine: Machine, cgroupPath: string): number[] | undefined {
  const top = ['pids', 'devices', 'memory', 'freezer', 'cpu'].map((name) => machine.controllerPaths[name]).find((path) => path !== undefined);
  const root = machine.layout.mode === 'v2' ? machine.layout.unifiedPath : top;
  if (root === undefined) return undefined;
  const pids: number[] = [];
  collect(`${root}${cgroupPath}`, pids, 0);
  return pids.toSorted((a, b) => a - b);
}

/** Where a process is, below the root of its hierarchies; undefined when it is gone. Of v1's many answers, that of a controller we use. */
export function cgroupOf(machine: Machine, pid: number): string | undefined {
  const lines = textOf(`/proc/${pid}/cgroup`).split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const of = (controller: string) => lines.find((line) => line?.[1]?.split(',').includes(controller))?.[2];
  if (machine.layout.mode === 'v2') return of('');
  return ['memory', 'pids', 'devices', 'cpu', 'freezer'].map(of).find((path) => path !== undefined);
}

/** How often the kernel's OOM killer has struck in the cgroup or below it; 0 when it is gone. */
export function oomKills(machine: Machine, cgroupPath: string): number {
  const { layout, controllerPaths } = machine;
  const path = layout.mode === 'v2' ? `${layout.unifiedPath ?? ''}${cgroupPath}/memory.events` : `${controllerPaths['memory'] ?? '/nowhere'}${cgroupPath}/memory.oom_control`;
  return Number(/^oom_kill (\d+)$/m.exec(textOf(path))?.[1] ?? 0);
}

export function isFrozen(machine: Machine, cgroupPath: string): boolean {
  const { layout, controllerPaths } = machine;
  if (layout.mode === 'v2') return textOf(`${layout.unifiedPath ?? ''}${cgroupPath}/cgroup.freeze`).trim() === '1';
  const freezer = controllerPaths['freezer'];
  return freezer !== undefined && ['FROZEN', 'FREEZING'].includes(textOf(`${freezer}${cgroupPath}/freezer.state`).trim());
}

function collect(dir: string, pids: number[], depth: number): void {
  for (const line of textOf(`${dir}/cgroup.procs`).split('\n')) if (line !== '') pids.push(Number(line));
  if (depth === MAX_DEPTH) return;
  for (const entry of entriesOf(dir)) if (entry.isDirectory()) collect(`${dir}/${entry.name}`, pids, depth + 1);
}

function entriesOf(dir: string) {
  try { return readdirSync(dir, { withFileTypes: true }); } catch (error) { return gone(error, []); }
}

/** '' when the cgroup is gone, or is a threaded one that cannot list processes. */
function textOf(path: string): string {
  try { return readFileSync(path, 'utf8'); } catch (error) { return gone(error, ''); }
}

function gone<T>(error: unknown, otherwise: T): T {
  if (['ENOENT', 'ENODEV', 'ESRCH', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) return otherwise;
  throw error;
}
