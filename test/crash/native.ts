// The few calls of libc that a test needs and Node.js lacks: extended attributes and what the page cache holds.
import { dlopen, getRawPointer, toBuffer } from 'node:ffi';
import { closeSync, fstatSync, openSync } from 'node:fs';

const LIST_BYTES = 64 << 10;
const list = Buffer.alloc(LIST_BYTES);
const value = Buffer.alloc(LIST_BYTES);

const libc = dlopen('libc.so.6', {
  llistxattr: { arguments: ['string', 'pointer', 'uint64'], return: 'int64' },
  mmap: { arguments: ['pointer', 'uint64', 'int32', 'int32', 'int32', 'int64'], return: 'pointer' },
  madvise: { arguments: ['pointer', 'uint64', 'int32'], return: 'int32' },
  mincore: { arguments: ['pointer', 'uint64', 'pointer'], return: 'int32' },
  syscall: { arguments: ['int64', 'int32', 'pointer', 'pointer', 'uint32'], return: 'int64' },
  lgetxattr: { arguments: ['string', 'string', 'pointer', 'uint64'], return: 'int64' },
}).functions;

/** Extended attributes of a file, symlinks not followed; values as text. */
export function xattrsOf(path: string): Record<string, string> {
  const length = Number(libc.llistxattr(path, list, BigInt(LIST_BYTES)));
  if (length <= 0) return {};
  const names = list.toString('utf8', 0, length - 1).split('\0');
  return Object.fromEntries(names.map((name) => {
    const size = Number(libc.lgetxattr(path, name, value, BigInt(LIST_BYTES)));
    return [name, size < 0 ? 'unreadable' : value.toString('latin1', 0, size)];
  }));
}

export const PAGE_BYTES = 4096;

export interface MappedFile {
  readonly bytes: Uint8Array;
  /** Pages of it in the page cache. */
  residentPages(): number;
}

/** A read-only shared mapping of a whole file, read page by page without readahead, kept until the process ends. */
export function mapFile(path: string): MappedFile {
  const fd = openSync(path, 'r');
  const { size } = fstatSync(fd);
  const [PROT_READ, MAP_SHARED, MADV_RANDOM] = [1, 1, 1];
  const address = libc.mmap(0n, BigInt(size), PROT_READ, MAP_SHARED, fd, 0n);
  closeSync(fd);
  if (typeof address !== 'bigint' || address === 0xffff_ffff_ffff_ffffn) throw new Error(`mmap ${path} failed`);
  if (libc.madvise(address, BigInt(size), MADV_RANDOM) !== 0) throw new Error(`madvise ${path} failed`);
  const pages = Buffer.alloc(Math.ceil(size / PAGE_BYTES));
  return {
    bytes: toBuffer(address, size, false),
    residentPages() {
      if (libc.mincore(address, BigInt(size), getRawPointer(pages)) !== 0) throw new Error(`mincore ${path} failed`);
      return pages.reduce((sum, byte) => sum + (byte & 1), 0);
    },
  };
}

export interface CachedPages { cached: number; dirty: number }

/** Source: include/uapi/asm-generic/unistd.h; the same on every architecture. Linux 6.5. */
const SYS_CACHESTAT = 451n;

/** What the page cache holds of a file. */
export function cachedPages(path: string): CachedPages {
  const fd = openSync(path, 'r');
  try {
    const whole = Buffer.alloc(16);
    const stat = Buffer.alloc(40);
    if (libc.syscall(SYS_CACHESTAT, fd, getRawPointer(whole), getRawPointer(stat), 0) !== 0n) throw new Error(`cachestat ${path} failed: it needs Linux 6.5`);
    return { cached: Number(stat.readBigUInt64LE(0)), dirty: Number(stat.readBigUInt64LE(8) + stat.readBigUInt64LE(16)) };
  } finally { closeSync(fd); }
}
