// What is asked of and told by the kernel's network configuration, as values and as netlink messages. Source: linux/rtnetlink.h, if_link.h, if_addr.h, veth.h.
import type { NetAddress, NetLink, NetRoute } from './index.ts';
import { formatIp, formatMac, parseIp, parseMac, parsePrefix } from './net-address.ts';
import { FLAG, bytes16, bytes8, decodeAttributes, encodeAttributes, numberOf, textOf, type Attribute } from './netlink.ts';
import { systemError } from './sys.ts';

/** A message without its sequence number. */
export interface Request { type: number; flags: number; header: Uint8Array; attributes: readonly Attribute[] }

const RTM = { newLink: 16, deleteLink: 17, getLink: 18, newAddress: 20, deleteAddress: 21, getAddress: 22, newRoute: 24, deleteRoute: 25, getRoute: 26 } as const;

const IFLA = { address: 1, name: 3, mtu: 4, link: 5, master: 10, linkInfo: 18, alias: 20, netNsFd: 28, extMask: 29 } as const;
const INFO = { kind: 1, data: 2, slaveKind: 4, slaveData: 5 } as const;
const PORT = { hairpin: 4, learning: 8, isolated: 33 } as const;
const IFA = { address: 1, local: 2, broadcast: 4 } as const;
const RTA = { destination: 1, link: 4, gateway: 5, source: 7, table: 15 } as const;
const VETH_PEER = 1, VLAN_ID = 1, MACVLAN_MODE = 1;
const MACVLAN_MODES: Readonly<Record<string, number>> = { private: 1, vepa: 2, bridge: 4, passthru: 8 };

const AF_UNSPEC = 0, AF_INET = 2, AF_INET6 = 10;
const IFF_UP = 1;
const ALIAS_MAX_BYTES = 255;
const NAME_MAX_BYTES = 15;
/** RTEXT_FILTER_SKIP_STATS: they would be half of every answer. */
const WITHOUT_STATISTICS = 8;
const ADDRESS_NO_DETECTION = 2;
const TABLE_MAIN = 254, PROTOCOL_BOOT = 3, UNICAST = 1, ROUTE_CLONED = 0x200, NEXT_HOP_ON_LINK = 4;
const SCOPE = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;

const DO = FLAG.request | FLAG.acknowledge;
const MAKE = DO | FLAG.create | FLAG.exclusive;

export interface LinkWish { name: string; mac?: string | undefined; mtu?: number | undefined; master?: number | undefined; parent?: number | undefined; namespaceFd?: number | undefined }
/** What a new device is, with what only that kind has. */
export type KindWish =
  | { kind: 'bridge' | 'dummy' }
  | { kind: 'veth'; peer: LinkWish }
  | { kind: 'macvlan'; mode: string }
  | { kind: 'vlan'; id: number };
export interface LinkChange { up?: boolean | undefined; mtu?: number | undefined; mac?: string | undefined; alias?: string | undefined; /** 0 for none */ master?: number | undefined; port?: PortChange | undefined }
export interface PortChange { hairpin?: boolean | undefined; isolated?: boolean | undefined; learning?: boolean | undefined }

export const addLink = (wish: LinkWish, kind: KindWish): Request => ({
  type: RTM.newLink, flags: MAKE, header: linkHeader({}),
  attributes: [...linkAttributes(wish), { type: IFLA.linkInfo, value: [{ type: INFO.kind, value: kind.kind }, ...kindData(kind)] }],
});

export const changeLink = (name: string, change: LinkChange): Request => ({
  type: RTM.newLink, flags: DO, header: linkHeader({ up: change.up }), // without "create" it means the one that is there
  attributes: [
    { type: IFLA.name, value: deviceName(name) },
    ...some(change.mtu, (value) => ({ type: IFLA.mtu, value })),
    ...some(change.mac, (mac) => ({ type: IFLA.address, value: macBytes(mac) })),
    ...some(change.alias, (alias) => ({ type: IFLA.alias, value: aliasBytes(alias) })),
    ...some(change.master, (value) => ({ type: IFLA.master, value })),
    ...some(change.port, (port) => ({ type: IFLA.linkInfo, value: [{ type: INFO.slaveKind, value: 'bridge' }, { type: INFO.slaveData, value: portAttributes(port) }] })),
  ],
});

export const renameLink = (index: number, name: string): Request => ({ type: RTM.newLink, flags: DO, header: linkHeader({ index }), attributes: [{ type: IFLA.name, value: deviceName(name) }] });
export const deleteLink = (name: string): Request => ({ type: RTM.deleteLink, flags: DO, header: linkHeader({}), attributes: [{ type: IFLA.name, value: deviceName(name) }] });
export const getLink = (name: string): Request => ({ type: RTM.getLink, flags: FLAG.request, header: linkHeader({}), attributes: [{ type: IFLA.name, value: deviceName(name) }, { type: IFLA.extMask, value: WITHOUT_STATISTICS }] });

