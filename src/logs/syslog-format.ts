// Lines of syslog, and the addresses they go to. Pure. Sources: RFC 3164, RFC 5424, RFC 5425, and what dockerd was seen to send.
import { invalid } from '../lib/errors.ts';
import type { Piece } from './pieces.ts';

export type SyslogAddress =
  | { protocol: 'udp' | 'tcp' | 'tcp+tls'; host: string; port: string }
  | { protocol: 'unix' | 'unixgram'; path: string }
  /** The machine's own, wherever it listens. */
  | { protocol: 'local' };

export const SYSLOG_FORMATS = ['', 'rfc3164', 'rfc5424', 'rfc5424micro'];
const DEFAULT_PORT = '514';
const FACILITIES = [
  'kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp', '', '', '', '',
  'local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7',
];
const DAEMON_FACILITY = 3;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Of `syslog-address`; '' is the machine's own. Error: invalid. */
export function parseSyslogAddress(text: string): SyslogAddress {
  if (text === '') return { protocol: 'local' };
  const match = /^(tcp\+tls|tcp|udp|unixgram|unix):\/\/(.*)$/s.exec(text);
  const [, protocol, rest = ''] = match ?? [];
  if (protocol === 'unix' || protocol === 'unixgram') return { protocol, path: rest };
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'tcp+tls') throw invalid(`syslog-address should be in form proto://address, got ${text}`);
  const authority = rest.split('/', 1)[0] ?? '';
  const place = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(authority);
  if (!place) throw invalid(`address ${authority}: too many colons in address`);
  return { protocol, host: place[1] ?? place[2] ?? '', port: place[3] ?? DEFAULT_PORT };
}

/** Its number; '' is the daemon's. Error: invalid. */
export function parseFacility(text: string): number {
  if (text === '') return DAEMON_FACILITY;
  const number = /^\d{1,2}$/.test(text) ? Number(text) : FACILITIES.indexOf(text);
  if (number < 0 || number >= FACILITIES.length) throw invalid('invalid syslog facility');
  return number;
}

export interface SyslogStyle { format: string; facility: number; tag: string; hostName: string; pid: number; /** As RFC 5425 wants it on an encrypted stream. */ counted: boolean }

/** One message, newline and all. */
export function syslogMessage(style: SyslogStyle, { stream, timeNs, bytes }: Piece): Buffer {
  const priority = style.facility * 8 + (stream === 'stderr' ? 3 : 6);
  const head = Buffer.from(`<${priority}>${headOf(style, timeNs)}`);
  const message = Buffer.concat([head, bytes, bytes.at(-1) === 0x0a ? new Uint8Array(0) : Buffer.from('\n')]);
  return style.counted && style.format.startsWith('rfc5424') ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message;
}

function headOf({ format, tag, hostName, pid }: SyslogStyle, timeNs: bigint): string {
  const time = new Date(Number(timeNs / 1_000_000n));
  switch (format) {
    case 'rfc5424': return `1 ${time.toISOString().slice(0, 19)}Z ${hostName} ${tag} ${pid} ${tag} - `;
    case 'rfc5424micro': return `1 ${time.toISOString().slice(0, 19)}.${(timeNs / 1000n % 1_000_000n).toString().padStart(6, '0')}Z ${hostName} ${tag} ${pid} ${tag} - `;
    case 'rfc3164': return `${stamp(time)} ${hostName} ${tag}[${pid}]: `;
    default: return `${stamp(time)} ${tag}[${pid}]: `; // how programs speak to the syslog of their machine
  }
}

/** Local time without year and zone. */
function stamp(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  return `${MONTHS[time.getMonth()]} ${String(time.getDate()).padStart(2)} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
