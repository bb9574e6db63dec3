// The few calls of libc that a test needs and Node.js lacks: extended attributes and what the page cache holds.
import { dlopen } from 'node:ffi';

const LIST_BYTES = 64 << 10;
const list = Buffer.alloc(LIST_BYTES);
const value = Buffer.alloc(LIST_BYTES);

const libc = dlopen('libc.so.6', {
  llistxattr: { arguments: ['string', 'pointer', 'uint64'], return: 'int64' },
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
