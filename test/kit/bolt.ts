// Makes databases in the format of bbolt, page by page, so that tests can have any shape of them, and any damage.

export interface BoltTree { readonly [key: string]: string | BoltTree }
interface Options { pageBytes?: number; /** Buckets within the leaf of their parent, where they hold no others. */ inline?: boolean }
type Item = { key: Buffer; value: Buffer; isBucket: boolean };

const HEADER = 16, ELEMENT = 16;

export function buildBolt(tree: BoltTree, { pageBytes = 512, inline = false }: Options = {}): Buffer {
  const pages: Buffer[] = [Buffer.alloc(pageBytes), Buffer.alloc(pageBytes), page({ id: 2, flags: 16, count: 0, pageBytes }, [])]; // metas, free list
  const root = addBucket(tree, { pages, pageBytes, inline });
  for (const at of [0, 1]) writeMeta(pages[at] ?? Buffer.alloc(0), { pageBytes, root, transaction: 10 + at, pages: pages.length, id: at });
  return Buffer.concat(pages);
}

/** Of the page that begins at `at`: after something in it was changed on purpose. */
export function signMeta(bytes: Buffer, at: number): void {
  let sum = 0xcbf29ce484222325n;
  for (const byte of bytes.subarray(at + HEADER, at + HEADER + 56)) sum = BigInt.asUintN(64, (sum ^ BigInt(byte)) * 0x100000001b3n);
  bytes.writeBigUInt64LE(sum, at + HEADER + 56);
}

function writeMeta(bytes: Buffer, { pageBytes, root, transaction, pages, id }: { pageBytes: number; root: number; transaction: number; pages: number; id: number }): void {
  bytes.writeBigUInt64LE(BigInt(id), 0);
  bytes.writeUInt16LE(4, 8);
  bytes.writeUInt32LE(0xed0cdaed, HEADER);
  bytes.writeUInt32LE(2, HEADER + 4);
  bytes.writeUInt32LE(pageBytes, HEADER + 8);
  bytes.writeBigUInt64LE(BigInt(root), HEADER + 16);
  bytes.writeBigUInt64LE(2n, HEADER + 32);
  bytes.writeBigUInt64LE(BigInt(pages), HEADER + 40);
  bytes.writeBigUInt64LE(BigInt(transaction), HEADER + 48);
  signMeta(bytes, 0);
}

interface Making { pages: Buffer[]; pageBytes: number; inline: boolean }

function addBucket(tree: BoltTree, making: Making): number {
  const items = Object.keys(tree).map((key) => Buffer.from(key)).toSorted((a, b) => Buffer.compare(a, b)).map((key): Item => {
    const value = tree[key.toString()] ?? '';
    return typeof value === 'string' ? { key, value: Buffer.from(value), isBucket: false } : { key, value: bucketValue(value, making), isBucket: true };
  });
  let level = grouped(items, ({ key, value }) => key.length + value.length, making).map((group) => ({ key: group[0]?.key ?? Buffer.alloc(0), id: addPage(2, group, making) }));
  while (level.length > 1) level = grouped(level, ({ key }) => key.length, making).map((group) => ({ key: group[0]?.key ?? Buffer.alloc(0), id: addPage(1, group.map(({ key, id }) => ({ key, value: Buffer.alloc(0), isBucket: false, id })), making) }));
  return level[0]?.id ?? addPage(2, [], making);
}

function bucketValue(tree: BoltTree, making: Making): Buffer {
  const head = Buffer.alloc(16);
  if (making.inline && Object.values(tree).every((value) => typeof value === 'string')) {
    const items = Object.keys(tree).toSorted().map((key): Item => ({ key: Buffer.from(key), value: Buffer.from(tree[key] as string), isBucket: false }));
    return Buffer.concat([head, page({ id: 0, flags: 2, count: items.length, pageBytes: 1 }, items)]);
  }
  head.writeBigUInt64LE(BigInt(addBucket(tree, making)), 0);
  return head;
}

/** As many as fit a page; one that does not fit at all has pages of its own. */
function grouped<T>(items: readonly T[], size: (item: T) => number, { pageBytes }: Making): T[][] {
  const groups: T[][] = [];
  let room = 0;
  for (const item of items) {
    if (room < ELEMENT + size(item) || groups.length === 0) { groups.push([]); room = pageBytes - HEADER; }
    groups.at(-1)?.push(item);
    room -= ELEMENT + size(item);
  }
  return groups;
}

function addPage(flags: number, items: ReadonlyArray<Item & { id?: number }>, { pages, pageBytes }: Making): number {
  const id = pages.length;
  const bytes = page({ id, flags, count: items.length, pageBytes }, items);
  for (let at = 0; at < bytes.length; at += pageBytes) pages.push(bytes.subarray(at, at + pageBytes));
  return id;
}

function page({ id, flags, count, pageBytes }: { id: number; flags: number; count: number; pageBytes: number }, items: ReadonlyArray<Item & { id?: number }>): Buffer {
  const head = Buffer.alloc(HEADER + items.length * ELEMENT);
  const body = Buffer.concat(items.flatMap(({ key, value }) => [key, value]));
  const bytes = Buffer.alloc(Math.ceil((head.length + body.length) / pageBytes) * pageBytes);
  head.writeBigUInt64LE(BigInt(id), 0);
  head.writeUInt16LE(flags, 8);
  head.writeUInt16LE(count, 10);
  head.writeUInt32LE(Math.max(0, bytes.length / pageBytes - 1) * (pageBytes > 1 ? 1 : 0), 12);
  let data = head.length;
  items.forEach(({ key, value, isBucket, id: child }, i) => {
    const at = HEADER + i * ELEMENT;
    if (child === undefined) {
      head.writeUInt32LE(isBucket ? 1 : 0, at);
      head.writeUInt32LE(data - at, at + 4);
      head.writeUInt32LE(key.length, at + 8);
      head.writeUInt32LE(value.length, at + 12);
    } else {
      head.writeUInt32LE(data - at, at);
      head.writeUInt32LE(key.length, at + 4);
      head.writeBigUInt64LE(BigInt(child), at + 8);
    }
    data += key.length + value.length;
  });
  head.copy(bytes, 0);
  body.copy(bytes, head.length);
  return bytes;
}
