// What a container's cgroup says: its processes, and whether they are frozen.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
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

/** How often the kernel's OOM killer has struck: `own` in the cgroup or below it, undefined when it is gone; `above` in all of its parent (v2 counts so), 0 where that is not known. */
export function oomKills({ layout, controllerPaths }: Pick<Machine, 'layout' | 'controllerPaths'>, cgroupPath: string): { own: number | undefined; above: number } {
  const countIn = (path: string) => { const found = /^oom_kill (\d+)$/m.exec(textOf(path))?.[1]; return found === undefined ? undefined : Number(found); };
  if (layout.mode !== 'v2') return { own: countIn(`${controllerPaths['memory'] ?? '/nowhere'}${cgroupPath}/memory.oom_control`), above: 0 };
  const root = layout.unifiedPath ?? '';
  return { own: countIn(`${root}${cgroupPath}/memory.events`), above: countIn(`${root}${dirname(cgroupPath)}/memory.events`) ?? 0 };
}

export function isFrozen(machine: Machine, cgroupPath: string): boolean {
  const { layout, controllerPaths } = machine;
  if (layout.mode === 'v2') return textOf(`${layout.unifiedPath ?? ''}${cgroupPath}/cgroup.freeze`).trim() === '1';
  const freezer = controllerPaths['freezer'];
  return freezer !== undefined && ['FROZEN', 'FREEZING'].includes(textOf(`${freezer}${cgroupPath}/freezer.state`).trim());
}

/** Lets the processes of a frozen cgroup go on; fine when it is gone. */
export function thaw({ layout, controllerPaths }: Machine, cgroupPath: string): void {
  const freezer = controllerPaths['freezer'];
  const [path, word] = layout.mode === 'v2' ? [`${layout.unifiedPath ?? ''}${cgroupPath}/cgroup.freeze`, '0'] : [freezer && `${freezer}${cgroupPath}/freezer.state`, 'THAWED'];
  try { if (path !== undefined) writeFileSync(path, word); } catch (error) { gone(error, undefined); }
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
