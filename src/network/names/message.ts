// DNS messages as far as a resolver between containers and servers needs them: questions are read, answers about containers written, all else passes through as it came. Source: RFC 1035, RFC 6891.

/** Source: RFC 1035 §2.3.4; RFC 6891 §6.2.5. */
export const MAX_UDP_BYTES = 512;
export const MAX_MESSAGE_BYTES = 65_535;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const HEADER_BYTES = 12;
/** A query has at most one record of each kind of section beside its question, and two additional ones (EDNS and a signature). */
const MAX_QUERY_RECORDS = { answers: 1, authorities: 1, additional: 2 };

export const TYPE = { a: 1, ptr: 12, aaaa: 28, opt: 41 } as const;
const CLASS_IN = 1;
export const RCODE = { ok: 0, malformed: 1, failed: 2, noSuchName: 3, notImplemented: 4 } as const;

const FLAG = { answer: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursionDesired: 0x0100, recursionAvailable: 0x0080, checkingDisabled: 0x0010 } as const;
const OPCODE_MASK = 0x7800;
const RCODE_MASK = 0x000f;

export interface Question {
  /** Without the last dot, in lower case; a dot or backslash within a label and what is no printable ASCII are written \DDD. '' is the root. */
  name: string;
  type: number;
  /** Whether it is of the internet class; of others nothing is known here. */
  internet: boolean;
  /** The question's own bytes: name as it was written, type and class. */
  bytes: Uint8Array;
}

export interface Query {
  id: number;
  question: Question;
  /** How long an answer over UDP may be. */
  answerLimitBytes: number;
}

/** `reply`: what a malformed query is answered with; undefined: it gets no answer, as it is an answer itself or too short to be anything. */
export type Reading = { query: Query } | { query: undefined; reply: Buffer | undefined };

/** Reads what a client sent. Any bytes get a reading. */
export function readQuery(message: Buffer): Reading {
  if (message.length < HEADER_BYTES) return { query: undefined, reply: undefined };
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.answer) !== 0) return { query: undefined, reply: undefined };
  if ((flags & OPCODE_MASK) !== 0) return { query: undefined, reply: refusal(message, RCODE.notImplemented) };
  const question = readQuestion(message);
  const answerLimitBytes = question && readAnswerLimit(message, HEADER_BYTES + question.bytes.length);
  if (!question || answerLimitBytes === undefined) return { query: undefined, reply: refusal(message, RCODE.malformed) };
  return { query: { id: message.readUInt16BE(0), question, answerLimitBytes } };
}

/** What an answer of a server says about itself; undefined when it is none to this question, or no message at all. */
export function readAnswer(message: Buffer, asked: { id: number; question: Question }): { rcode: number; authoritative: boolean } | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(0) !== asked.id) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.answer) === 0 || (flags & OPCODE_MASK) !== 0) return undefined;
  const rcode = flags & RCODE_MASK;
  const facts = { rcode, authoritative: (flags & FLAG.authoritative) !== 0 };
  // A server that does not understand or want a question need not repeat it.
  if (message.readUInt16BE(4) === 0) return rcode === RCODE.ok || rcode === RCODE.noSuchName ? undefined : facts;
  const question = readQuestion(message);
  return question && question.name === asked.question.name && question.type === asked.question.type && question.internet === asked.question.internet ? facts : undefined;
}

/** The same message under another number. */
export function withId(message: Uint8Array, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

export interface Finding {
  /** Addresses for A and AAAA in the text form of the question's family, or the one name of a PTR; none: it exists, but has nothing of that type. */
  addresses?: readonly string[];
  name?: string;
}

/** A positive answer of our own. Of more addresses than fit the first ones are given, and the client told to ask over TCP. */
export function writeAnswer(message: Buffer, { question }: Query, options: { finding: Finding; ttlSeconds: number; limitBytes: number }): Buffer {
  const { addresses = [], name } = options.finding;
  const data = name === undefined ? addresses.map((address) => (question.type === TYPE.a ? ipv4Bytes(address) : ipv6Bytes(address))) : [nameBytes(name)];
  const length = HEADER_BYTES + question.bytes.length;
  const records: Buffer[] = [];
  let total = length;
  for (const bytes of data) {
    const record = recordOf(question.type, options.ttlSeconds, bytes);
    total += record.length;
    if (total > options.limitBytes) break;
    records.push(record);
  }
  const reply = Buffer.concat([emptyReply(message, question), ...records]);
  reply.writeUInt16BE(records.length, 6);
  if (records.length < data.length) reply.writeUInt16BE(reply.readUInt16BE(2) | FLAG.truncated, 2);
  return reply;
}

/** An answer with nothing but the question and a code. */
export function writeFailure(message: Buffer, { question }: Query, rcode: number): Buffer {
  const reply = emptyReply(message, question);
  reply.writeUInt16BE(reply.readUInt16BE(2) | rcode, 2);
  return reply;
}

/** What a client gets over UDP instead of an answer that is longer than it takes: the question, and that it should ask over TCP. */
export function writeTruncated(answer: Buffer, { question }: Query): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  answer.copy(head, 0, 0, 4);
  head.writeUInt16BE(head.readUInt16BE(2) | FLAG.truncated, 2);
  head.writeUInt16BE(1, 4);
  return Buffer.concat([head, question.bytes]);
}