export const listLinks: Request = { type: RTM.getLink, flags: FLAG.request | FLAG.dump, header: linkHeader({}), attributes: [{ type: IFLA.extMask, value: WITHOUT_STATISTICS }] };
export const listAddresses: Request = { type: RTM.getAddress, flags: FLAG.request | FLAG.dump, header: new Uint8Array(8), attributes: [] };
export const listRoutes: Request = { type: RTM.getRoute, flags: FLAG.request | FLAG.dump, header: new Uint8Array(12), attributes: [] };

export function addAddress(link: number, text: string): Request {
  return { ...addressRequest(link, text), type: RTM.newAddress, flags: MAKE };
}

export function deleteAddress(link: number, text: string): Request {
  return { ...addressRequest(link, text), type: RTM.deleteAddress, flags: DO };
}

export function setRoute({ link, destination, gateway = '', source = '', onLink = false }: { link: number; destination: string; gateway?: string | undefined; source?: string | undefined; onLink?: boolean | undefined }): Request {
  const { family, bytes, length } = prefix(destination);
  return {
    type: RTM.newRoute, flags: DO | FLAG.create | FLAG.replace,
    header: routeHeader({ family, length, scope: gateway === '' && family === AF_INET ? SCOPE.link : SCOPE.universe, flags: onLink ? NEXT_HOP_ON_LINK : 0 }),
    attributes: [
      ...(length === 0 ? [] : [{ type: RTA.destination, value: bytes }]),
      { type: RTA.link, value: link },
      ...(gateway === '' ? [] : [{ type: RTA.gateway, value: ipBytes(gateway) }]),
      ...(source === '' ? [] : [{ type: RTA.source, value: ipBytes(source) }]),
    ],
  };
}

export function deleteRoute({ destination, link }: { destination: string; link?: number | undefined }): Request {
  const { family, bytes, length } = prefix(destination);
  return {
    type: RTM.deleteRoute, flags: DO, header: routeHeader({ family, length, scope: SCOPE.nowhere, flags: 0 }),
    attributes: [...(length === 0 ? [] : [{ type: RTA.destination, value: bytes }]), ...some(link, (value) => ({ type: RTA.link, value }))],
  };
}

export function decodeLink(payload: Uint8Array): NetLink {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const found = decodeAttributes(payload, 16);
  const info = decodeAttributes(found.get(IFLA.linkInfo) ?? new Uint8Array());
  return {
    index: view.getInt32(4, true), name: textOf(found.get(IFLA.name)), kind: textOf(info.get(INFO.kind)), mac: formatMac(found.get(IFLA.address) ?? new Uint8Array()),
    mtu: numberOf(found.get(IFLA.mtu)), up: (view.getUint32(8, true) & IFF_UP) !== 0, alias: textOf(found.get(IFLA.alias)), master: numberOf(found.get(IFLA.master)), peer: numberOf(found.get(IFLA.link)),
  };
}

export function decodeAddress(payload: Uint8Array): NetAddress {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const found = decodeAttributes(payload, 8);
  const address = found.get(IFA.local) ?? found.get(IFA.address) ?? new Uint8Array(4); // of a tunnel the second is the far end
  return { link: view.getUint32(4, true), address: `${formatIp(address)}/${payload[1]}`, scope: scopeName(payload[3]) };
}

/** undefined for what is not of interest: other families, learned exceptions, local and broadcast ones, and other tables than the main one. */
export function decodeRoute(payload: Uint8Array): NetRoute | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const [family, length] = payload;
  const found = decodeAttributes(payload, 12);
  const table = numberOf(found.get(RTA.table)) || (payload[4] ?? 0);
  if ((family !== AF_INET && family !== AF_INET6) || table !== TABLE_MAIN || payload[7] !== UNICAST || (view.getUint32(8, true) & ROUTE_CLONED) !== 0) return undefined;
  const text = (value: Uint8Array | undefined) => (value === undefined ? '' : formatIp(value));
  return {
    link: numberOf(found.get(RTA.link)), destination: `${formatIp(found.get(RTA.destination) ?? new Uint8Array(family === AF_INET ? 4 : 16))}/${length}`,
    gateway: text(found.get(RTA.gateway)), source: text(found.get(RTA.source)), table, scope: scopeName(payload[6]),
  };
}

/** struct ifinfomsg */
function linkHeader({ index = 0, up }: { index?: number; up?: boolean | undefined }): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes[0] = AF_UNSPEC;
  bytes.writeInt32LE(index, 4);
  if (up !== undefined) { bytes.writeUInt32LE(up ? IFF_UP : 0, 8); bytes.writeUInt32LE(IFF_UP, 12); }
  return bytes;
}

