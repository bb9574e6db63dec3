// A control group that counts what a daemon and all its children use: CPU and memory, with or without a limit; cgroup v1 and v2.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { eventually } from '../test/crash/system.ts';

export interface Memory { anonymousBytes: number; cacheBytes: number; dirtyBytes: number }

export interface Group extends AsyncDisposable {
  /** A process that writes its id into each of these is counted from then on. */
  readonly procsFiles: readonly string[];
  cpuSeconds(): number;
  memory(): Memory;
}

const ROOT = '/sys/fs/cgroup';

/** `name` must be unique on this machine; without `limitBytes` the group only counts. */
export function openGroup(name: string, limitBytes?: number): Group {
  const v1 = existsSync(`${ROOT}/memory/memory.stat`);
  const folders = v1 ? [`${ROOT}/memory/${name}`, `${ROOT}/cpuacct/${name}`] : [`${ROOT}/${name}`];
  const [memoryFolder = '', cpuFolder = memoryFolder] = folders;
  if (!v1) writeFileSync(`${ROOT}/cgroup.subtree_control`, '+memory +cpu');
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  if (limitBytes !== undefined) writeFileSync(`${memoryFolder}/${v1 ? 'memory.limit_in_bytes' : 'memory.max'}`, String(limitBytes));
  return {
    procsFiles: folders.map((folder) => `${folder}/cgroup.procs`),
    cpuSeconds: () => (v1 ? Number(readFileSync(`${cpuFolder}/cpuacct.usage`, 'utf8')) / 1e9 : field(`${cpuFolder}/cpu.stat`, 'usage_usec') / 1e6),
    memory: () => {
      const text = readFileSync(`${memoryFolder}/memory.stat`, 'utf8');
      return v1
        ? { anonymousBytes: fieldOf(text, 'total_rss'), cacheBytes: fieldOf(text, 'total_cache'), dirtyBytes: fieldOf(text, 'total_dirty') }
        : { anonymousBytes: fieldOf(text, 'anon'), cacheBytes: fieldOf(text, 'file'), dirtyBytes: fieldOf(text, 'file_dirty') };
    },
    async [Symbol.asyncDispose]() {
      for (const folder of folders) {
        // A process that just ended leaves its group a moment later.
        await eventually(`removal of ${folder}`, 10_000, () => { try { rmdirSync(folder); return true; } catch { return false; } });
      }
    },
  };
}

const field = (file: string, name: string): number => fieldOf(readFileSync(file, 'utf8'), name);

function fieldOf(text: string, name: string): number {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text);
  if (!match) throw new Error(`no ${name} among the counters of a control group`);
  return Number(match[1]);
}
