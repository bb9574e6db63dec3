// The yardstick: a delta as balenaEngine's own encoder (librsync-go) makes it, byte for byte. Plain and slow; the whole base in memory.
//
// Blocks of 512 bytes, of those with one weak sum only the last; no match is extended; what matched continues only where it stands
// behind the last one in the base; literals of at most 16 MiB, never the short ones.

const BLOCK_BYTES = 512;
const MAX_LITERAL_BYTES = 16 << 20;
/** Added to every byte before it is summed up. */
const CHAR_OFFSET = 31;

/** Makes bare deltas against this base. */
export function openLibrsyncReference(base: Buffer): (target: Buffer) => Buffer {
  const blocks = lastBlocks(base);
  return (target) => deltaOf(base, blocks, target);
}

function deltaOf(base: Buffer, blocks: ReadonlyMap<number, number>, target: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from('72730236', 'hex')];
  let copy: { position: number; length: number } | undefined;
  let literalFrom = 0;
  const flushCopy = () => { if (copy !== undefined) parts.push(copyCommand(copy.position, copy.length)); copy = undefined; };
  const flushLiteral = (to: number) => {
    for (; literalFrom < to; literalFrom = Math.min(to, literalFrom + MAX_LITERAL_BYTES)) {
      const end = Math.min(to, literalFrom + MAX_LITERAL_BYTES);
      flushCopy();
      parts.push(literalHead(end - literalFrom), target.subarray(literalFrom, end));
    }
  };
  for (let at = 0, sums = sumsOf(target, 0); at + BLOCK_BYTES <= target.length;) {
    const block = blocks.get(weakOf(sums));
    if (block !== undefined && target.compare(base, block, block + BLOCK_BYTES, at, at + BLOCK_BYTES) === 0) {
      flushLiteral(at);
      if (copy !== undefined && copy.position + copy.length === block) copy.length += BLOCK_BYTES;
      else { flushCopy(); copy = { position: block, length: BLOCK_BYTES }; }
      literalFrom = at += BLOCK_BYTES;
      sums = sumsOf(target, at);
      continue;
    }
    const [gone, come] = [target[at] ?? 0, target[at + BLOCK_BYTES] ?? 0];
    sums.s1 = (sums.s1 + come - gone) & 0xffff;
    sums.s2 = (sums.s2 + sums.s1 - BLOCK_BYTES * (gone + CHAR_OFFSET)) & 0xffff;
    at++;
  }
  flushLiteral(target.length);
  flushCopy();
  return Buffer.concat([...parts, Buffer.from([0])]);
}

interface Sums { s1: number; s2: number }

/** Of each weak sum the place of the last whole block that has it. Strong sums are left out: the bytes themselves are compared. */
function lastBlocks(base: Buffer): Map<number, number> {
  const blocks = new Map<number, number>();
  for (let at = 0; at + BLOCK_BYTES <= base.length; at += BLOCK_BYTES) blocks.set(weakOf(sumsOf(base, at)), at);
  return blocks;
}

function sumsOf(bytes: Buffer, at: number): Sums {
  let [s1, s2] = [0, 0];
  for (let i = at; i < at + BLOCK_BYTES; i++) {
    s1 = (s1 + (bytes[i] ?? 0) + CHAR_OFFSET) & 0xffff;
    s2 = (s2 + s1) & 0xffff;
  }
  return { s1, s2 };
}

const weakOf = ({ s1, s2 }: Sums): number => s2 * 0x1_0000 + s1;

function literalHead(length: number): Buffer {
  const [width, number] = numberOf(length);
  return Buffer.from([0x41 + width, ...number]);
}

function copyCommand(position: number, length: number): Buffer {
  const [p, positionBytes] = numberOf(position);
  const [l, lengthBytes] = numberOf(length);
  return Buffer.from([0x45 + 4 * p + l, ...positionBytes, ...lengthBytes]);
}

/** In 1, 2, 4 or 8 bytes. */
function numberOf(value: number): [width: number, bytes: number[]] {
  const width = value < 2 ** 8 ? 0 : value < 2 ** 16 ? 1 : value < 2 ** 32 ? 2 : 3;
  const bytes = Array.from({ length: 1 << width }, (_none, i) => Math.floor(value / 256 ** ((1 << width) - 1 - i)) % 256);
  return [width, bytes];
}
