// Applies a librsync delta as it arrives: commands in pieces of any size go in, the bytes they make come out.
//
// Stricter than balenaEngine, which takes a COPY beyond the base and a literal cut short for the end of the delta and leaves it to the
// layer's diffID to find out. What stands behind END is passed over, as there.
import { corrupt } from '../../lib/errors.ts';
import type { ByteView, Decoder, Output } from '../bytes.ts';
import { DELTA_MAGIC, MAX_COMMAND_BYTES, MAX_SHORT_LITERAL, OP_COPY, OP_END, OP_LAST, OP_LITERAL, WIDTHS, readNumber } from './wire.ts';

/** What copies pass through, a bite at a time. */
const COPY_BYTES = 256 << 10;

/** Applies a bare delta to `base`. Errors are corrupt and in balenaEngine's words where it has any. */
export function openRsyncPatch(base: ByteView, output: Output): Decoder {
  return new RsyncPatch(base, output);
}

class RsyncPatch implements Decoder {
  readonly #base: ByteView;
  readonly #output: Output;
  #copyBuffer: Buffer | undefined;
  #state: 'head' | 'literal' | 'end' = 'head';
  /** The magic number or a command of which only `#held` of `#wanted` bytes have come. */
  readonly #head = Buffer.alloc(MAX_COMMAND_BYTES);
  #held = 0;
  #wanted = 4;
  #begun = false;
  #literalLeft = 0;

  constructor(base: ByteView, output: Output) {
    this.#base = base;
    this.#output = output;
  }

  write(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end;) {
      switch (this.#state) {
        case 'end': return;
        case 'literal': {
          const n = Math.min(this.#literalLeft, end - at);
          this.#output(bytes, at, at + n);
          at += n;
          this.#literalLeft -= n;
          if (this.#literalLeft === 0) this.#state = 'head';
          break;
        }
        default: {
          const n = bytes.copy(this.#head, this.#held, at, Math.min(end, at + this.#wanted - this.#held));
          at += n;
          this.#held += n;
          if (this.#held === this.#wanted) this.#headComplete();
        }
      }
    }
  }

  finish(): void {
    if (this.#state !== 'end') throw broken('unexpected EOF');
  }

  #headComplete(): void {
    if (!this.#begun) {
      const magic = this.#head.readUInt32BE(0);
      if (magic !== DELTA_MAGIC) throw broken(`Got magic number ${magic.toString(16)} rather than expected value ${DELTA_MAGIC.toString(16)}`);
      this.#begun = true;
      this.#nextCommand();
      return;
    }
    const opcode = this.#head[0] ?? 0;
    if (this.#wanted === 1) { // the opcode, which says how much there is of the command
      if (opcode > OP_LAST) throw broken(`Bogus command ${opcode.toString(16)}`);
      if (opcode > MAX_SHORT_LITERAL) {
        this.#wanted = 1 + operandBytes(opcode);
        return;
      }
    }
    this.#nextCommand();
    if (opcode === OP_END) this.#state = 'end';
    else if (opcode <= MAX_SHORT_LITERAL) this.#literal(opcode);
    else if (opcode < OP_COPY) this.#literal(this.#number(1, opcode - OP_LITERAL));
    else {
      const [p, l] = [(opcode - OP_COPY) >> 2, (opcode - OP_COPY) & 3];
      this.#copy(this.#number(1, p), this.#number(1 + (1 << p), l));
    }
  }

  #nextCommand(): void {
    this.#held = 0;
    this.#wanted = 1;
  }

  #number(at: number, width: number): number {
    const value = readNumber(this.#head, at, WIDTHS[width] ?? 1);
    if (!Number.isSafeInteger(value)) throw broken('a number in it is out of range');
    return value;
  }

  #literal(length: number): void {
    this.#literalLeft = length;
    if (length > 0) this.#state = 'literal';
  }

  #copy(position: number, length: number): void {
    if (position + length > this.#base.sizeBytes) {
      throw broken(`it copies ${length} bytes from ${position} of a base of ${this.#base.sizeBytes} bytes`);
    }
    const buffer = this.#copyBuffer ??= Buffer.allocUnsafeSlow(COPY_BYTES);
    for (let done = 0; done < length;) {
      const n = Math.min(buffer.length, length - done);
      this.#base.read(position + done, buffer, { start: 0, end: n });
      this.#output(buffer, 0, n);
      done += n;
    }
  }
}

/** Of a command that has numbers. */
function operandBytes(opcode: number): number {
  if (opcode < OP_COPY) return WIDTHS[opcode - OP_LITERAL] ?? 1;
  return (WIDTHS[(opcode - OP_COPY) >> 2] ?? 1) + (WIDTHS[(opcode - OP_COPY) & 3] ?? 1);
}

const broken = (what: string) => corrupt(`applying delta: ${what}`);
