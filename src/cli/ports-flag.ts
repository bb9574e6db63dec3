// --publish and --expose: what people type → ports of the container and where they are bound.
import { isIp } from '../wire/address.ts';
import type { EmptyMap, PortBinding } from '../wire/types.ts';
import { Failure } from './failure.ts';

export interface PortsWanted { exposed: EmptyMap; bindings: Record<string, PortBinding[]> }

/** Most ports one flag may name: all there are. */
const MAX_PORT = 65535;

/** `8080:80`, `127.0.0.1::53/udp`, `1000-1002:1000-1002`, `[::1]:80:80`. */
export function parsePorts(publish: readonly string[], expose: readonly string[]): PortsWanted {
  const wanted: PortsWanted = { exposed: {}, bindings: {} };
  for (const text of publish) publishOne(wanted, text.includes('=') ? fromFields(text) : text);
  for (const text of expose) exposeOne(wanted, text);
  return wanted;
}

function publishOne(wanted: PortsWanted, text: string): void {
  const { ip, host, container } = splitParts(text);
  const slash = container.indexOf('/');
  const [range, protocol] = slash < 0 ? [container, 'tcp'] : [container.slice(0, slash), (container.split('/')[1] ?? '').toLowerCase()];
  if (ip !== '' && !isIp(ip)) throw new Failure(`Invalid ip address: ${ip}`);
  if (range === '') throw new Failure(`No port specified: ${text}<empty>`);
  const inside = parseRange(range, () => `Invalid containerPort: ${range}`);
  const outside = host === '' ? undefined : parseRange(host, () => `Invalid hostPort: ${host}`);
  const count = inside.last - inside.first;
  const outsideCount = outside ? outside.last - outside.first : count;
  // A whole range of the host for one port means: any free one of it.
  if (outside && outsideCount !== count && count !== 0) throw new Failure(`Invalid ranges specified for container and host Ports: ${range} and ${host}`);
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw new Failure(`Invalid proto: ${protocol}`);
  for (let step = 0; step <= count; step++) {
    const key = `${inside.first + step}/${protocol}`;
    const hostPort = !outside ? '' : outsideCount === count ? String(outside.first + step) : host;
    wanted.exposed[key] = {};
    (wanted.bindings[key] ??= []).push({ HostIp: ip, HostPort: hostPort });
  }
}

function splitParts(text: string): { ip: string; host: string; container: string } {
  const parts = text.split(':');
  const container = parts.pop() ?? '';
  const host = parts.pop() ?? '';
  return { ip: parts.join(':').replace(/^\[|\]$/g, ''), host, container };
}

/** The long form: `published=8080,target=80,protocol=tcp`. */
function fromFields(text: string): string {
  const fields = new Map(text.split(',').map((field): [string, string] => [field.split('=')[0]?.trim().toLowerCase() ?? '', field.split('=')[1]?.trim() ?? '']));
  for (const key of fields.keys()) if (!['published', 'target', 'protocol', 'mode'].includes(key)) throw new Failure(`invalid field key ${key}`);
  return `${fields.get('published') ?? ''}:${fields.get('target') ?? ''}/${fields.get('protocol') ?? 'tcp'}`;
}

function exposeOne(wanted: PortsWanted, text: string): void {
  if (text.includes(':')) throw new Failure(`invalid port format for --expose: ${text}`);
  const [range = '', protocol = 'tcp'] = text.split('/');
  const reason = (bad: string) => (bad === range && /^\d+-\d+$/.test(bad) ? `Invalid range specified for the Port: ${bad}` : `strconv.ParseUint: parsing ${JSON.stringify(bad)}: ${/^\d+$/.test(bad) ? 'value out of range' : 'invalid syntax'}`);
  const { first, last } = parseRange(range, (bad) => `invalid range format for --expose: ${text}, error: ${reason(bad)}`);
  for (let port = first; port <= last; port++) wanted.exposed[`${port}/${protocol.toLowerCase()}`] ??= {};
}

function parseRange(text: string, refusal: (bad: string) => string): { first: number; last: number } {
  const [first = '', last = first, ...more] = text.split('-');
  for (const one of [first, last]) if (!/^\d+$/.test(one) || Number(one) > MAX_PORT || more.length > 0) throw new Failure(refusal(one));
  if (Number(last) < Number(first)) throw new Failure(refusal(text));
  return { first: Number(first), last: Number(last) };
}
