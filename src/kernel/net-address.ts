// Addresses of the network as text and as bytes: IPv4, IPv6 (RFC 4291, written as RFC 5952 says), and those of Ethernet.

/** 4 or 16 bytes; undefined for what is no address. A zone ("%eth0") belongs to no address here. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

export function formatIp(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join('.') : formatIpv6(bytes);
}

/** 172.17.0.2/16. undefined for what is none; without a length it is that of the single address. */
export function parsePrefix(text: string): { bytes: Uint8Array; length: number } | undefined {
  const [address = '', length, ...more] = text.split('/');
  const bytes = parseIp(address);
  if (bytes === undefined || more.length > 0) return undefined;
  const bits = length === undefined ? bytes.length * 8 : /^\d{1,3}$/.test(length) ? Number(length) : Infinity;
  return bits <= bytes.length * 8 ? { bytes, length: bits } : undefined;
}

/** 02:42:ac:11:00:02 to six bytes. */
export function parseMac(text: string): Uint8Array | undefined {
  return /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(text) ? Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16)) : undefined;
}

export const formatMac = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined;
  return Uint8Array.from(parts, Number);
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = [groupsOf(halves[0] ?? '', halves.length === 1), halves.length === 2 ? groupsOf(halves[1] ?? '', true) : []];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The 16-bit groups between colons; the last one of all may be a whole IPv4 address. */
function groupsOf(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const last = parts.at(-1) ?? '';
  const ipv4 = atEnd && last.includes('.') ? parseIpv4(last) : undefined;
  if (ipv4) parts.pop();
  if (!parts.every((part) => /^[0-9a-f]{1,4}$/i.test(part))) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = ipv4 ?? [];
  return [...parts.map((part) => Number.parseInt(part, 16)), ...(ipv4 ? [a << 8 | b, c << 8 | d] : [])];
}

function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_none, index) => ((bytes[index * 2] ?? 0) << 8 | (bytes[index * 2 + 1] ?? 0)));
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) return `::ffff:${bytes.subarray(12).join('.')}`;
  const { start, length } = longestZeros(groups);
  const words = groups.map((group) => group.toString(16));
  return length < 2 ? words.join(':') : `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`;
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
