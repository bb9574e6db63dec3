// The messages of RFC 6455, as far as a server needs them: no extensions, masked input, bounded frames.
import { invalid } from '../lib/errors.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export const CLOSE = { normal: 1000, protocolError: 1002 } as const;

/** What a browser sends in one frame at most; more is refused rather than held. */
export const MAX_FRAME_BYTES = 1024 * 1024;
const MAX_CONTROL_BYTES = 125;

/** A frame: parts of a fragmented message are handed on one by one, since stdin knows no messages. */
export interface Message { opcode: number; payload: Uint8Array }

export function encodeMessage(opcode: number, payload: Uint8Array): Uint8Array {
  const lengthBytes = payload.length < 126 ? 0 : payload.length < 0x10000 ? 2 : 8;
  const message = Buffer.alloc(2 + lengthBytes + payload.length);
  message[0] = 0x80 | opcode;
  message[1] = lengthBytes === 0 ? payload.length : lengthBytes === 2 ? 126 : 127;
  if (lengthBytes === 2) message.writeUInt16BE(payload.length, 2);
  if (lengthBytes === 8) message.writeBigUInt64BE(BigInt(payload.length), 2);
  message.set(payload, 2 + lengthBytes);
  return message;
}

export class MessageDecoder {
  #held: Buffer = Buffer.alloc(0);
  #fragmented = false;

  /** Throws `invalid` when the client breaks the protocol. */
  push(chunk: Uint8Array): Message[] {
    this.#held = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
    const messages: Message[] = [];
    for (let message = this.#take(); message !== undefined; message = this.#take()) messages.push(message);
    return messages;
  }

  #take(): Message | undefined {
    const held = this.#held;
    if (held.length < 2) return undefined;
    const [first = 0, second = 0] = held;
    this.#check(first, second);
    const short = second & 0x7f;
    const maskAt = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (held.length < maskAt + 4) return undefined;
    const length = short === 126 ? held.readUInt16BE(2) : short === 127 ? Number(held.readBigUInt64BE(2)) : short;
    if (length > MAX_FRAME_BYTES) throw invalid(`a websocket frame of ${length} bytes is larger than ${MAX_FRAME_BYTES} bytes`);
    if (held.length < maskAt + 4 + length) return undefined;
    const mask = held.subarray(maskAt, maskAt + 4);
    const payload = Buffer.from(held.subarray(maskAt + 4, maskAt + 4 + length));
    for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
    this.#held = held.subarray(maskAt + 4 + length);
    const opcode = first & 0x0f;
    if (opcode < OPCODE.close) this.#fragmented = (first & 0x80) === 0;
    return { opcode, payload };
  }

  #check(first: number, second: number): void {
    const opcode = first & 0x0f;
    const final = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) throw invalid('a websocket frame uses an extension that was not agreed on');
    if ((second & 0x80) === 0) throw invalid('a websocket frame of a client is not masked');
    if (opcode > OPCODE.pong || (opcode > OPCODE.binary && opcode < OPCODE.close)) throw invalid(`unknown websocket opcode ${opcode}`);
    if (opcode >= OPCODE.close && (!final || (second & 0x7f) > MAX_CONTROL_BYTES)) throw invalid('a websocket control frame is fragmented or too long');
    if (opcode < OPCODE.close && this.#fragmented !== (opcode === OPCODE.continuation)) throw invalid('websocket fragments are out of order');
  }
}
