// The journal's export format. Pure. Source: systemd's "Journal Export Formats".

/** Fields by name; of one that is there twice, the last. */
export type Entry = ReadonlyMap<string, Buffer>;

const NEWLINE = 0x0a;
const EQUALS = 0x3d;
const LENGTH_BYTES = 8;
/** An entry of ours has one line of a program's and what an operator chose to add. Larger ones are passed over. */
const MAX_ENTRY_BYTES = 4 << 20;

/** Cuts a stream of bytes into entries. */
export class ExportCutter {
  #rest: Buffer = Buffer.alloc(0);
  #fields = new Map<string, Buffer>();
  /** Of an entry that is passed over: bytes of a field still to come. */
  #passing = 0;

  * push(bytes: Uint8Array): Generator<Entry> {
    if (this.#passing >= bytes.length) {
      this.#passing -= bytes.length;
      return;
    }
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(this.#passing)]);
    this.#passing = 0;
    let at = 0;
    for (let next = this.#field(at); next !== undefined; next = this.#field(at)) {
      at = next.at;
      if (!next.ended) continue;
      if (this.#fields.size > 0) yield this.#fields;
      this.#fields = new Map();
    }
    this.#rest = Buffer.from(this.#rest.subarray(at)); // a copy: the chunk may be large
    if (this.#rest.length > MAX_ENTRY_BYTES) this.#passOver();
  }

  /** Reads one field; undefined when it is not all there. */
  #field(at: number): { at: number; ended: boolean } | undefined {
    const rest = this.#rest;
    const end = rest.indexOf(NEWLINE, at);
    if (end < 0) return undefined;
    if (end === at) return { at: at + 1, ended: true };
    const line = rest.subarray(at, end);
    const equals = line.indexOf(EQUALS);
    if (equals >= 0) {
      this.#fields.set(line.subarray(0, equals).toString(), Buffer.from(line.subarray(equals + 1)));
      return { at: end + 1, ended: false };
    }
    const from = end + 1 + LENGTH_BYTES;
    if (rest.length < from) return undefined;
    const length = Number(rest.readBigUInt64LE(end + 1));
    if (rest.length < from + length + 1) return undefined;
    this.#fields.set(line.toString(), Buffer.from(rest.subarray(from, from + length)));
    return { at: from + length + 1, ended: false };
  }

  /** A field of this size is none of ours: its end is waited for, and nothing of it kept. */
  #passOver(): void {
    const end = this.#rest.indexOf(NEWLINE);
    if (end < 0 || this.#rest.subarray(0, end).includes(EQUALS)) {
      this.#rest = Buffer.alloc(0);
      return;
    }
    const length = Number(this.#rest.readBigUInt64LE(end + 1));
    this.#passing = end + 1 + LENGTH_BYTES + length + 1 - this.#rest.length;
    this.#rest = Buffer.alloc(0);
  }
}
