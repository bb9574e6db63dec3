// Puts COPY and LITERAL into the bytes of a delta, and makes short copies literals where gzip says that this is smaller.
//
// The price of one short copy is an estimate, and estimates do not see that a hundred of them in a row would be cheap together: text of few
// words is dearer copied word by word than said once. So commands are gathered for a while, and each gathering is compressed in a few ways.
import { deflateRawSync } from 'node:zlib';
import type { Output } from '../bytes.ts';
import { DELTA_MAGIC, MAX_COMMAND_BYTES, OP_END, writeCopy, writeLiteralHead } from './wire.ts';

/** A gathering: so many bytes of literals and of copies that may become literals, and so many commands. */
const GATHERED_BYTES = 64 << 10, GATHERED_COMMANDS = 4096;
/** What balenaEngine's encoder puts into one LITERAL at most. */
export const MAX_LITERAL_BYTES = 16 << 20;
/** Longer literals are not gathered. */
const LONG_LITERAL_BYTES = GATHERED_BYTES / 4;
/** What gzip can refer to. */
const HISTORY_BYTES = 32 << 10;
/** Copies of fewer bytes become literals: the ways that are tried. */
const WAYS = [0, 24, 64, 256] as const;
/** Longer copies stay. */
export const SHORT_COPY_BYTES = 256;
/** Of gatherings that are not compared, when one way was the best again and again: the comparison is what takes time. */
const MAX_SKIPS = 15;
/** A delta is kept and applied bare: so many bytes less of it are worth one byte more on the wire. */
const BARE_DISCOUNT = 256;
/** Of gzip, for the comparison: quick, and sees what the usual level sees. */
const LEVEL = 4;

/** Gives out a part of the target. */
type Source = (from: number, to: number, output: Output) => void;

export class DeltaWriter {
  readonly #output: Output;
  readonly #source: Source;
  readonly #out = Buffer.allocUnsafeSlow(GATHERED_BYTES + GATHERED_COMMANDS * MAX_COMMAND_BYTES);
  /** Bytes of gathered literals and short copies, one behind the other. */
  readonly #gathered = Buffer.allocUnsafeSlow(GATHERED_BYTES);
  #bytes = 0;
  /** Of gathered commands: where to copy from, -1 for a literal; and how much. */
  readonly #positions = new Float64Array(GATHERED_COMMANDS);
  readonly #lengths = new Float64Array(GATHERED_COMMANDS);
  #commands = 0;
  #shortCopies = 0;
  /** A long literal in front of what is gathered: it waits, since what is gathered may turn out to begin with a literal as well. */
  #long: { from: number; to: number } | undefined;
  /** The way that was best last, how often in a row, and how many gatherings will not be asked. */
  #way: number = WAYS[0];
  #wins = 0;
  #skips = 0;
  /** The end of what went out. */
  #history = Buffer.alloc(0);

  constructor(output: Output, source: Source) {
    this.#output = output;
    this.#source = source;
    const magic = Buffer.alloc(4);
    magic.writeUInt32BE(DELTA_MAGIC);
    this.#emit(magic, 0, magic.length);
  }

