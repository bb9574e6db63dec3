// Netlink's envelope: messages and attributes to bytes and back, without a socket. Source: linux/netlink.h; both supported machines count from the low byte up.

/** `value`: bytes as they are, a number as 32 bits, a text with its closing NUL, or attributes within this one. */
export interface Attribute { type: number; value: Uint8Array | number | string | readonly Attribute[] }
export interface Message { type: number; flags: number; sequence: number; payload: Uint8Array }
/** What the kernel answers to a request: 0 for done, or the number of an error with its own words ('' when it has none). */
export interface Verdict { errno: number; words: string }

export const MESSAGE = { error: 2, done: 3 } as const;
export const FLAG = { request: 1, acknowledge: 4, dumpInterrupted: 0x10, replace: 0x100, dump: 0x300, exclusive: 0x200, create: 0x400 } as const;

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_NESTED = 0x8000;
const ATTRIBUTE_TYPE = 0x3fff;
/** NLM_F_CAPPED and NLM_F_ACK_TLVS of an answer: whether the request is left out of it, and whether attributes follow. */
const CAPPED = 0x100, HAS_ATTRIBUTES = 0x200;
/** NLMSGERR_ATTR_MSG */
const KERNELS_WORDS = 1;

/** Everything in netlink starts at a multiple of four. */
const aligned = (bytes: number): number => (bytes + 3) & ~3;

/** `header`: the fixed part of this type of message, before its attributes. */
export function encodeMessage({ type, flags, sequence, header, attributes = [] }: Omit<Message, 'payload'> & { header: Uint8Array; attributes?: readonly Attribute[] }): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES), padded(header), encodeAttributes(attributes)]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8); // the sender's port at 12 stays 0: the kernel knows it
  return bytes;
}

/** One behind the other, each padded. */
export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(attributes.map(({ type, value }) => {
    const nested = Array.isArray(value);
    const content = nested ? encodeAttributes(value) : bytesOf(value as Exclude<Attribute['value'], readonly Attribute[]>);
    const head = Buffer.alloc(ATTRIBUTE_HEADER_BYTES);
    head.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + content.length, 0);
    head.writeUInt16LE(nested ? type | ATTRIBUTE_NESTED : type, 2);
    return padded(Buffer.concat([head, content]));
  }));
}

/** All messages of one datagram. Fails when it is cut short. */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) throw new Error(`netlink: a message of ${length} bytes where ${bytes.length - at} are left`);
    messages.push({ type: view.getUint16(at + 4, true), flags: view.getUint16(at + 6, true), sequence: view.getUint32(at + 8, true), payload: bytes.subarray(at + HEADER_BYTES, at + length) });
    at += aligned(length);
  }
  return messages;
}

/** The attributes behind the first `offset` bytes of a payload; of two of one type the last. */
export function decodeAttributes(payload: Uint8Array, offset = 0): Map<number, Uint8Array> {
  const view = viewOf(payload);
  const found = new Map<number, Uint8Array>();
  for (let at = aligned(offset); at + ATTRIBUTE_HEADER_BYTES <= payload.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > payload.length) throw new Error(`netlink: an attribute of ${length} bytes where ${payload.length - at} are left`);
    found.set(view.getUint16(at + 2, true) & ATTRIBUTE_TYPE, payload.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += aligned(length);
  }
  return found;
}

/** Of an answer of type `error` or `done`. */
export function decodeVerdict({ flags, payload }: Message): Verdict {
  const errno = payload.length < 4 ? 0 : -viewOf(payload).getInt32(0, true);
  if (errno <= 0 || (flags & HAS_ATTRIBUTES) === 0 || payload.length < 8) return { errno: Math.max(errno, 0), words: '' };
  const requestBytes = flags & CAPPED ? HEADER_BYTES : viewOf(payload).getUint32(4, true);
  return { errno, words: textOf(decodeAttributes(payload, 4 + requestBytes).get(KERNELS_WORDS)) };
}

/** A text up to its NUL; '' for none. */
export function textOf(value: Uint8Array | undefined): string {
  if (value === undefined) return '';
  const end = value.indexOf(0);
  return Buffer.from(value.buffer, value.byteOffset, end < 0 ? value.length : end).toString();
}

/** 32 bits; 0 for none. */
export const numberOf = (value: Uint8Array | undefined): number => (value === undefined || value.length < 4 ? 0 : viewOf(value).getUint32(0, true));

export const bytes8 = (value: number): Uint8Array => Uint8Array.of(value);
export const bytes16 = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8);

function bytesOf(value: Uint8Array | number | string): Uint8Array {
  if (typeof value === 'string') return Buffer.from(`${value}\0`);
  if (typeof value !== 'number') return value;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}

function padded(bytes: Uint8Array): Buffer {
  const whole = Buffer.alloc(aligned(bytes.length));
  whole.set(bytes);
  return whole;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
