// Reads databases of bbolt, in which Docker keeps what it has no other file for: whole in memory, never written, and whatever the bytes are, in
// bounded time and with a clear error. Source of the format: the layout of pages that bbolt 1.3 has (two metas, branches, leaves, inline buckets).
import { corrupt } from '../lib/errors.ts';

export interface BoltBucket {
  /** Keys in their order with their values: views of the file's bytes. Throws `corrupt` as soon as something cannot be read. */
  entries(): Iterable<{ key: Uint8Array; value: Uint8Array }>;
  /** undefined when there is no such bucket in it. */
  bucket(name: string): BoltBucket | undefined;
}

const MAGIC = 0xed0cdaed;
const VERSION = 2;
/** Of a page, before its elements or its meta. */
const HEADER_BYTES = 16;
const ELEMENT_BYTES = 16;
/** Of a meta without its checksum. */
const META_BYTES = 56;
/** Of a bucket, before the page of an inline one. */
const BUCKET_BYTES = 16;
/** A page is as large as one of memory on the machine that made the file. */
const PAGE_BYTES = { least: 512, most: 2 ** 20 };
const FLAGS = { branch: 1, leaf: 2 } as const;
const BUCKET_FLAG = 1;

/** The root of a database: it holds buckets and no values of its own. Throws `corrupt` when neither of its two metas can be believed. */
export function readBolt(bytes: Uint8Array): BoltBucket {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const metas = metasOf(view);
  const newest = metas.toSorted((one, other) => (one.transaction < other.transaction ? 1 : -1))[0];
  if (!newest) throw corrupt('no database: neither of its two heads is whole');
  return bucketAt({ bytes, view, pageBytes: newest.pageBytes }, newest.root);
}

interface Meta { pageBytes: number; root: number; transaction: bigint }
interface File { bytes: Uint8Array; view: DataView; pageBytes: number }
/** Elements in `bytes`, which begins with the header of a page. */
interface Page { bytes: Uint8Array; view: DataView; what: string }
interface Element { key: Uint8Array; value: Uint8Array; isBucket: boolean }

/** Each of the two is written in turn, so that one is whole whenever a write was cut short. */
function metasOf(view: DataView): Meta[] {
  const first = metaAt(view, 0);
  const sizes: number[] = [];
  if (first) sizes.push(first.pageBytes);
  else for (let size = PAGE_BYTES.least; size <= PAGE_BYTES.most; size *= 2) sizes.push(size);
  const second = sizes.map((size) => metaAt(view, size)).find((meta, at) => meta?.pageBytes === sizes[at]);
  return [first, second].filter((meta) => meta !== undefined);
}

function metaAt(view: DataView, page: number): Meta | undefined {
  const at = page + HEADER_BYTES;
  if (at + META_BYTES + 8 > view.byteLength) return undefined;
  if (view.getUint32(at, true) !== MAGIC || view.getUint32(at + 4, true) !== VERSION) return undefined;
  if (view.getBigUint64(at + META_BYTES, true) !== fnv1a(view, at)) return undefined;
  const pageBytes = view.getUint32(at + 8, true);
  if (pageBytes < PAGE_BYTES.least || pageBytes > PAGE_BYTES.most || (pageBytes & (pageBytes - 1)) !== 0) return undefined;
  return { pageBytes, root: pageNumber(view, at + 16), transaction: view.getBigUint64(at + 48, true) };
}

/** 64 bits, over the bytes of a meta. */
function fnv1a(view: DataView, at: number): bigint {
  let sum = 0xcbf29ce484222325n;
  for (let i = 0; i < META_BYTES; i++) sum = BigInt.asUintN(64, (sum ^ BigInt(view.getUint8(at + i))) * 0x100000001b3n);
  return sum;
}

/** Infinity for what is no page of any file. */
function pageNumber(view: DataView, at: number): number {
  const number = view.getBigUint64(at, true);
  return number > 0xffff_ffffn ? Infinity : Number(number);
}

const bucketAt = (file: File, root: number): BoltBucket => bucketOf(file, () => elementsBelow(file, root));

