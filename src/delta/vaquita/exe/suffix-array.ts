// Suffix arrays by induced sorting (Nong, Zhang and Chan, 2009): time and memory in proportion to the text.

/** Bytes of memory a suffix array takes per byte of text while it is made, at worst. */
export const SUFFIX_BYTES_PER_BYTE = 8.25;

/** The places of all suffixes of `text`, in the order of the suffixes; made in `memory`, which has that many numbers or more. */
export function suffixArray(text: Uint8Array, memory = new Int32Array(text.length)): Int32Array {
  const order = memory.subarray(0, text.length);
  if (text.length > 0) sort({ text, order, length: text.length, letters: 256 });
  return order;
}

type Letters = Uint8Array | Int32Array;
interface Task { readonly text: Letters; readonly order: Int32Array; readonly length: number; readonly letters: number }

/** A text with its suffixes typed: S, smaller than the next one, has its bit set; L has not. */
class Typed {
  readonly text: Letters;
  /** A bit for each suffix. */
  readonly smaller: Uint8Array;

  constructor({ text, length }: Task) {
    this.text = text;
    this.smaller = new Uint8Array((length >> 3) + 1);
    let next = text[length - 1] ?? 0, isSmaller = false;
    for (let k = length - 2; k >= 0; k--) {
      const letter = text[k] ?? 0;
      if (letter !== next) isSmaller = letter < next;
      if (isSmaller) this.smaller[k >> 3] = (this.smaller[k >> 3] ?? 0) | 1 << (k & 7);
      next = letter;
    }
  }

  isSmaller(k: number): boolean { return ((this.smaller[k >> 3] ?? 0) >> (k & 7) & 1) !== 0; }
  /** The first of a run of S suffixes: the ones that are sorted first. */
  isTurn(k: number): boolean { return k > 0 && this.isSmaller(k) && !this.isSmaller(k - 1); }
}

/** Where the suffixes of each first letter go. */
class Buckets {
  readonly next: Int32Array;
  readonly #counts: Int32Array;

  constructor({ text, length, letters }: Task) {
    this.#counts = new Int32Array(letters);
    this.next = new Int32Array(letters);
    for (let k = 0; k < length; k++) this.#counts[text[k] ?? 0] = (this.#counts[text[k] ?? 0] ?? 0) + 1;
  }

  toStarts(): void {
    let sum = 0;
    for (let letter = 0; letter < this.next.length; letter++) {
      this.next[letter] = sum;
      sum += this.#counts[letter] ?? 0;
    }
  }

  toEnds(): void {
    let sum = 0;
    for (let letter = 0; letter < this.next.length; letter++) {
      sum += this.#counts[letter] ?? 0;
      this.next[letter] = sum;
    }
  }

  atStart(letter: number): number {
    const place = this.next[letter] ?? 0;
    this.next[letter] = place + 1;
    return place;
  }

  atEnd(letter: number): number {
    const place = (this.next[letter] ?? 0) - 1;
    this.next[letter] = place;
    return place;
  }
}

function sort(task: Task): void {
  const { text, order, length } = task;
  if (length === 1) {
    order[0] = 0;
    return;
  }
  const typed = new Typed(task), buckets = new Buckets(task), turns = sortTurns(task, typed, buckets);
  if (turns === 0) return;
  const names = nameTurns(task, typed, turns);
  // The turns' names, in the order of the text, stand at the end of `order`; their suffixes are sorted at its beginning.
  const shorter = order.subarray(length - turns), sorted = order.subarray(0, turns);
  if (names < turns) sort({ text: shorter, order: sorted, length: turns, letters: names });
  else for (let k = 0; k < turns; k++) sorted[shorter[k] ?? 0] = k;
  for (let k = 1, at = 0; k < length; k++) if (typed.isTurn(k)) shorter[at++] = k;
  for (let k = 0; k < turns; k++) sorted[k] = shorter[sorted[k] ?? 0] ?? 0;
  order.fill(EMPTY, turns);
  buckets.toEnds();
  for (let k = turns - 1; k >= 0; k--) {
    const suffix = order[k] ?? 0;
    order[k] = EMPTY;
    order[buckets.atEnd(text[suffix] ?? 0)] = suffix;
  }
  induce(task, typed, buckets);
}
const EMPTY = -1;

/** Sorts the turns by their letters up to the next turn; without turns, that is all. Returns how many there are. */
function sortTurns(task: Task, typed: Typed, buckets: Buckets): number {
  const { text, order, length } = task;
  order.fill(EMPTY);
  buckets.toEnds();
  let turns = 0;
  for (let k = 1; k < length; k++) {
    if (!typed.isTurn(k)) continue;
    order[buckets.atEnd(text[k] ?? 0)] = k;
    turns++;
  }
  induce(task, typed, buckets);
  return turns;
}

/** From sorted turns to sorted suffixes: L ones forwards, S ones backwards. */
function induce({ text, order, length }: Task, { smaller }: Typed, buckets: Buckets): void {
  // These two loops are most of the work: they look at the bits and the buckets themselves.
  const { next } = buckets;
  buckets.toStarts();
  order[buckets.atStart(text[length - 1] ?? 0)] = length - 1; // behind it is the end of the text, smaller than anything
  for (let k = 0; k < length; k++) {
    const before = (order[k] ?? 0) - 1;
    if (before < 0 || ((smaller[before >> 3] ?? 0) >> (before & 7) & 1) !== 0) continue;
    const letter = text[before] ?? 0, place = next[letter] ?? 0;
    order[place] = before;
    next[letter] = place + 1;
  }
  buckets.toEnds();
  for (let k = length - 1; k >= 0; k--) {
    const before = (order[k] ?? 0) - 1;
    if (before < 0 || ((smaller[before >> 3] ?? 0) >> (before & 7) & 1) === 0) continue;
    const letter = text[before] ?? 0, place = (next[letter] ?? 0) - 1;
    order[place] = before;
    next[letter] = place;
  }
}

/** Gives equal names to turns with equal letters up to the next turn. Returns how many names there are. */
function nameTurns({ order, length }: Task, typed: Typed, turns: number): number {
  for (let k = 0, at = 0; k < length; k++) {
    const suffix = order[k] ?? 0;
    if (typed.isTurn(suffix)) order[at++] = suffix;
  }
  order.fill(EMPTY, turns);
  let names = 0, previous = -1;
  for (let k = 0; k < turns; k++) {
    const place = order[k] ?? 0;
    if (previous < 0 || !sameTurns(typed, length, { place, previous })) {
      names++;
      previous = place;
    }
    order[turns + (place >> 1)] = names - 1;
  }
  for (let k = length - 1, at = length - 1; k >= turns; k--) if ((order[k] ?? EMPTY) >= 0) order[at--] = order[k] ?? 0;
  return names;
}

function sameTurns(typed: Typed, length: number, { place, previous }: { place: number; previous: number }): boolean {
  const { text } = typed;
  for (let k = 0; ; k++) {
    const a = place + k, b = previous + k;
    if (a >= length || b >= length || text[a] !== text[b] || typed.isSmaller(a) !== typed.isSmaller(b)) return false;
    if (k > 0 && (typed.isTurn(a) || typed.isTurn(b))) return typed.isTurn(a) && typed.isTurn(b);
  }
}