/** The address in "4.3.2.1.in-addr.arpa" or in 32 nibbles of ip6.arpa, IPv6 in full (eight groups of four digits); undefined for any other name. */
export function reverseAddress(name: string): string | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (v4) return [v4[4], v4[3], v4[2], v4[1]].map(Number).join('.');
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  return v6?.split('.').reverse().join('').match(/.{4}/g)?.join(':');
}

/** An IPv6 address in the one form that two texts of it share. */
export const fullIpv6 = (address: string): string => ipv6Bytes(address).toString('hex').match(/.{4}/g)?.join(':') ?? '';

/** The first bytes of a reply: header with our flags, and the question. */
function emptyReply(message: Buffer, question: Question): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES + question.bytes.length);
  message.copy(reply, 0, 0, 2);
  reply.writeUInt16BE(FLAG.answer | FLAG.recursionAvailable | (message.readUInt16BE(2) & (FLAG.recursionDesired | FLAG.checkingDisabled)), 2);
  reply.writeUInt16BE(1, 4);
  reply.set(question.bytes, HEADER_BYTES);
  return reply;
}

/** For what could not be read far enough to repeat its question. */
function refusal(message: Buffer, rcode: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES);
  message.copy(reply, 0, 0, 2);
  reply.writeUInt16BE(FLAG.answer | (message.readUInt16BE(2) & (OPCODE_MASK | FLAG.recursionDesired)) | rcode, 2);
  return reply;
}

/** The one question; undefined when there is not exactly one or it is cut short. */
function readQuestion(message: Buffer): Question | undefined {
  if (message.readUInt16BE(4) !== 1) return undefined;
  const read = readName(message, HEADER_BYTES);
  if (!read || read.end + 4 > message.length) return undefined;
  const bytes = new Uint8Array(message.subarray(HEADER_BYTES, read.end + 4)); // a copy: the message's memory is its reader's
  return { name: read.name, type: message.readUInt16BE(read.end), internet: message.readUInt16BE(read.end + 2) === CLASS_IN, bytes };
}

/** How long the client lets an answer be, after a look at everything behind its question; undefined when that is no query's. */
function readAnswerLimit(message: Buffer, start: number): number | undefined {
  const [answers, authorities, additional] = [message.readUInt16BE(6), message.readUInt16BE(8), message.readUInt16BE(10)];
  if (answers > MAX_QUERY_RECORDS.answers || authorities > MAX_QUERY_RECORDS.authorities || additional > MAX_QUERY_RECORDS.additional) return undefined;
  let limit = MAX_UDP_BYTES;
  let at = start;
  for (let left = answers + authorities + additional; left > 0; left--) {
    const end = readName(message, at)?.end;
    if (end === undefined || end + 10 > message.length) return undefined;
    if (message.readUInt16BE(end) === TYPE.opt) limit = Math.max(limit, message.readUInt16BE(end + 2));
    at = end + 10 + message.readUInt16BE(end + 8);
    if (at > message.length) return undefined;
  }
  return limit;
}

/** A name and where it ends. A pointer must lead to before the place it is followed from, so that every name comes to an end. */
function readName(message: Buffer, start: number): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let [at, end, lowest, bytes] = [start, -1, start, 1];
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return { name: labels.join('.'), end: end < 0 ? at + 1 : end };
    if (length >= 0xc0) {
      const low = message[at + 1];
      if (low === undefined) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= lowest || target < HEADER_BYTES) return undefined;
      if (end < 0) end = at + 2;
      at = lowest = target;
      continue;
    }
    if (length > MAX_LABEL_BYTES || at + 1 + length > message.length) return undefined;
    bytes += length + 1;
    if (bytes > MAX_NAME_BYTES) return undefined;
    labels.push(labelText(message, at + 1, length));
    at += length + 1;
  }
}

function labelText(message: Buffer, start: number, length: number): string {
  let text = '';
  for (let at = start; at < start + length; at++) {
    const byte = message[at] ?? 0;
    if (byte >= 0x41 && byte <= 0x5a) text += String.fromCharCode(byte + 0x20);
    else if (byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c) text += String.fromCharCode(byte);
    else text += `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

/** A record about the name of the question, which a pointer stands for. */
function recordOf(type: number, ttlSeconds: number, data: Buffer): Buffer {
  const record = Buffer.alloc(12 + data.length);
  record.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  record.writeUInt16BE(type, 2);
  record.writeUInt16BE(CLASS_IN, 4);
  record.writeUInt32BE(ttlSeconds, 6);
  record.writeUInt16BE(data.length, 10);
  record.set(data, 12);
  return record;
}

/** Labels that are too long are cut: a name of a container may be longer than DNS knows. */
function nameBytes(name: string): Buffer {
  const parts: Buffer[] = [];
  let total = 1;
  for (const label of name.split('.').filter((text) => text !== '')) {
    const bytes = Buffer.from(label, 'latin1').subarray(0, MAX_LABEL_BYTES);
    total += bytes.length + 1;
    if (total > MAX_NAME_BYTES) break;
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  return Buffer.concat([...parts, Buffer.from([0])]);
}

const ipv4Bytes = (address: string): Buffer => Buffer.from(address.split('.').map(Number));

function ipv6Bytes(address: string): Buffer {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const text = dotted ? `${dotted[1]}${ipv4Bytes(dotted[2] ?? '').toString('hex').replace(/^(.{4})/, '$1:')}` : address;
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail ?? '')];
  const middle = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  const all = [...before, ...middle, ...after].map((group) => Number.parseInt(group, 16));
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.slice(0, 8).entries()) bytes.writeUInt16BE(group & 0xffff, index * 2);
  return bytes;
}
