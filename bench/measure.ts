// One pull by one engine on a fresh file system, and everything that can be counted about it.
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { startEngine, versionOf, type Engine, type EngineName } from '../test/crash/engines.ts';
import { cachedPages, PAGE_BYTES } from '../test/crash/native.ts';
import { mountLoop, pause, run } from '../test/crash/system.ts';
import { openGroup, type Group } from './group.ts';

export interface PullFigures {
  wallSeconds: number;
  cpuSeconds: number;
  /** Reached the disk until everything was synced after the pull. */
  writtenMB: number;
  writeRequests: number;
  /** Until the pull said that it was done. */
  flushes: number;
  /** Pages of files below the data root that are in the page cache when the pull is done, and the dirty ones among them. */
  cacheLeftMB: number;
  dirtyMB: number;
  /** Anonymous memory of the daemon and all its children: before the pull, at most during it, and the difference. */
  idleAnonymousMB: number;
  peakAnonymousMB: number;
  addedAnonymousMB: number;
}

export interface PullOptions {
  engine: EngineName;
  reference: string;
  registry: string;
  /** On the disk that is to be measured, not in memory. */
  scratch: string;
  /** Pulled before, uncounted: the version that is there already. */
  present?: string | undefined;
  /** Further words of the request, such as `delta=0`. */
  query?: string | undefined;
  /** Memory of the daemon and all its children, their page cache included. */
  limitBytes?: number | undefined;
  /** Called when everything is ready for the pull. */
  onReady?: () => void;
}

export const MB = 1_000_000;
const DISK_BYTES = 2000 * 1024 ** 2;
const SETTLE_MS = 3000;
/** Workers of an earlier pull are gone by then. */
const IDLE_MS = 15_000;
const SAMPLE_MS = 20;

/** Runs `work` with the engine started on a fresh ext4 that is used for nothing else. */
export async function onFreshDisk<T>(options: PullOptions & { group: Group }, work: (engine: Engine, at: { device: string; dataRoot: string }) => Promise<T>): Promise<T> {
  await using undo = new AsyncDisposableStack();
  const [file, target] = [`${options.scratch}/disk.raw`, `${options.scratch}/mnt`];
  mkdirSync(target, { recursive: true });
  // Written once and kept: a sparse file takes a new write at a tenth of the speed, which would be charged to whoever syncs.
  if (!existsSync(file)) run('dd', 'if=/dev/zero', `of=${file}`, 'bs=1M', `count=${DISK_BYTES >> 20}`, 'oflag=direct', 'status=none');
  const { device } = undo.use(await mountLoop(file, target, {
    direct: true, // What the engine leaves in the page cache is not to be mixed with what the loop device would.
    mountOptions: 'noatime,noinit_itable',
    format: (device) => { run('mkfs.ext4', '-q', '-F', '-E', 'nodiscard,lazy_itable_init=1,lazy_journal_init=1', device); },
  }));
  const dataRoot = `${target}/root`;
  const engine = undo.use(await startEngine(options.engine, {
    dataRoot, scratch: `${options.scratch}/engine`, registry: options.registry, groups: options.group.procsFiles,
  }));
  await pause(SETTLE_MS); // Starting is measured elsewhere; here it must not be counted as pulling.
  return await work(engine, { device, dataRoot });
}

export async function measurePull(options: PullOptions): Promise<{ version: string; figures: PullFigures }> {
  await using group = openGroup(`vaquita-bench-${process.pid}`, options.limitBytes);
  run('sync', '-f', options.scratch);
  writeFileSync('/proc/sys/vm/drop_caches', '3');
  return await onFreshDisk({ ...options, group }, async (engine, { device, dataRoot }) => {
    if (options.present !== undefined) {
      await engine.pull(options.present);
      run('sync', '-f', dataRoot);
      writeFileSync('/proc/sys/vm/drop_caches', '3');
      await pause(IDLE_MS);
    }
    options.onReady?.();
    const before = { cpu: group.cpuSeconds(), disk: diskCounters(device), anonymous: group.memory().anonymousBytes };
    using peak = watchPeak(() => group.memory().anonymousBytes);
    const start = performance.now();
    await engine.pull(options.reference, options.query);
    const wallSeconds = (performance.now() - start) / 1000;
    const [cpu, atDone] = [group.cpuSeconds(), diskCounters(device)];
    const cache = cacheBelow(dataRoot);
    run('sync', '-f', dataRoot);
    const settled = diskCounters(device);
    const peakBytes = Math.max(peak.value(), before.anonymous);
    return {
      version: versionOf(await engine.request('GET', '/version')),
      figures: {
        wallSeconds, cpuSeconds: cpu - before.cpu,
        writtenMB: (settled.writtenBytes - before.disk.writtenBytes) / MB, writeRequests: settled.writes - before.disk.writes,
        flushes: atDone.flushes - before.disk.flushes,
        cacheLeftMB: (cache.cached * PAGE_BYTES) / MB, dirtyMB: (cache.dirty * PAGE_BYTES) / MB,
        idleAnonymousMB: before.anonymous / MB, peakAnonymousMB: peakBytes / MB, addedAnonymousMB: (peakBytes - before.anonymous) / MB,
      },
    };
  });
}

/** Source: Documentation/block/stat.rst of Linux. */
function diskCounters(device: string): { writes: number; writtenBytes: number; flushes: number } {
  const fields = readFileSync(`/sys/block/${device.replace('/dev/', '')}/stat`, 'utf8').trim().split(/ +/).map(Number);
  return { writes: fields[4] ?? 0, writtenBytes: (fields[6] ?? 0) * 512, flushes: fields[15] ?? 0 };
}

/** The highest of what is read again and again. */
export function watchPeak(read: () => number): Disposable & { value(): number } {
  let highest = 0;
  const sample = () => { highest = Math.max(highest, read()); };
  const timer = setInterval(sample, SAMPLE_MS);
  return { value: () => { sample(); return highest; }, [Symbol.dispose]: () => { clearInterval(timer); } };
}

/** Pages of all regular files below a folder; a file with two names counts once. */
function cacheBelow(folder: string): { cached: number; dirty: number } {
  const seen = new Set<number>();
  const total = { cached: 0, dirty: 0 };
  for (const path of filesBelow(folder)) {
    const { ino } = lstatSync(path);
    if (seen.has(ino)) continue;
    seen.add(ino);
    const pages = cachedPages(path);
    total.cached += pages.cached;
    total.dirty += pages.dirty;
  }
  return total;
}

/** Node's own recursive reading follows symbolic links, such as /dev/fd in a layer. */
function* filesBelow(folder: string): Generator<string> {
  for (const item of readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder}/${item.name}`;
    if (item.isDirectory()) yield* filesBelow(path);
    else if (item.isFile()) yield path;
  }
}
