// References in code of x86-64 and i386: calls, jumps, conditional jumps; what x86-64 addresses relative to the instruction; and what i386 addresses
// relative to its global offset table (position-independent code) or absolutely (other code).
import { ADDRESS32, BRANCH, CALL, GOT_RELATIVE, JUMP, NOWHERE, putWord32, RELATIVE, word32, type DataNeeds, type Scanner } from './scanner.ts';

/** By the byte in front: what the four bytes behind it may be. */
const MAY_CALL = 1, MAY_BRANCH = 2, MAY_BE_RELATIVE = 4, MAY_BE_GOT_RELATIVE = 8, MAY_BE_ABSOLUTE = 16, MAY_ADD = 32;

function usesByByte(wide: boolean, { absolute, got }: { absolute: boolean; got: boolean }): Uint8Array {
  const uses = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const isDirect = (byte & 0xc7) === 5, isByRegister = (byte & 0xc0) === 0x80 && (byte & 7) !== 4, hasConstant = (byte & 0xf8) === 0xb8 || byte === 0x68 || byte === 0xa1 || byte === 0xa3;
    uses[byte] = (byte === 0xe8 || byte === 0xe9 ? MAY_CALL : 0) | ((byte & 0xf0) === 0x80 ? MAY_BRANCH : 0) | (wide && isDirect ? MAY_BE_RELATIVE : 0)
      | (!wide && got && isByRegister ? MAY_BE_GOT_RELATIVE : 0) | (!wide && absolute && (isDirect || hasConstant) ? MAY_BE_ABSOLUTE : 0)
      | (!wide && got && (byte === 5 || (byte & 0xf8) === 0xc0) ? MAY_ADD : 0);
  }
  return uses;
}
/** Small numbers are no addresses. */
const LOWEST_ADDRESS = 0x1000;

export class X86Scanner implements Scanner {
  readonly #needs: DataNeeds;
  readonly #uses: Uint8Array;
  /** Of the old image; 0: none. */
  readonly #got: number;
  #shift = 0;
  #limit = 0;

  constructor(needs: DataNeeds, { wide, got }: { wide: boolean; got: number }) {
    this.#needs = needs;
    this.#got = got;
    this.#uses = usesByByte(wide, { absolute: needs.low > 0, got: got !== 0 });
  }

  reset(): void { /* it remembers nothing */ }

  enter(shift: number, limit: number): void {
    this.#shift = shift;
    this.#limit = limit;
  }

  next(from: number, stop: number): number {
    const { bytes, start } = this.#needs.window, uses = this.#uses, end = Math.min(stop, this.#limit - 3);
    for (let place = Math.max(from, 1); place < end; place++) {
      const use = uses[bytes[place - start - 1] ?? 0] ?? 0;
      if (use !== 0 && this.#isReference(place, use)) return place;
    }
    return stop;
  }

  #isReference(place: number, use: number): boolean {
    const { window: { bytes, start }, found, low, high } = this.#needs, at = place - start;
    const word = word32(bytes, at), before = bytes[at - 1] ?? 0, earlier = at > 1 ? bytes[at - 2] ?? 0 : 0, relative = place + this.#shift + 4 + word;
    if (word === 0) return false;
    found.bytes = 4;
    found.word = word;
    found.context = earlier;
    found.address = relative;
    if ((use & MAY_ADD) !== 0 && this.#isAddition(place, { word, before, earlier })) return true;
    found.anchor = 4;
    const isNear = relative >= low && relative < high;
    if (isNear && (use & MAY_CALL) !== 0) {
      found.kind = before === 0xe8 ? CALL : JUMP;
      found.context = 0;
    } else if (isNear && (use & MAY_BRANCH) !== 0 && earlier === 0x0f) {
      found.kind = BRANCH;
      found.context = before & 15;
    } else if (isNear && (use & MAY_BE_RELATIVE) !== 0) found.kind = RELATIVE;
    else return this.#isFixed(word, before, use);
    return true;
  }

  /** What does not depend on where it stands. */
  #isFixed(word: number, before: number, use: number): boolean {
    const { found, low, high } = this.#needs, absolute = word >>> 0, byGot = this.#got + word;
    if ((use & MAY_BE_ABSOLUTE) !== 0 && absolute >= low + LOWEST_ADDRESS && absolute < high) {
      found.kind = ADDRESS32;
      found.context = before;
      found.address = absolute;
      return true;
    }
    if ((use & MAY_BE_GOT_RELATIVE) === 0 || byGot < low || byGot >= high) return false;
    // The table is most often in BX; in other registers there are structures as well, whose members are not in front of them.
    if ((before & 7) !== 3 && word > -LOWEST_ADDRESS) return false;
    found.kind = GOT_RELATIVE;
    found.address = byGot;
    return true;
  }

  /** The addition of the distance from itself to the table, which makes a register its address. */
  #isAddition(place: number, { word, before, earlier }: { word: number; before: number; earlier: number }): boolean {
    const back = before === 5 ? 1 : 2;
    if ((back === 2 && earlier !== 0x81) || place + this.#shift - back + word !== this.#got) return false;
    const { found } = this.#needs;
    found.kind = RELATIVE;
    found.context = before;
    found.address = this.#got;
    found.anchor = -back;
    return true;
  }

  put(into: Uint8Array, at: number): void {
    const { found: { kind, anchor, newAddress, newPlace }, anchors } = this.#needs;
    const base = newPlace === NOWHERE || kind === ADDRESS32 ? 0 : kind === GOT_RELATIVE ? anchors.got : newPlace + anchor;
    putWord32(into, at, newAddress - base);
  }

  mask(): number { return -1; }
  field(word: number): number { return word; }
  withField(_word: number, _kind: number, field: number): number { return field | 0; }
  step(): number { return 1; }
}
