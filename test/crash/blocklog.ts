// A disk that remembers every write and flush in their order: qemu-storage-daemon's blklogwrites driver below a loop device.
import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, constants, mkdirSync, openSync, readSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { eventually, isAlive, mountLoop, run, signal } from './system.ts';

export const SECTOR_BYTES = 512;
/** dm-log-writes, include/uapi of Linux: the on-disk magic, version and flags. */
const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
const FLUSH = 1;
const FUA = 2;
const DISCARD = 4;

/** One request as the disk saw it, in the order it arrived; its data stays in the log file. */
export interface LogEntry {
  sector: number;
  sectors: number;
  flush: boolean;
  fua: boolean;
  discard: boolean;
  /** Where its data starts in the log file. */
  dataOffset: number;
}

/** A freshly made ext4, mounted, whose every write is recorded until it is disposed of. */
export interface Recorder extends AsyncDisposable {
  readonly mountPoint: string;
  /** The disk as it was before the first recorded write. */
  readonly baseFile: string;
  readonly logFile: string;
  /** The disk with everything applied: what a full replay must equal. */
  readonly diskFile: string;
  /** End of the log so far: what is recorded later lies behind it. */
  position(): number;
  /** Unmounts and ends the recording; the files stay. */
  stop(): Promise<void>;
}

export async function openRecorder(directory: string, sizeBytes: number): Promise<Recorder> {
  const file = (name: string) => `${directory}/${name}`;
  const [diskFile, baseFile, logFile, exported, mountPoint] = [file('disk.raw'), file('base.raw'), file('log.raw'), file('export.img'), file('mnt')];
  mkdirSync(mountPoint, { recursive: true });
  for (const path of [diskFile, logFile, exported]) writeFileSync(path, '');
  truncateSync(diskFile, sizeBytes);
  // Nothing is left for the kernel to initialise later: the recording shall hold the engine's writes only.
  run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', diskFile);
  copySparse(diskFile, baseFile);

  await using undo = new AsyncDisposableStack();
  const daemon = spawn('qemu-storage-daemon', [
    // The test cuts power by choosing what survives: the files below need not be flushed for that.
    '--blockdev', `driver=file,node-name=data,filename=${diskFile},discard=unmap,cache.no-flush=on`,
    '--blockdev', `driver=file,node-name=log,filename=${logFile},cache.no-flush=on`,
    '--blockdev', `driver=blklogwrites,node-name=top,file=data,log=log,log-sector-size=${SECTOR_BYTES},log-super-update-interval=65536`,
    '--export', `type=fuse,id=top,node-name=top,mountpoint=${exported},writable=on,growable=off,allow-other=off`,
  ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const { pid } = daemon;
  let said = '';
  daemon.stderr.on('data', (chunk: Buffer) => { said = (said + chunk.toString()).slice(-2000); });
  daemon.on('error', (error) => { said += error.message; });
  if (pid === undefined) throw new Error('qemu-storage-daemon does not start: run scripts/setup');
  undo.defer(async () => {
    signal(pid, 'SIGTERM');
    await eventually('end of qemu-storage-daemon', 60_000, () => !isAlive(pid));
  });
  await eventually(`qemu-storage-daemon exports its disk ${said}`, 60_000, () => statSync(exported).size === sizeBytes);
  undo.use(await mountLoop(exported, mountPoint));
  const held = undo.move();
  const stop = () => held.disposeAsync();
  return { mountPoint, baseFile, logFile, diskFile, position: () => statSync(logFile).size, stop, [Symbol.asyncDispose]: stop };
}

/** Index of everything recorded before `end` (a `position()`), without the data. */
export function readBlockLog(logFile: string, end = statSync(logFile).size): LogEntry[] {
  const fd = openSync(logFile, 'r');
  try {
    const head = Buffer.alloc(32);
    readSync(fd, head, 0, 32, 0);
    const super_ = { magic: head.readBigUInt64LE(0), version: head.readBigUInt64LE(8), sectorBytes: head.readUInt32LE(24) };
    if (super_.magic !== MAGIC || super_.version !== VERSION || super_.sectorBytes !== SECTOR_BYTES) throw new Error(`${logFile} is no block log of 512-byte sectors`);
    const entries: LogEntry[] = [];
    for (let offset = SECTOR_BYTES; offset + SECTOR_BYTES <= end;) {
      readSync(fd, head, 0, 32, offset);
      const [sector, sectors, flags] = [Number(head.readBigUInt64LE(0)), Number(head.readBigUInt64LE(8)), Number(head.readBigUInt64LE(16))];
      const discard = (flags & DISCARD) !== 0;
      const dataOffset = offset + SECTOR_BYTES;
      offset = dataOffset + (discard ? 0 : sectors * SECTOR_BYTES);
      if (offset > end) break; // Its data was still on the way.
      entries.push({ sector, sectors, flush: (flags & FLUSH) !== 0, fua: (flags & FUA) !== 0, discard, dataOffset });
    }
    return entries;
  } finally { closeSync(fd); }
}

/** Holes stay holes; on a file system that can share blocks nothing is copied at all. */
export function copySparse(from: string, to: string): void {
  try { copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE); } catch { run('cp', '--sparse=always', from, to); }
}
