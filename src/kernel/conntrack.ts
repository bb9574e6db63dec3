// What the kernel remembers of connections, so that it can be made to forget: a flow that goes on keeps the way that its first packet took. Source: linux/netfilter/nfnetlink_conntrack.h.
import { errnoOf } from '../lib/errors.ts';
import type { NetNamespace } from './index.ts';
import { parseIp } from './net-address.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import { FLAG, decodeAttributes, numberOf } from './netlink.ts';
import type { Request } from './rtnetlink.ts';

const SUBSYSTEM = 1 << 8, GET = SUBSYSTEM | 1, DELETE = SUBSYSTEM | 2;
const CTA = { original: 1, reply: 2, id: 12, zone: 18 } as const;
const TUPLE = { addresses: 1, protocol: 2 } as const;
const PROTOCOL = { number: 1, destinationPort: 3 } as const;
const IPPROTO_UDP = 17;

/** Where the kernel has no such thing there is nothing to forget. */
const NONE = ['EPROTONOSUPPORT', 'EOPNOTSUPP', 'EINVAL', 'EAFNOSUPPORT'];

export type FlowsWish = Parameters<NetNamespace['forgetFlows']>[0];

/** How many there were. */
export function forgetFlows(open: () => NetlinkSocket, wish: FlowsWish): number {
  try {
    using netlink = open();
    const found = netlink.list({ type: GET, flags: FLAG.request | FLAG.dump, header: new Uint8Array(4), attributes: [] }, matcherOf(wish));
    // One that ended by itself meanwhile is just as well.
    return found.length === 0 ? 0 : netlink.tell(found.map(forgetting)).filter(({ errno }) => errno === 0).length;
  } catch (error) {
    if (NONE.includes(errnoOf(error) ?? '')) return 0;
    throw error;
  }
}

/** Tables have up to hundreds of thousands of entries: most are told apart by their bytes, before anything is taken apart. */
export function matcherOf({ addresses = [], udpPorts = [] }: FlowsWish): (payload: Uint8Array) => boolean {
  const wanted = addresses.flatMap((text) => { const bytes = parseIp(text); return bytes ? [Buffer.from(bytes)] : []; });
  const ports = udpPorts.map((port) => Buffer.from([port >> 8, port & 0xff]));
  return (payload) => {
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    if (![...wanted, ...ports].some((part) => bytes.includes(part))) return false;
    const found = decodeAttributes(payload, 4);
    const tuples = [found.get(CTA.original), found.get(CTA.reply)].map((tuple) => decodeAttributes(tuple ?? new Uint8Array()));
    const ends = tuples.flatMap((tuple) => [...decodeAttributes(tuple.get(TUPLE.addresses) ?? new Uint8Array()).values()]);
    if (ends.some((end) => wanted.some((address) => address.equals(end)))) return true;
    const protocol = decodeAttributes(tuples[0]?.get(TUPLE.protocol) ?? new Uint8Array());
    return protocol.get(PROTOCOL.number)?.[0] === IPPROTO_UDP && ports.some((port) => port.equals(protocol.get(PROTOCOL.destinationPort) ?? new Uint8Array()));
  };
}

/** The very entry: by its first direction and its number, so that a new one of the same ends stays. */
function forgetting(payload: Uint8Array): Request {
  const found = decodeAttributes(payload, 4);
  const [original, id, zone] = [found.get(CTA.original), found.get(CTA.id), found.get(CTA.zone)];
  return {
    type: DELETE, flags: FLAG.request | FLAG.acknowledge, header: payload.slice(0, 4),
    attributes: [
      ...(original ? [{ type: CTA.original | NESTED, value: original }] : []),
      ...(id && numberOf(id) !== 0 ? [{ type: CTA.id, value: id }] : []),
      ...(zone ? [{ type: CTA.zone, value: zone }] : []),
    ],
  };
}

/** NLA_F_NESTED, for bytes that are handed back as they came. */
const NESTED = 0x8000;