  /** A copy of SHORT_COPY_BYTES or more; one that goes on where the last one ended joins it. */
  copy(position: number, length: number): void {
    const last = this.#commands - 1;
    const [lastPosition = -1, lastLength = 0] = [this.#positions[last], this.#lengths[last]];
    if (last >= 0 && lastLength >= SHORT_COPY_BYTES && lastPosition >= 0 && lastPosition + lastLength === position) {
      this.#lengths[last] = lastLength + length;
      return;
    }
    this.#command(position, length);
  }

  /** A shorter one, that makes what stands from `from` to `to` in the target. */
  shortCopy(position: number, from: number, to: number): void {
    if (this.#bytes + to - from > GATHERED_BYTES) this.#flush();
    this.#command(position, to - from);
    this.#gather(from, to);
    this.#shortCopies++;
  }

  literal(from: number, to: number): void {
    if (to - from > LONG_LITERAL_BYTES) {
      const trail = this.#flush('a literal follows');
      if (this.#long?.to === from - trail && to - this.#long.from <= MAX_LITERAL_BYTES) {
        this.#long.to = to;
        return;
      }
      this.#emitLong(0);
      this.#long = { from: from - trail, to };
      return;
    }
    // A gathering ends in front of a literal alone, or copies could not join.
    if (this.#bytes + to - from > GATHERED_BYTES - LONG_LITERAL_BYTES || this.#commands > GATHERED_COMMANDS / 2) this.#flush();
    this.#command(-1, to - from);
    this.#gather(from, to);
  }

  end(): void {
    this.#flush();
    this.#emitLong(0);
    this.#emit(Buffer.from([OP_END]), 0, 1);
  }

  #gather(from: number, to: number): void {
    this.#source(from, to, (bytes, start, end) => { this.#bytes += bytes.copy(this.#gathered, this.#bytes, start, end); });
  }

  #command(position: number, length: number): void {
    if (this.#commands === GATHERED_COMMANDS) this.#flush();
    this.#positions[this.#commands] = position;
    this.#lengths[this.#commands] = length;
    this.#commands++;
  }

  /** Of what ended up as a literal at the end, nothing is written when another one follows: how many bytes that are. */
  #flush(next?: 'a literal follows'): number {
    if (this.#commands === 0) return 0;
    const best = this.#shortCopies > 0 ? this.#bestWay() : WAYS[0];
    const { filled, lead, trail } = this.#write(best, next);
    if (filled === 0 && this.#long !== undefined) this.#long.to += lead; // all of it is literal
    if (filled > 0) {
      this.#emitLong(lead);
      this.#emit(this.#out, 0, filled);
    }
    this.#commands = this.#bytes = this.#shortCopies = 0;
    return trail;
  }

  #bestWay(): number {
    if (this.#skips > 0) {
      this.#skips--;
      return this.#way;
    }
    let [least, best]: [number, number] = [Infinity, WAYS[0]];
    for (const way of WAYS) {
      const bytes = this.#out.subarray(0, this.#write(way).filled);
      const packed = deflateRawSync(bytes, { level: LEVEL, ...(this.#history.length > 0 ? { dictionary: this.#history } : {}) });
      const cost = packed.length + bytes.length / BARE_DISCOUNT;
      if (cost < least) [least, best] = [cost, way];
    }
    this.#wins = best === this.#way ? this.#wins + 1 : 0;
    this.#skips = Math.min(MAX_SKIPS, this.#wins);
    this.#way = best;
    return best;
  }

  /** The gathered commands into `#out`, copies of less than `way` bytes as literals. `lead`: a literal at the beginning that joins the long one before it. */
  #write(way: number, next?: 'a literal follows'): { filled: number; lead: number; trail: number } {
    let [filled, at, literal, lead] = [0, 0, 0, 0];
    const endLiteral = () => {
      if (literal === 0) return;
      if (filled === 0 && lead === 0 && this.#long !== undefined) lead = literal;
      else {
        filled += writeLiteralHead(this.#out, filled, literal);
        filled += this.#gathered.copy(this.#out, filled, at - literal, at);
      }
      literal = 0;
    };
    for (let n = 0; n < this.#commands; n++) {
      const [position, length] = [this.#positions[n] ?? -1, this.#lengths[n] ?? 0];
      if (position < 0 || length < way) {
        at += length;
        literal += length;
        continue;
      }
      endLiteral();
      if (length < SHORT_COPY_BYTES) at += length;
      filled += writeCopy(this.#out, filled, { position, length });
    }
    const trail = next === undefined ? 0 : literal;
    if (trail === 0) endLiteral();
    return { filled, lead, trail };
  }

  /** `more` bytes of the target behind it are part of it. */
  #emitLong(more: number): void {
    if (this.#long === undefined) return;
    const { from, to } = this.#long;
    const head = Buffer.alloc(MAX_COMMAND_BYTES);
    this.#emit(head, 0, writeLiteralHead(head, 0, to + more - from));
    this.#source(from, to + more, (bytes, start, end) => { this.#emit(bytes, start, end); });
    this.#long = undefined;
  }

  #emit(bytes: Buffer, start: number, end: number): void {
    this.#output(bytes, start, end);
    const kept = this.#history.subarray(Math.max(0, this.#history.length + (end - start) - HISTORY_BYTES));
    this.#history = Buffer.concat([kept, bytes.subarray(Math.max(start, end - HISTORY_BYTES), end)]);
  }
}
