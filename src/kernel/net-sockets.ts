// Sockets of the internet families as bare descriptors, made in whatever network namespace the thread is in; Node takes them over from there.
import { closeSync } from 'node:fs';
import type { NetNamespace } from './index.ts';
import { formatIp, parseIp } from './net-address.ts';
import { lastErrno, libc, systemError } from './sys.ts';

// Source: sys/socket.h, netinet/in.h, linux/sctp.h.
const AF_INET = 2, AF_INET6 = 10;
const SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const IPPROTO = { tcp: 6, udp: 17, sctp: 132 } as const;
const SOL_SOCKET = 1, SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26;
const PORT_MAX = 65535;

type Protocol = keyof typeof IPPROTO;
/** `link`: index of the interface by which an address that is valid on one link alone is meant. */
type Place = { address: string; port: number; link?: number };

export function udpSocket({ reuse = false, ...at }: Parameters<NetNamespace['udpSocket']>[0]): { fd: number; port: number } {
  return guarded(open(at, 'udp'), (fd) => {
    if (reuse) setOption(fd, [SOL_SOCKET, SO_REUSEADDR], at);
    bind(fd, at, 'udp');
    return { fd, port: portOf(fd) };
  });
}

/**
 * With SO_REUSEADDR: connections of an earlier listener that are closing down do not keep the port. Not where nobody is listened to: two such sockets
 * would share it. SCTP takes a backlog of 0 for the end of listening.
 */
export function listener({ backlog, protocol = 'tcp', ...at }: Parameters<NetNamespace['tcpListener']>[0]): { fd: number; port: number } {
  const silent = backlog === 0 && protocol === 'sctp';
  return guarded(open(at, protocol), (fd) => {
    if (!silent) setOption(fd, [SOL_SOCKET, SO_REUSEADDR], at);
    bind(fd, at, protocol);
    if (!silent && libc.listen(fd, backlog) !== 0) throw systemError(lastErrno(), { syscall: 'listen', detail: told(at, protocol) });
    return { fd, port: portOf(fd) };
  });
}

export function tcpConnection(to: Place): number {
  return guarded(open(to, 'tcp'), (fd) => {
    const address = socketAddress(to);
    if (libc.connect(fd, address, address.length) === 0) return fd;
    const code = lastErrno();
    if (code !== 'EINPROGRESS') throw systemError(code, { syscall: 'connect', detail: told(to, 'tcp') });
    return fd;
  });
}

function open(at: Place, protocol: Protocol): number {
  const family = at.address.includes(':') ? AF_INET6 : AF_INET;
  const fd = libc.socket(family, (protocol === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK_CLOEXEC, IPPROTO[protocol]);
  if (fd < 0) throw systemError(lastErrno(), { syscall: 'socket', detail: told(at, protocol) });
  // '::' would take 0.0.0.0 along; who wants both asks for both.
  return family === AF_INET ? fd : guarded(fd, () => { setOption(fd, [IPPROTO_IPV6, IPV6_V6ONLY], at); return fd; });
}

function bind(fd: number, at: Place, protocol: Protocol): void {
  const address = socketAddress(at);
  if (libc.bind(fd, address, address.length) !== 0) throw systemError(lastErrno(), { syscall: 'bind', detail: told(at, protocol) });
}

function portOf(fd: number): number {
  const address = Buffer.alloc(28), length = Buffer.alloc(4);
  length.writeUInt32LE(address.length);
  if (libc.getsockname(fd, address, length) !== 0) throw systemError(lastErrno(), { syscall: 'getsockname' });
  return address.readUInt16BE(2);
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress({ address, port, link = 0 }: Place): Buffer {
  const ip = parseIp(address);
  if (!ip || !Number.isInteger(port) || port < 0 || port > PORT_MAX) throw systemError('EINVAL', { syscall: 'bind', detail: `${address} port ${port}` });
  const bytes = Buffer.alloc(ip.length === 4 ? 16 : 28);
  bytes.writeUInt16LE(ip.length === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ip, ip.length === 4 ? 4 : 8);
  if (ip.length === 16) bytes.writeUInt32LE(link, 24); // sin6_scope_id
  return bytes;
}

function setOption(fd: number, [level, option]: readonly [number, number], at: Place): void {
  const on = Uint8Array.of(1, 0, 0, 0);
  if (libc.setsockopt(fd, level, option, on, on.length) !== 0) throw systemError(lastErrno(), { syscall: 'setsockopt', detail: told(at) });
}

function guarded<T>(fd: number, use: (fd: number) => T): T {
  try { return use(fd); } catch (error) { closeSync(fd); throw error; }
}

function told({ address, port }: Place, protocol?: Protocol): string {
  const ip = parseIp(address);
  const text = ip ? formatIp(ip) : address;
  return `${text.includes(':') ? `[${text}]` : text}:${port}${protocol ? `/${protocol}` : ''}`;
}
