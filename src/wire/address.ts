// How addresses and ports are written in Docker's API: IP addresses, MAC addresses, ports and their ranges.

/** Highest number of a TCP, UDP or SCTP port. */
const MAX_PORT = 0xffff;
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\.?\s*$/i;
/** 48, 64 or 160 bits, all with the same separator, or in groups of four digits. Source: what Go's net.ParseMAC takes. */
const MAC = /^(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}(?:[0-9a-f]{2}|(?:[0-9a-f]{2}\1){2}[0-9a-f]{2}|(?:[0-9a-f]{2}\1){14}[0-9a-f]{2})|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){3}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){9})$/i;

export const isIpv4 = (text: string): boolean => IPV4.test(text);
/** Without a zone. */
export const isIpv6 = (text: string): boolean => /^[0-9a-f:.]+$/i.test(text) && text.includes(':') && URL.canParse(`http://[${text}]/`);
export const isIp = (text: string): boolean => isIpv4(text) || isIpv6(text);
export const isMac = (text: string): boolean => MAC.test(text);
/** An address of either family with the length of its prefix: 10.0.0.1/8, fd00::/64. */
export function isCidr(text: string): boolean {
  const [, address = '', prefix] = /^([^/]*)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  return (isIpv4(address) && Number(prefix) <= 32) || (isIpv6(address) && Number(prefix) <= 128);
}
/** A domain to search names in, or '.' for none. Source: what dockerd and docker take for --dns-search. */
export const isSearchDomain = (text: string): boolean => text.trim() === '.' || (/[a-z]/i.test(text) && text.trim().length < 255 && DOMAIN.test(text));

/** "80" or "8000-8010" as first and last port; undefined when it is neither. An empty text is port 0, as with Docker. */
export function parsePortRange(text: string): { first: number; last: number } | undefined {
  const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text === '' ? '0' : text) ?? [];
  if (from === undefined) return undefined;
  const [first, last] = [Number(from), Number(to ?? from)];
  return first <= last && last <= MAX_PORT ? { first, last } : undefined;
}

/** "80/tcp" → port and protocol; tcp when none is said. */
export function splitPort(text: string): { port: string; protocol: string } {
  const [port = '', protocol] = text.split('/', 2);
  return { port, protocol: protocol || 'tcp' };
}