function linkAttributes(wish: LinkWish): Attribute[] {
  return [
    { type: IFLA.name, value: deviceName(wish.name) },
    ...some(wish.mac, (mac) => ({ type: IFLA.address, value: macBytes(mac) })),
    ...some(wish.mtu, (value) => ({ type: IFLA.mtu, value })),
    ...some(wish.master, (value) => ({ type: IFLA.master, value })),
    ...some(wish.parent, (value) => ({ type: IFLA.link, value })),
    ...some(wish.namespaceFd, (value) => ({ type: IFLA.netNsFd, value })),
  ];
}

function kindData(kind: KindWish): Attribute[] {
  switch (kind.kind) {
    case 'bridge': case 'dummy': return [];
    // The other end has a whole message of its own in there; so it comes into being in its namespace, instead of being moved there.
    case 'veth': return [{ type: INFO.data, value: [{ type: VETH_PEER, value: Buffer.concat([linkHeader({}), encodeAttributes(linkAttributes(kind.peer))]) }] }];
    case 'vlan': return [{ type: INFO.data, value: [{ type: VLAN_ID, value: bytes16(kind.id) }] }];
    case 'macvlan': {
      const mode = MACVLAN_MODES[kind.mode];
      if (mode === undefined) throw systemError('EINVAL', { syscall: 'netlink', detail: `macvlan mode ${JSON.stringify(kind.mode)}` });
      return [{ type: INFO.data, value: [{ type: MACVLAN_MODE, value: mode }] }];
    }
  }
}

const portAttributes = (port: PortChange): Attribute[] => [
  ...some(port.hairpin, (on) => ({ type: PORT.hairpin, value: bytes8(on ? 1 : 0) })),
  ...some(port.isolated, (on) => ({ type: PORT.isolated, value: bytes8(on ? 1 : 0) })),
  ...some(port.learning, (on) => ({ type: PORT.learning, value: bytes8(on ? 1 : 0) })),
];

/** struct ifaddrmsg. An IPv4 network of more than two addresses has one for all of it, as programs inside expect. */
function addressRequest(link: number, text: string): Pick<Request, 'header' | 'attributes'> {
  const { family, bytes, length } = prefix(text);
  const loopback = family === AF_INET && bytes[0] === 127;
  const header = Buffer.from([family, length, family === AF_INET6 ? ADDRESS_NO_DETECTION : 0, loopback ? SCOPE.host : SCOPE.universe, 0, 0, 0, 0]);
  header.writeUInt32LE(link, 4);
  const broadcast = family === AF_INET && length < 31 && !loopback ? [{ type: IFA.broadcast, value: broadcastOf(bytes, length) }] : [];
  return { header, attributes: [{ type: IFA.local, value: bytes }, { type: IFA.address, value: bytes }, ...broadcast] };
}

/** struct rtmsg */
function routeHeader({ family, length, scope, flags }: { family: number; length: number; scope: number; flags: number }): Uint8Array {
  const bytes = Buffer.from([family, length, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, UNICAST, 0, 0, 0, 0]);
  bytes.writeUInt32LE(flags, 8);
  return bytes;
}

const broadcastOf = (bytes: Uint8Array, length: number): Uint8Array => bytes.map((byte, index) => byte | 0xff >> Math.min(8, Math.max(0, length - index * 8)));

function prefix(text: string): { family: number; bytes: Uint8Array; length: number } {
  const parsed = parsePrefix(text);
  if (!parsed) throw systemError('EINVAL', { syscall: 'netlink', detail: `address ${JSON.stringify(text)}` });
  return { ...parsed, family: parsed.bytes.length === 4 ? AF_INET : AF_INET6 };
}

function ipBytes(text: string): Uint8Array {
  const bytes = parseIp(text);
  if (!bytes) throw systemError('EINVAL', { syscall: 'netlink', detail: `address ${JSON.stringify(text)}` });
  return bytes;
}

function macBytes(text: string): Uint8Array {
  const bytes = parseMac(text);
  if (!bytes) throw systemError('EINVAL', { syscall: 'netlink', detail: `MAC address ${JSON.stringify(text)}` });
  return bytes;
}

/** The kernel would cut some names short and refuse others without a word. */
function deviceName(name: string): string {
  if (name === '' || Buffer.byteLength(name) > NAME_MAX_BYTES || /[\0/:\s]/.test(name) || name === '.' || name === '..') throw systemError('EINVAL', { syscall: 'netlink', detail: `device name ${JSON.stringify(name)}` });
  return name;
}

function aliasBytes(alias: string): Uint8Array {
  if (Buffer.byteLength(alias) > ALIAS_MAX_BYTES) throw systemError('EINVAL', { syscall: 'netlink', detail: 'alias of more than 255 bytes' });
  return Buffer.from(alias); // without a NUL: an empty one takes the note away
}

function scopeName(scope: number | undefined): 'global' | 'link' | 'host' {
  return scope === SCOPE.host ? 'host' : scope === SCOPE.link ? 'link' : 'global';
}

const some = <T>(value: T | undefined, make: (value: T) => Attribute): Attribute[] => (value === undefined ? [] : [make(value)]);
