// Datagrams to unix sockets, of which Node has none: to the journal, to syslog and to a service manager.
import { closeSync, writeSync } from 'node:fs';
import type { Sockets } from './index.ts';
import { descriptorMessage, lastErrno, libc, systemError } from './sys.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

// Source: sys/socket.h, sys/mman.h and fcntl.h.
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const MFD_CLOEXEC_ALLOW_SEALING = 1 | 2;
const F_ADD_SEALS = 1033;
const ALL_SEALS = 0xf; // seal, shrink, grow, write: the journal maps a sealed file, and only such a one, without a copy

/** One socket for all that is ever sent, made when it is first needed: making one costs more than a message. */
export function openSockets(): Sockets {
  let opened: number | undefined;
  const socket = (path: string) => {
    opened ??= libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
    if (opened >= 0) return opened;
    opened = undefined;
    throw systemError(lastErrno(), { syscall: 'socket', path });
  };
  return {
    sendDatagram(path, bytes) {
      const fd = socket(path);
      using address = unixAddress(path, 'sendto');
      if (libc.sendto(fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL, address.bytes, address.bytes.length) < 0n) throw systemError(lastErrno(), { syscall: 'sendto', path });
    },
    sendFile(path, bytes) {
      const fd = socket(path);
      using file = sealedFile(path, bytes);
      using address = unixAddress(path, 'sendmsg');
      if (libc.sendmsg(fd, descriptorMessage(address.bytes, file.fd), MSG_NOSIGNAL) < 0n) throw systemError(lastErrno(), { syscall: 'sendmsg', path });
    },
  };
}

function sealedFile(path: string, bytes: Uint8Array): Disposable & { fd: number } {
  const fd = libc.memfd_create('message', MFD_CLOEXEC_ALLOW_SEALING);
  if (fd < 0) throw systemError(lastErrno(), { syscall: 'memfd_create', path });
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    if (libc.fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0) throw systemError(lastErrno(), { syscall: 'fcntl', path });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}
