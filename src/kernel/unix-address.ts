// Addresses of unix sockets as the kernel wants them (struct sockaddr_un), for paths of any length.
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { systemError } from './sys.ts';

// Source: sys/socket.h and sys/un.h.
export const AF_UNIX = 1;
const SUN_PATH_BYTES = 108;
const O_PATH = 0o10000000;

/** `bytes` is a sockaddr_un, good until disposed. '@name' is a name of the abstract namespace. */
export function unixAddress(path: string, syscall: string): Disposable & { bytes: Buffer } {
  const abstract = path.startsWith('@');
  if (abstract && Buffer.byteLength(path) > SUN_PATH_BYTES) throw systemError('ENAMETOOLONG', { syscall, path });
  const place = abstract ? { path, [Symbol.dispose]: () => {} } : shortPath(path, syscall);
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : `${place.path}\0`); // an abstract name ends where the address does
  const bytes = Buffer.alloc(2 + name.length);
  new Uint16Array(bytes.buffer, bytes.byteOffset, 1)[0] = AF_UNIX; // in the byte order of the machine
  name.copy(bytes, 2);
  return { bytes, [Symbol.dispose]: () => place[Symbol.dispose]() };
}

/** The path itself, or one through an open folder when it is too long for sun_path. */
function shortPath(path: string, syscall: string): Disposable & { path: string } {
  if (Buffer.byteLength(path) < SUN_PATH_BYTES) return { path, [Symbol.dispose]: () => {} };
  const folder = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
  const short = `/proc/self/fd/${folder}/${basename(path)}`;
  if (Buffer.byteLength(short) >= SUN_PATH_BYTES) {
    closeSync(folder);
    throw systemError('ENAMETOOLONG', { syscall, path });
  }
  return { path: short, [Symbol.dispose]: () => closeSync(folder) };
}
