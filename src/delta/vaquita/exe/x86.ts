// References in code of x86-64 and i386: calls, jumps, conditional jumps, and what x86-64 addresses relative to the instruction.
import { BRANCH, CALL, JUMP, NOWHERE, putWord32, RELATIVE, word32, type Scanner, type ScannerNeeds } from './scanner.ts';

/** By the byte in front: what the four bytes behind it are. BRANCH wants 0F in front of that byte. */
function kindsByOpcode(wide: boolean): Uint8Array {
  const kinds = new Uint8Array(256);
  if (wide) for (let byte = 0; byte < 256; byte++) if ((byte & 0xc7) === 5) kinds[byte] = RELATIVE;
  kinds[0xe8] = CALL;
  kinds[0xe9] = JUMP;
  for (let byte = 0x80; byte < 0x90; byte++) if (kinds[byte] === 0) kinds[byte] = BRANCH;
  if (wide) kinds[0x85] = kinds[0x8d] = BRANCH_OR_RELATIVE;
  return kinds;
}
const BRANCH_OR_RELATIVE = 255;

export class X86Scanner implements Scanner {
  readonly #needs: ScannerNeeds;
  readonly #kinds: Uint8Array;
  #shift = 0;
  #limit = 0;

  constructor(needs: ScannerNeeds, wide: boolean) {
    this.#needs = needs;
    this.#kinds = kindsByOpcode(wide);
  }

  reset(): void { /* it remembers nothing */ }

  enter(shift: number, limit: number): void {
    this.#shift = shift;
    this.#limit = limit;
  }

  next(from: number, stop: number): number {
    const { window: { bytes, start }, found, low, high } = this.#needs, kinds = this.#kinds;
    const end = Math.min(stop, this.#limit - 3);
    for (let place = Math.max(from, 1); place < end; place++) {
      const at = place - start, before = bytes[at - 1] ?? 0;
      let kind = kinds[before] ?? 0;
      if (kind === 0) continue;
      let context = 0;
      if (kind >= BRANCH && kind !== RELATIVE) {
        if (at > 1 && bytes[at - 2] === 0x0f) {
          kind = BRANCH;
          context = before & 15;
        } else if (kind === BRANCH) continue;
        else kind = RELATIVE;
      }
      if (kind === RELATIVE) context = at > 1 ? bytes[at - 2] ?? 0 : 0;
      const distance = word32(bytes, at), address = place + this.#shift + 4 + distance;
      if (distance === 0 || address < low || address >= high) continue;
      found.kind = kind;
      found.bytes = 4;
      found.word = distance;
      found.context = context;
      found.address = address;
      return place;
    }
    return stop;
  }

  put(into: Uint8Array, at: number): void {
    const { newAddress, newPlace } = this.#needs.found;
    putWord32(into, at, newPlace === NOWHERE ? newAddress : newAddress - newPlace - 4);
  }

  mask(): number { return -1; }
  field(word: number): number { return word; }
  withField(_word: number, _kind: number, field: number): number { return field | 0; }
  step(): number { return 1; }
}
