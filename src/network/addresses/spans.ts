// A set of whole numbers kept as its unbroken runs: a full /8 is one run, and the lowest number that is not in it is found at once.

interface Span { first: bigint; last: bigint }

export class Spans {
  /** In order; between two of them at least one number is missing. */
  #spans: Span[] = [];

  has(value: bigint): boolean {
    const span = this.#spans[this.#from(value)];
    return span !== undefined && span.first <= value;
  }

  /** The lowest number from `from` to `to` that is not in the set. */
  lowestFree(from: bigint, to: bigint): bigint | undefined {
    const span = this.#spans[this.#from(from)];
    const free = span && span.first <= from ? span.last + 1n : from;
    return free <= to ? free : undefined;
  }

  add(value: bigint): void {
    if (this.has(value)) return;
    const at = this.#from(value);
    const before = this.#spans[at - 1];
    const after = this.#spans[at];
    const joinsBefore = before?.last === value - 1n;
    const joinsAfter = after?.first === value + 1n;
    const first = joinsBefore ? before.first : value;
    const last = joinsAfter ? after.last : value;
    this.#spans.splice(at - Number(joinsBefore), Number(joinsBefore) + Number(joinsAfter), { first, last });
  }

  delete(value: bigint): void {
    const at = this.#from(value);
    const span = this.#spans[at];
    if (!span || span.first > value) return;
    const rest = [{ first: span.first, last: value - 1n }, { first: value + 1n, last: span.last }].filter(({ first, last }) => first <= last);
    this.#spans.splice(at, 1, ...rest);
  }

  /** Number of unbroken runs: what it costs. */
  get runs(): number { return this.#spans.length; }

  /** Index of the first run that does not end before `value`. */
  #from(value: bigint): number {
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const span = this.#spans[middle];
      if (span && span.last < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
