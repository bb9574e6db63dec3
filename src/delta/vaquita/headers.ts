// Codes the entries of a layer's tar, each against an entry of the base's layers or the one before it: its header blocks, and where its content comes from.
//
// One path for both directions: the encoder hands in what is wanted, the decoder nothing, and both get back what was coded.
import { assert, corrupt } from '../../lib/errors.ts';
import { firstHeader, linkOf, NameWriter, pathOf, styleOf, type NameStyle } from './names.ts';
import { ByteModel, IntModel, Model, type Coder } from './range-coder.ts';
import { BLOCK_BYTES, FIELD, hasContent, MAX_HEADER_BYTES, readNumber, typeOf, writeChecksum, writeNumber } from './tar-entries.ts';

/** Where content comes from: the entry of the base that the header is like, any entry of the base, the stream of new content, an executable's patch, an earlier entry of this layer, pieces of the base and new content. */
export const KIND = { same: 0, copy: 1, fresh: 2, patch: 3, again: 4, pieces: 5 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** The base's entries. */
export interface BaseEntries {
  readonly count: number;
  sizeBytes(index: number): number;
  /** Header blocks, valid until the next call. Empty for what has none. */
  header(index: number): Buffer;
}

/** Content that stands at `fromBytes` of entry `source` of the base, behind `freshBytes` of new content. */
export interface Piece { freshBytes: number; source: number; fromBytes: number; sizeBytes: number }

export interface CodedEntry {
  /** Valid until the next entry is coded. */
  header: Buffer;
  sizeBytes: number;
  kind: Kind;
  /** An entry of the base, or of this layer (`again`); -1 for none. */
  source: number;
  pieces: readonly Piece[];
}

export interface WantedEntry extends CodedEntry {
  /** The base's entry that the header is like; -1 for none. */
  like: number;
  /** Whether that entry has another name. */
  renamed: boolean;
}

const NO_PIECES: readonly Piece[] = [];
const MAX_PATH_BYTES = 16384;
/** Pieces of one entry, and of all entries of one frame. */
export const MAX_PIECES = 4096, MAX_PIECES_PER_FRAME = 16384;
const RECENT_TIMES = 16;
const NUMBERS = { mode: 0, uid: 1, gid: 2, size: 3, blocks: 4 } as const;

/** What a header is coded against. */
interface Prediction { header: Buffer; like: number; relation: Relation }
/** 0: the entry of that name in the base, 1: nothing but the header before, 2: an entry of the base with another name. */
type Relation = 0 | 1 | 2;

/** Estimates of yes and no: how each is called, how many contexts it has. */
const QUESTIONS = {
  next: 8, unlike: 8, renamed: 8, renamedNext: 8, byRule: 4, blocks: 3, style: 16, number: 3 * 8, type: 3, empty: 3 * 2, sameContent: 3 * 8, kind: 3 * 8, sameSize: 3,
  sameTime: 3, time: RECENT_TIMES, sameLink: 3, exact: 3, byte: 2 * BLOCK_BYTES,
} as const;
/** What estimates begin with. Most bytes of a header that is not as predicted are. */
const EVEN = 32768, MOSTLY = 64512;
type Question = keyof typeof QUESTIONS;

export class HeaderCodec {
  readonly #base: BaseEntries;
  readonly #madeBytes: (index: number) => number;
  readonly #bits: Readonly<Record<Question, Model>>;
  readonly #jumps = new IntModel(2);
  readonly #numbers = new IntModel(5);
  readonly #lengths = new IntModel(4);
  readonly #times = new IntModel(1);
  readonly #sources = new IntModel(2);
  readonly #pieces = new IntModel(6);
  readonly #text = new ByteModel(3 * 256);
  readonly #bytes = new ByteModel(2 * BLOCK_BYTES);
  readonly #names = new NameWriter();
  #coder: Coder | undefined;
  #index = 0;
  #previous = firstHeader();
  readonly #buffers: Buffer[] = [];
  #turn = 0;
  #last = -1;
  #lastCopy = -1;
  #likeHistory = 0;
  #kindHistory = 0;
  #recent: number[] = Array.from({ length: RECENT_TIMES }, () => 0);
  /** How the last entry with another name was renamed: what its name began with, then and now. */
  #rule = { from: '', to: '' };

  /** `madeBytes` has the sizes of this layer's entries so far. */
  constructor(base: BaseEntries, madeBytes: (index: number) => number) {
    this.#base = base;
    this.#madeBytes = madeBytes;
    this.#bits = Object.fromEntries(Object.entries(QUESTIONS).map(([name, contexts]) => [name, new Model(contexts, name === 'byte' ? MOSTLY : EVEN)])) as unknown as Record<Question, Model>;
  }

  /** The name that an entry of the base would have by the last rename. */
  renamedPath(path: string): string | undefined {
    const { from, to } = this.#rule;
    return path.startsWith(from) && from !== to ? `${to}${path.slice(from.length)}` : undefined;
  }

  /** The last rename the other way round. */
  formerPath(path: string): string | undefined {
    const { from, to } = this.#rule;
    return path.startsWith(to) && from !== to ? `${from}${path.slice(to.length)}` : undefined;
  }

  code(coder: Coder, wanted?: WantedEntry): CodedEntry {
    this.#coder = coder;
    const prediction = this.#predict(wanted), { relation, like } = prediction;
    const header = this.#blocks(prediction, wanted?.header), main = header.length - BLOCK_BYTES, target = wanted?.header;
    const was = { time: readNumber(header, 'mtime'), link: linkOf(header) };
    if (this.#ask('type', relation, target && typeOf(target) !== typeOf(header))) {
      header[main + FIELD.type.at] = this.#bytes.code(coder, BLOCK_BYTES + FIELD.type.at, target?.[target.length - BLOCK_BYTES + FIELD.type.at] ?? 0);
    }
    for (const field of ['mode', 'uid', 'gid'] as const) this.#number(field, { header, target, relation });
    const content = this.#content({ type: typeOf(header), relation, like }, wanted);
    if (readNumber(header, 'size') !== content.sizeBytes) writeNumber(header, 'size', content.sizeBytes);
    this.#time({ header, was: was.time, relation }, target);
    this.#link({ header, was: was.link, relation }, target);
    writeChecksum(header, main);
    this.#patch(header, relation, target);
    this.#names.saw(header);
    if (relation === 2) this.#learnRename(like, header);
    this.#previous = header;
    this.#index++;
    return { header, ...content };
  }

  #ask(question: Question, context: number, yes: boolean | undefined): boolean {
    return this.#out.bit(this.#bits[question], context, yes === true ? 1 : 0) !== 0;
  }

  get #out(): Coder {
    assert(this.#coder !== undefined, 'an entry is being coded');
    return this.#coder;
  }

  /** Chooses what the header is like, and makes it up from that. */
  #predict(wanted: WantedEntry | undefined): Prediction {
    const history = this.#likeHistory & 7, next = this.#last + 1, like = wanted?.like ?? -1;
    const plain = like >= 0 && wanted?.renamed === false;
    const isNext = !this.#ask('next', history, wanted && !(plain && like === next));
    this.#likeHistory = history << 1 | (isNext ? 0 : 1);
    if (isNext) return this.#sameName(next);
    if (!this.#ask('unlike', history, !plain)) return this.#sameName(next + this.#jumps.signed(this.#out, 0, like - next));
    if (!this.#ask('renamed', history, like >= 0)) {
      const before = this.#previous;
      const path = this.#newPath(wanted && pathOf(wanted.header));
      return { header: this.#named({ path, like: before, relation: 1 }, wanted), like: -1, relation: 1 };
    }
    const other = this.#ask('renamedNext', history, like !== next) ? next + this.#jumps.signed(this.#out, 1, like - next) : next;
    const before = this.#baseHeader(other);
    const path = this.#changedPath(pathOf(before), wanted && pathOf(wanted.header));
    this.#last = other;
    return { header: this.#named({ path, like: before, relation: 2 }, wanted), like: other, relation: 2 };
  }

  #sameName(index: number): Prediction {
    const like = this.#baseHeader(index), header = this.#spare(like.length);
    like.copy(header);
    this.#last = index;
    return { header, like: index, relation: 0 };
  }

  /** Room for header blocks. One of two buffers in turns: what was made last is still needed. A layer has too many entries to leave a buffer of each to the collector. */
  #spare(bytes: number): Buffer {
    this.#turn = 1 - this.#turn;
    let buffer = this.#buffers[this.#turn];
    if (buffer === undefined || buffer.length < bytes) this.#buffers[this.#turn] = buffer = Buffer.alloc(bytes * 2);
    return buffer.subarray(0, bytes);
  }

  #baseHeader(index: number): Buffer {
    if (index < 0 || index >= this.#base.count) throw corrupt(`the delta names entry ${index} of ${this.#base.count} of its base`);
    const header = this.#base.header(index);
    if (header.length === 0) throw corrupt(`the delta names the header of entry ${index} of its base, which has none`);
    return header;
  }

  /** A name that begins as the one before. */
  #newPath(wanted: string | undefined): string {
    const before = pathOf(this.#previous), path = wanted === undefined ? undefined : untilZero(wanted);
    const kept = this.#lengths.code(this.#out, 0, commonPrefix(before, path ?? ''));
    if (kept > before.length) throw corrupt('the delta names an entry after more than there was');
    return before.slice(0, kept) + this.#string(0, path?.slice(kept));
  }

  /** A name that differs from `before` by the last rename, or else in its middle. */
  #changedPath(before: string, wanted: string | undefined): string {
    const ruled = this.renamedPath(before), path = wanted === undefined ? undefined : untilZero(wanted);
    if (this.#ask('byRule', ruled === undefined ? 0 : 1, ruled !== undefined && ruled === path)) {
      if (ruled === undefined || ruled.length > MAX_PATH_BYTES) throw corrupt('the delta renames an entry as none was renamed before');
      return ruled;
    }
    const head = this.#lengths.code(this.#out, 1, commonPrefix(before, path ?? ''));
    const tail = this.#lengths.code(this.#out, 2, path === undefined ? 0 : commonSuffix(before.slice(head), path.slice(head)));
    if (head + tail > before.length) throw corrupt('the delta renames an entry after more than there was');
    return before.slice(0, head) + this.#string(1, path?.slice(head, path.length - tail)) + before.slice(before.length - tail);
  }

  /** Text up to a zero. */
  #string(kind: number, wanted: string | undefined): string {
    let text = '';
    for (let last = 0, i = 0; ; i++) {
      const byte = this.#text.code(this.#out, kind * 256 + last, wanted === undefined ? 0 : i < wanted.length ? wanted.charCodeAt(i) : 0);
      if (byte === 0) return text;
      if (i >= MAX_PATH_BYTES) throw corrupt(`the delta names an entry with more than ${MAX_PATH_BYTES} bytes`);
      text += String.fromCharCode(byte);
      last = byte;
    }
  }

  /** Headers for a name that is not the base's. */
  #named({ path, like, relation }: { path: string; like: Buffer; relation: Relation }, wanted: WantedEntry | undefined): Buffer {
    const style = wanted === undefined ? 0 : styleOf(wanted.header), context = (relation - 1) * 8 + (path.length > FIELD.name.bytes ? 4 : 0);
    const high = this.#ask('style', context, style >= 2) ? 2 : 0, low = this.#ask('style', context + 1 + high / 2, style % 2 === 1) ? 1 : 0;
    return this.#names.write(path, (high + low) as NameStyle, like);
  }

  /** As many header blocks as are wanted, those predicted at their end. */
  #blocks({ header, relation }: Prediction, target: Buffer | undefined): Buffer {
    if (!this.#ask('blocks', relation, target && target.length !== header.length)) return header;
    const blocks = this.#numbers.code(this.#out, NUMBERS.blocks, (target?.length ?? 0) / BLOCK_BYTES);
    if (blocks < 1 || blocks * BLOCK_BYTES > MAX_HEADER_BYTES) throw corrupt(`the delta has an entry with ${blocks} blocks of headers`);
    const other = Buffer.alloc(blocks * BLOCK_BYTES), n = Math.min(other.length, header.length);
    header.copy(other, other.length - n, header.length - n);
    return other;
  }

  #number(field: 'mode' | 'uid' | 'gid', { header, target, relation }: { header: Buffer; target: Buffer | undefined; relation: Relation }): void {
    const was = readNumber(header, field), is = target === undefined ? was : readNumber(target, field);
    if (this.#ask('number', relation * 8 + NUMBERS[field], is !== was)) writeNumber(header, field, this.#numbers.code(this.#out, NUMBERS[field], is));
  }

  #content({ type, relation, like }: { type: number; relation: Relation; like: number }, wanted: WantedEntry | undefined): Omit<CodedEntry, 'header'> {
    const nothing = { sizeBytes: 0, kind: KIND.same, source: -1, pieces: NO_PIECES };
    const wasEmpty = relation !== 1 && this.#base.sizeBytes(like) === 0 ? 1 : 0;
    if (!hasContent(type) || this.#ask('empty', relation * 2 + wasEmpty, wanted?.sizeBytes === 0)) return nothing;
    const history = this.#kindHistory & 7;
    const same = relation !== 1 && this.#ask('sameContent', relation * 8 + history, wanted?.kind === KIND.same);
    this.#kindHistory = history << 1 | (same ? 0 : 1);
    if (same) return { ...nothing, sizeBytes: this.#base.sizeBytes(like), source: like };
    const kind = this.#kind(relation, wanted?.kind ?? KIND.copy);
    const source = this.#source({ kind, relation, like }, wanted?.source ?? -1);
    if (kind === KIND.copy) return { sizeBytes: this.#base.sizeBytes(source), kind, source, pieces: NO_PIECES };
    if (kind === KIND.again) return { sizeBytes: this.#madeBytes(source), kind, source, pieces: NO_PIECES };
    const sizeBytes = relation !== 1 && this.#ask('sameSize', relation, wanted?.sizeBytes === this.#base.sizeBytes(like))
      ? this.#base.sizeBytes(like) : this.#numbers.code(this.#out, NUMBERS.size, wanted?.sizeBytes ?? 0);
    const pieces = kind === KIND.pieces ? this.#codePieces({ like, sizeBytes }, wanted?.pieces) : NO_PIECES;
    return { sizeBytes, kind, source, pieces };
  }

  #kind(relation: Relation, wanted: Kind): Kind {
    const ask = (context: number, kind: Kind) => this.#ask('kind', relation * 8 + context, wanted === kind);
    if (ask(0, KIND.fresh)) return KIND.fresh;
    if (ask(1, KIND.patch)) return KIND.patch;
    if (ask(2, KIND.again)) return KIND.again;
    return ask(3, KIND.pieces) ? KIND.pieces : KIND.copy;
  }

  #source({ kind, relation, like }: { kind: Kind; relation: Relation; like: number }, wanted: number): number {
    if (kind === KIND.again) {
      const source = this.#index - 1 - this.#sources.code(this.#out, 1, this.#index - 1 - Math.max(0, wanted));
      if (source < 0) throw corrupt('the delta repeats an entry from before the first');
      return source;
    }
    if (kind !== KIND.copy && kind !== KIND.patch) return -1;
    const near = relation === 1 ? this.#lastCopy + 1 : like, source = near + this.#sources.signed(this.#out, 0, wanted - near);
    if (source < 0 || source >= this.#base.count) throw corrupt(`the delta names entry ${source} of ${this.#base.count} of its base`);
    this.#lastCopy = source;
    return source;
  }

  #codePieces({ like, sizeBytes }: { like: number; sizeBytes: number }, wanted: readonly Piece[] | undefined): Piece[] {
    const m = this.#pieces, count = m.code(this.#out, 0, wanted?.length ?? 0), pieces: Piece[] = [];
    if (count > MAX_PIECES) throw corrupt(`the delta has an entry of ${count} pieces`);
    let at = 0, source = Math.max(0, like), end = 0;
    for (let i = 0; i < count; i++) {
      const want = wanted?.[i];
      const freshBytes = m.code(this.#out, 1, want?.freshBytes ?? 0), jump = m.signed(this.#out, 2, (want?.source ?? 0) - source);
      if (jump !== 0) end = 0;
      source += jump;
      const fromBytes = end + m.signed(this.#out, 3, (want?.fromBytes ?? 0) - end), bytes = m.code(this.#out, 4, want?.sizeBytes ?? 0);
      end = fromBytes + bytes;
      at += freshBytes + bytes;
      if (source < 0 || source >= this.#base.count || fromBytes < 0 || end > this.#base.sizeBytes(source) || at > sizeBytes) throw corrupt('the delta has a piece of the base that is none');
      pieces.push({ freshBytes, source, fromBytes, sizeBytes: bytes });
    }
    return pieces;
  }

  /** Times come again: the base's own, then one of the last ones. */
  #time({ header, was, relation }: { header: Buffer; was: number; relation: Relation }, target: Buffer | undefined): void {
    const is = target === undefined ? 0 : readNumber(target, 'mtime');
    if (relation !== 1 && this.#ask('sameTime', relation, is === was)) return;
    let k = 0;
    while (k < RECENT_TIMES && !this.#ask('time', k, target && this.#recent[k] === is)) k++;
    const newest = this.#recent[0] ?? 0;
    const time = k < RECENT_TIMES ? this.#recent[k] ?? 0 : newest + this.#times.signed(this.#out, 0, is - newest);
    if (time < 0 || time >= 2 ** 48) throw corrupt(`the delta has an entry of the second ${time}`);
    this.#recent.splice(Math.min(k, RECENT_TIMES - 1), 1);
    this.#recent.unshift(time);
    if (time !== readNumber(header, 'mtime')) writeNumber(header, 'mtime', time);
  }

  #link({ header, was, relation }: { header: Buffer; was: string; relation: Relation }, target: Buffer | undefined): void {
    const type = typeOf(header), at = header.length - BLOCK_BYTES + FIELD.link.at;
    if (type !== 0x31 && type !== 0x32) {
      if (relation === 1) header.fill(0, at, at + FIELD.link.bytes);
      return;
    }
    if (relation !== 1 && this.#ask('sameLink', relation, target && linkOf(target) === was)) return;
    const text = this.#string(2, target && linkOf(target));
    header.fill(0, at, at + FIELD.link.bytes);
    header.write(text.slice(0, FIELD.link.bytes), at, 'latin1');
  }

  /** Whatever else is not as predicted, byte by byte. */
  #patch(header: Buffer, relation: Relation, target: Buffer | undefined): void {
    if (this.#ask('exact', relation, target?.equals(header))) return;
    const main = header.length - BLOCK_BYTES;
    for (let i = 0; i < header.length; i++) {
      const column = (i >= main ? BLOCK_BYTES : 0) + i % BLOCK_BYTES;
      if (!this.#ask('byte', column, target && target[i] === header[i])) header[i] = this.#bytes.code(this.#out, column, target?.[i] ?? 0);
    }
  }

  #learnRename(like: number, header: Buffer): void {
    const before = pathOf(this.#baseHeader(like)), path = pathOf(header);
    const slash = path.slice(path.length - commonSuffix(before, path)).indexOf('/');
    const tail = slash < 0 ? 0 : commonSuffix(before, path) - slash;
    this.#rule = { from: before.slice(0, before.length - tail), to: path.slice(0, path.length - tail) };
  }
}

const untilZero = (text: string) => {
  const zero = text.indexOf('\0');
  return zero < 0 ? text : text.slice(0, zero);
};

function commonPrefix(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

function commonSuffix(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[a.length - 1 - n] === b[b.length - 1 - n]) n++;
  return n;
}
