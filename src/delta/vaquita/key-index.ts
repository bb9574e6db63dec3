// Finds numbers by keys of 16 bytes (digests of paths and of content), in 28 bytes each.

const KEY_WORDS = 4;

export class KeyIndex {
  #keys = new Uint32Array(KEY_WORDS * 256);
  #values = new Int32Array(256);
  /** The next one with the same place in the table; -1 for none. */
  #next = new Int32Array(256);
  #table = new Int32Array(1024).fill(-1);
  #count = 0;

  /** Takes the first 16 bytes of `key`. */
  add(key: Buffer, value: number): void {
    if (this.#count === this.#values.length) this.#grow();
    for (let word = 0; word < KEY_WORDS; word++) this.#keys[this.#count * KEY_WORDS + word] = key.readUInt32LE(word * 4);
    this.#values[this.#count] = value;
    this.#link(this.#count++);
  }

  /** All values of a key, the last one added first. */
  *all(key: Buffer): Generator<number, undefined> {
    const [a, b, c, d] = [key.readUInt32LE(0), key.readUInt32LE(4), key.readUInt32LE(8), key.readUInt32LE(12)];
    for (let i = this.#table[a & (this.#table.length - 1)] ?? -1; i >= 0; i = this.#next[i] ?? -1) {
      const at = i * KEY_WORDS;
      if (this.#keys[at] === a && this.#keys[at + 1] === b && this.#keys[at + 2] === c && this.#keys[at + 3] === d) yield this.#values[i] ?? 0;
    }
  }

  has(key: Buffer): boolean { return this.all(key).next().done !== true; }

  #link(index: number): void {
    const place = (this.#keys[index * KEY_WORDS] ?? 0) & (this.#table.length - 1);
    this.#next[index] = this.#table[place] ?? -1;
    this.#table[place] = index;
  }

  #grow(): void {
    const keys = new Uint32Array(this.#keys.length * 2), values = new Int32Array(this.#values.length * 2);
    keys.set(this.#keys);
    values.set(this.#values);
    [this.#keys, this.#values, this.#next] = [keys, values, new Int32Array(values.length)];
    this.#table = new Int32Array(this.#table.length * 2).fill(-1);
    for (let index = 0; index < this.#count; index++) this.#link(index);
  }
}
