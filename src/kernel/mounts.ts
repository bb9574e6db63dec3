// Mounting, unmounting, and what is mounted where.
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { openInRoot } from './files.ts';
import type { MountEntry, Mounts } from './index.ts';
import { lastErrno, libc, systemError } from './sys.ts';

// Source: umount(2). A symlink in the place of a mount point must never lead an unmount elsewhere.
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const MS_BIND = 4096;
const MS_REC = 16384;
const O_PATH = 0o10000000;

/** mount(2) takes one page of options, and quietly cuts off what is longer: half a list of layers would be mounted. */
const MAX_DATA_BYTES = 4095;

export function openMounts(): Mounts {
  return { mount, bindFrom, unmount, list: () => parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')) };
}

function mount(what: Parameters<Mounts['mount']>[0]): void {
  const data = what.data ?? null;
  const failed = (code: string) =>
    systemError(code, { syscall: 'mount', detail: `${what.source} on ${what.target} (${what.fsType || 'no type'})`, path: what.target });
  if (data !== null && Buffer.byteLength(data) > MAX_DATA_BYTES) throw failed('E2BIG');
  using _back = what.cwd === undefined ? undefined : enter(what.cwd);
  if (libc.mount(what.source, what.target, what.fsType, BigInt(what.flags ?? 0), data) !== 0) throw failed(lastErrno());
}

function bindFrom(root: string, path: string, { target, recursive }: { target: string; recursive: boolean }): void {
  const source = openInRoot(root, path);
  if (source === undefined) throw systemError('ENOENT', { syscall: 'mount', detail: `${path} in ${root}`, path });
  try {
    if (fstatSync(source).isDirectory()) mkdirSync(target, { recursive: true, mode: 0o700 });
    else {
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      writeFileSync(target, '');
    }
    // By its descriptor: whatever becomes of the path meanwhile, this is what was found.
    mount({ source: `/proc/self/fd/${source}`, target, fsType: '', flags: MS_BIND | (recursive ? MS_REC : 0) });
  } finally { closeSync(source); }
}

function unmount(target: string, options?: { lazy?: boolean }): void {
  const flags = UMOUNT_NOFOLLOW | (options?.lazy ? MNT_DETACH : 0);
  if (libc.umount2(target, flags) !== 0) throw systemError(lastErrno(), { syscall: 'unmount', path: target });
}

/** Changes the working directory for a moment; nothing of ours may await while this is held. */
function enter(path: string): Disposable {
  const before = openSync('.', O_PATH);
  if (libc.chdir(path) !== 0) {
    const error = systemError(lastErrno(), { syscall: 'chdir', path });
    closeSync(before);
    throw error;
  }
  return {
    [Symbol.dispose]() {
      const left = libc.fchdir(before) === 0;
      closeSync(before);
      if (!left) throw systemError('EIO', { syscall: 'fchdir', detail: `back from ${path}`, path });
    },
  };
}

/** Source: proc_pid_mountinfo(5). */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6); // between 6 and here stand zero or more propagation fields
    if (dash < 0) continue;
    entries.push({
      id: Number(fields[0]),
      parentId: Number(fields[1]),
      root: unescape(fields[3]),
      target: unescape(fields[4]),
      options: unescape(fields[5]),
      propagation: fields.slice(6, dash).join(' '),
      fsType: unescape(fields[dash + 1]),
      source: unescape(fields[dash + 2]),
      superOptions: unescape(fields[dash + 3]),
    });
  }
  return entries;
}

/** Space, tab, newline and backslash are written as octal bytes; whatever is not ASCII stands there as it is. */
function unescape(field: string | undefined): string {
  return (field ?? '').replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
