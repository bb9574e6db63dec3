// The words of a librsync delta: magic, then LITERAL and COPY commands, then END. Numbers are big-endian and unsigned.
//
// Source: librsync's documentation of its delta format; balenaEngine reads all of it. Which commands are used is the encoder's choice.

export const DELTA_MAGIC = 0x72730236;
export const OP_END = 0x00;
/** Opcodes 1 to 64 are literals of that many bytes. */
export const MAX_SHORT_LITERAL = 0x40;
/** A literal whose length stands in 1, 2, 4 or 8 bytes. */
export const OP_LITERAL = 0x41;
/** + 4 x p + l: a copy whose position stands in WIDTHS[p] bytes and whose length in WIDTHS[l]. */
export const OP_COPY = 0x45;
export const OP_LAST = 0x54;
export const WIDTHS: readonly number[] = [1, 2, 4, 8];
/** Opcode and two numbers of eight bytes. */
export const MAX_COMMAND_BYTES = 17;

/** Index in WIDTHS of the least width that holds the value. */
export function widthIndex(value: number): 0 | 1 | 2 | 3 {
  return value < 0x100 ? 0 : value < 0x1_0000 ? 1 : value < 0x1_0000_0000 ? 2 : 3;
}

/** Reads a number of 1, 2, 4 or 8 bytes; NaN for one that no exact number holds. */
export function readNumber(bytes: Buffer, at: number, width: number): number {
  if (width < 8) return bytes.readUIntBE(at, width);
  const high = bytes.readUInt32BE(at);
  return high < 2 ** 21 ? high * 2 ** 32 + bytes.readUInt32BE(at + 4) : NaN;
}

/** Writes the head of a LITERAL; how many bytes it took. */
export function writeLiteralHead(into: Buffer, at: number, length: number): number {
  if (length <= MAX_SHORT_LITERAL) {
    into[at] = length;
    return 1;
  }
  const width = widthIndex(length);
  into[at] = OP_LITERAL + width;
  return 1 + writeNumber(into, { at: at + 1, width, value: length });
}

/** Writes a COPY; how many bytes it took. */
export function writeCopy(into: Buffer, at: number, { position, length }: { position: number; length: number }): number {
  const [p, l] = [widthIndex(position), widthIndex(length)];
  into[at] = OP_COPY + 4 * p + l;
  const n = writeNumber(into, { at: at + 1, width: p, value: position });
  return 1 + n + writeNumber(into, { at: at + 1 + n, width: l, value: length });
}

function writeNumber(into: Buffer, { at, width, value }: { at: number; width: 0 | 1 | 2 | 3; value: number }): number {
  const bytes = 1 << width;
  if (bytes < 8) into.writeUIntBE(value, at, bytes);
  else {
    into.writeUInt32BE(Math.floor(value / 2 ** 32), at);
    into.writeUInt32BE(value % 2 ** 32, at + 4);
  }
  return bytes;
}