function bucketOf(file: File, elements: () => Iterable<Element>): BoltBucket {
  return {
    *entries() {
      for (const { key, value, isBucket } of elements()) if (!isBucket) yield { key, value };
    },
    bucket(name) {
      for (const { key, value, isBucket } of elements()) if (isBucket && sameText(key, name)) return nested(file, value);
      return undefined;
    },
  };
}

function nested(file: File, value: Uint8Array): BoltBucket {
  if (value.length < BUCKET_BYTES) throw corrupt('a bucket without its head');
  const view = viewOf(value);
  const root = pageNumber(view, 0);
  if (root !== 0) return bucketAt(file, root);
  const page: Page = { bytes: value.subarray(BUCKET_BYTES), view: viewOf(value.subarray(BUCKET_BYTES)), what: 'an inline bucket' };
  return bucketOf(file, () => {
    if (page.bytes.length < HEADER_BYTES) throw corrupt('an inline bucket without its page');
    return leafElements(page);
  });
}

/** All elements of the tree at `root`, in the order of their keys. No page is read twice, and no two may overlap: so it ends. */
function* elementsBelow(file: File, root: number): Generator<Element> {
  const seen = new Set<number>();
  const waiting = [root];
  let last: Uint8Array | undefined;
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    const page = pageAt(file, number, seen);
    const flags = page.view.getUint16(8, true);
    if (flags === FLAGS.branch) {
      waiting.push(...branchPages(page).toReversed());
      continue;
    }
    if (flags !== FLAGS.leaf) throw corrupt(`${page.what} is neither a branch nor a leaf`);
    for (const element of leafElements(page)) {
      if (last && Buffer.compare(last, element.key) >= 0) throw corrupt(`${page.what}: keys out of order`);
      last = element.key;
      yield element;
    }
  }
}

/** With those that follow it, where it is longer than one. */
function pageAt({ bytes, view, pageBytes }: File, number: number, seen: Set<number>): Page {
  const what = `page ${number}`;
  const at = number * pageBytes;
  if (number < 2 || at + pageBytes > bytes.length) throw corrupt(`${what} is not in the file`);
  if (pageNumber(view, at) !== number) throw corrupt(`${what} says that it is another`);
  const pages = 1 + view.getUint32(at + 12, true);
  const end = at + pages * pageBytes;
  if (end > bytes.length) throw corrupt(`${what} is longer than the file`);
  for (let one = number; one < number + pages; one++) {
    if (seen.has(one)) throw corrupt(`${what} is there twice`);
    seen.add(one);
  }
  const own = bytes.subarray(at, end);
  return { bytes: own, view: viewOf(own), what };
}

function branchPages(page: Page): number[] {
  return Array.from({ length: countOf(page) }, (_, at) => pageNumber(page.view, HEADER_BYTES + at * ELEMENT_BYTES + 8));
}

function* leafElements(page: Page): Generator<Element> {
  const { bytes, view, what } = page;
  const count = countOf(page);
  let room = bytes.length;
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * ELEMENT_BYTES;
    const [flags, keyBytes, valueBytes] = [view.getUint32(at, true), view.getUint32(at + 8, true), view.getUint32(at + 12, true)];
    const key = at + view.getUint32(at + 4, true);
    room -= keyBytes + valueBytes;
    // All together have no more bytes than the page: none may stand where another one does.
    if (room < 0 || key + keyBytes + valueBytes > bytes.length) throw corrupt(`${what}: an element reaches beyond its end`);
    yield { key: bytes.subarray(key, key + keyBytes), value: bytes.subarray(key + keyBytes, key + keyBytes + valueBytes), isBucket: (flags & BUCKET_FLAG) !== 0 };
  }
}

function countOf({ bytes, view, what }: Page): number {
  const count = view.getUint16(10, true);
  if (HEADER_BYTES + count * ELEMENT_BYTES > bytes.length) throw corrupt(`${what}: more elements than it has room for`);
  return count;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const sameText = (bytes: Uint8Array, text: string): boolean => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).equals(Buffer.from(text));
