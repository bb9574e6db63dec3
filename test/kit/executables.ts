// Small executables made by hand: the same program linked twice, the second time with a function more and one changed, so that nearly every address moves.
import { rng } from './random.ts';

export const MACHINES = ['x86-64', 'i386', 'arm64', 'arm', 'thumb'] as const;
export type MachineName = typeof MACHINES[number];

/** What an image is made with: `tables`: exception frames, symbols, relocations, unwinding; `go`: Go's table of functions. */
export interface Making { readonly seed: number; readonly functions: number; readonly tables?: boolean; readonly go?: boolean }

interface Link { readonly at: number; readonly kind: 'call' | 'data' | 'table' | 'pointer'; readonly to: number }
interface Routine { readonly id: number; readonly code: Buffer; readonly links: readonly Link[] }

const NUMBER: Readonly<Record<MachineName, number>> = { 'x86-64': 62, i386: 3, arm64: 183, arm: 40, thumb: 40 };
const isWide = (machine: MachineName): boolean => machine === 'x86-64' || machine === 'arm64';
const LINKS = 8, DATA_WORDS = 64;

/** The program before and after. */
export function linkedTwice(machine: MachineName, making: Making): { old: Buffer; made: Buffer } {
  const routines = Array.from({ length: making.functions }, (_, id) => routine(machine, making, id));
  const changed = [...routines];
  changed.splice(Math.floor(making.functions / 3), 0, routine(machine, making, making.functions));
  changed[Math.floor(making.functions / 2)] = routine(machine, { ...making, seed: making.seed + 1 }, Math.floor(making.functions / 2) - 1);
  return { old: link(machine, routines, making), made: link(machine, changed, making) };
}

/** The same file for a machine that nobody knows: its code is only bytes. */
export function ofUnknownMachine(file: Buffer): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt16LE(0x5441, 18);
  return copy;
}

/** The same file with its tables called something else. */
export function withoutTables(file: Buffer): Buffer {
  const copy = Buffer.from(file), wide = copy[4] === 2;
  const programs = copy.readUInt16LE(wide ? 56 : 44), sections = copy.readUInt16LE(wide ? 60 : 48);
  const at = wide ? { programs: 64, entry: 56, sections: Number(copy.readBigUInt64LE(40)), section: 64 } : { programs: 52, entry: 32, sections: copy.readUInt32LE(32), section: 40 };
  for (let k = 0; k < programs; k++) if (copy.readUInt32LE(at.programs + k * at.entry) !== 1) copy.writeUInt32LE(4, at.programs + k * at.entry);
  for (let k = 1; k < sections; k++) copy.writeUInt32LE(1, at.sections + k * at.section + 4);
  for (let place = copy.indexOf(GO_MAGIC); place >= 0; place = copy.indexOf(GO_MAGIC)) copy[place] = 0;
  return copy;
}

/** A function: some instructions that say nothing, and between them calls of others and addresses of data. */
function routine(machine: MachineName, { seed, functions }: Making, id: number): Routine {
  const random = rng(seed * 1000 + id), code: Buffer[] = [], links: Link[] = [];
  let at = 0;
  const put = (bytes: Buffer): void => { code.push(bytes); at += bytes.length; };
  const words = (list: readonly number[]): Buffer => Buffer.from(Uint32Array.from(list).buffer);
  for (let k = 0; k < LINKS; k++) {
    for (let n = 2 + Math.floor(random() * 3); n > 0; n--) put(words([idle(machine, random)]));
    const call = { at, kind: 'call' as const, to: Math.floor(random() * functions) }, data = { kind: 'data' as const, to: Math.floor(random() * DATA_WORDS) };
    switch (machine) {
      case 'x86-64': put(Buffer.from('e800000000488d0500000000', 'hex')); links.push({ ...call, at: at - 11 }, { ...data, at: at - 4 }); break;
      case 'i386': // call, conditional jump; address of the table into BX, an address by it, and an absolute one
        put(Buffer.from('e8000000000f850000000081c3000000008d8300000000b800000000', 'hex'));
        links.push({ ...call, at: at - 27 }, { ...call, at: at - 21 }, { at: at - 15, kind: 'table', to: 0 }, { ...data, at: at - 9 }, { ...call, at: at - 4, kind: 'pointer' });
        break;
      case 'arm64': put(words([0x94000000, 0x90000000, 0x91000000])); links.push(call, { ...data, at: at - 8 }); break;
      case 'arm': put(words([0xeb000000, 0xe59f1004, 0xe08f1001, 0xea000000, 0])); links.push(call, { ...data, at: at - 4 }); break; // load, add, jump over the word
      case 'thumb': put(words([0xd000f000, 0x44784801, 0xbf00e001, 0])); links.push(call, { ...data, at: at - 4 }); break;
    }
  }
  return { id, code: Buffer.concat(code), links };
}

/** Additions between registers, different ones. */
function idle(machine: MachineName, random: () => number): number {
  const any = Math.floor(random() * 2 ** 16);
  switch (machine) {
    case 'x86-64': case 'i386': return (0x01c08348 + (any << 16 & 0x3f000000 | any & 0x3f) * 1) >>> 0;
    case 'arm64': return (0x8b000000 | any & 0x1f | any << 5 & 0x1f0000 | any >> 6 & 0x3e0) >>> 0;
    case 'arm': return (0xe0800000 | any & 7 | any << 4 & 0x7000 | any << 7 & 0x70000) >>> 0;
    case 'thumb': return (0x18001800 | any & 0x1ff | any << 7 & 0x1ff0000) >>> 0;
  }
}

interface Section { readonly name: string; readonly type: number; readonly code: boolean; readonly bytes: Buffer; readonly entryBytes?: number; readonly link?: number; offset: number; address: number }
const BASE = 0x10000, DATA_GAP = 0x1000, PROGRAMS = 5;
const GO_MAGIC = Buffer.from('f1ffffff00000108', 'hex');

/** Lays the sections out twice: first to learn the addresses, then with them. */
function link(machine: MachineName, routines: readonly Routine[], making: Making): Buffer {
  let sections = build(machine, routines, { making, addressOf: () => 0 });
  const bytes = place(machine, sections);
  const known = new Map(sections.map(({ name, address }) => [name, address]));
  sections = build(machine, routines, { making, addressOf: (name) => known.get(name) ?? 0 });
  place(machine, sections);
  return write(machine, sections, bytes);
}

function headerBytes(machine: MachineName): number { return isWide(machine) ? 64 + PROGRAMS * 56 : 52 + PROGRAMS * 32; }

function place(machine: MachineName, sections: readonly Section[]): number {
  let offset = headerBytes(machine) + 15 & ~15, inData = 0;
  for (const section of sections) {
    if (section.name === 'data') inData = DATA_GAP;
    section.offset = offset;
    section.address = BASE + offset + inData;
    offset = offset + section.bytes.length + 15 & ~15;
  }
  return offset;
}

interface Layout { readonly making: Making; addressOf: (section: string) => number }

function build(machine: MachineName, routines: readonly Routine[], layout: Layout): Section[] {
  const starts = new Map<number, number>(), text = layout.addressOf('text');
  let end = text;
  for (const { id, code } of routines) {
    starts.set(id, end);
    end += code.length;
  }
  const startOf = (id: number): number => starts.get(id) ?? text;
  const code = Buffer.concat(routines.map((one) => linked(machine, one, { startOf, data: layout.addressOf('data') })));
  const word = isWide(machine) ? 8 : 4, data = Buffer.alloc(DATA_WORDS * word);
  for (let k = 0; k < DATA_WORDS; k++) data.writeUInt32LE((startOf(k % routines.length) | (machine === 'thumb' ? 1 : 0)) >>> 0, k * word);
  const section = (name: string, bytes: Buffer, more: Partial<Section> = {}): Section => ({ name, type: 1, code: false, bytes, offset: 0, address: 0, ...more });
  const order = routines.map(({ id }) => ({ id, address: startOf(id) }));
  const tables = layout.making.tables === true ? tablesOf(machine, order, layout).map(([name, bytes, more]) => section(name, bytes, more)) : [];
  const go = layout.making.go === true ? [section('go', goTable(order))] : [];
  const dynamic = Buffer.alloc(16);
  dynamic.writeUInt32LE(3, 0);
  dynamic.writeUInt32LE(layout.addressOf('data'), 4);
  return [section('text', code, { code: true }), ...tables, ...go, section('data', data), ...machine === 'i386' ? [section('dynamic', dynamic)] : []];
}

/** The function with its references written for where it is. */
function linked(machine: MachineName, { id, code, links }: Routine, { startOf, data }: { startOf: (id: number) => number; data: number }): Buffer {
  const bytes = Buffer.from(code);
  for (const { at, kind, to } of links) {
    const here = startOf(id) + at, address = kind === 'call' ? startOf(to) : data + to * (isWide(machine) ? 8 : 4);
    if (kind === 'pointer') bytes.writeUInt32LE(startOf(to), at);
    else if (kind === 'table') bytes.writeInt32LE(data - (here - 2), at);
    else if (kind === 'data' && machine === 'i386') bytes.writeInt32LE(address - data, at);
    else if (machine === 'x86-64' || machine === 'i386') bytes.writeInt32LE(address - here - 4, at);
    else if (kind === 'data' && machine === 'arm64') {
      const pages = Math.floor(address / 4096) - Math.floor(here / 4096);
      bytes.writeUInt32LE((0x90000000 | (pages >> 2 & 0x7ffff) << 5 | (pages & 3) << 29) >>> 0, at);
      bytes.writeUInt32LE((0x91000000 | (address & 0xfff) << 10) >>> 0, at + 4);
    } else if (kind === 'data') bytes.writeInt32LE(address - (machine === 'arm' ? here - 8 + 8 : here - 6 + 4), at); // from the instruction that adds, and ahead of it
    else if (machine === 'arm64') bytes.writeUInt32LE((0x94000000 | (address - here) / 4 & 0x3ffffff) >>> 0, at);
    else if (machine === 'arm') bytes.writeUInt32LE((0xeb000000 | (address - here - 8) / 4 & 0xffffff) >>> 0, at);
    else bytes.writeUInt32LE(thumbCall(address - here - 4), at);
  }
  return bytes;
}

function thumbCall(distance: number): number {
  const sign = distance < 0 ? 1 : 0, i1 = distance >> 23 & 1, i2 = distance >> 22 & 1;
  return (0xd000f000 | sign << 10 | distance >> 12 & 0x3ff | (i1 ^ 1 ^ sign) << 29 | (i2 ^ 1 ^ sign) << 27 | (distance >> 1 & 0x7ff) << 16) >>> 0;
}

/** They differ, as in life. */
const frameBytes = (id: number): number => 20 + id * 7 % 5 * 4;

type Table = [string, Buffer, Partial<Section>];

interface Placed { readonly id: number; readonly address: number }

function tablesOf(machine: MachineName, functions: readonly Placed[], { addressOf }: Layout): Table[] {
  const wide = isWide(machine), index = Buffer.alloc(12 + functions.length * 8), frames = Buffer.alloc(16 + functions.length * 36 + 4);
  Buffer.from('011b033b', 'hex').copy(index);
  index.writeInt32LE(addressOf('frames') - addressOf('index') - 4, 4);
  index.writeUInt32LE(functions.length, 8);
  frames.writeUInt32LE(12, 0);
  const symbols = Buffer.alloc((functions.length + 1) * (wide ? 24 : 16)), names = Buffer.alloc(8 * (functions.length + 1) + 1), relocations = Buffer.alloc(functions.length * (wide ? 24 : 8)), unwind = Buffer.alloc(functions.length * 8);
  let at = 16;
  functions.forEach(({ id, address }, k) => {
    const symbol = (k + 1) * (wide ? 24 : 16);
    index.writeInt32LE(address - addressOf('index'), 12 + k * 8);
    index.writeInt32LE(addressOf('frames') + at - addressOf('index'), 16 + k * 8);
    frames.writeUInt32LE(frameBytes(id) - 4, at);
    frames.writeUInt32LE(at + 4, at + 4);
    frames.writeInt32LE(address - (addressOf('frames') + at + 8), at + 8);
    for (let word = 12; word < frameBytes(id); word += 4) frames.writeUInt32LE(Math.imul(id + word, 0x9e3779b1) >>> 0, at + word);
    at += frameBytes(id);
    symbols.writeUInt32LE(1 + 8 * k, symbol);
    symbols.writeUInt32LE(address, symbol + (wide ? 8 : 4));
    names.write(`name${id}`, 1 + 8 * k, 'latin1');
    relocations.writeUInt32LE(addressOf('data') + id * (wide ? 8 : 4), k * (wide ? 24 : 8));
    relocations.writeUInt32LE(wide ? k + 1 : (k + 1) << 8 | 2, k * (wide ? 24 : 8) + (wide ? 12 : 4));
    unwind.writeUInt32LE((address - (addressOf('unwind') + k * 8) & 0x7fffffff) >>> 0, k * 8);
    unwind.writeUInt32LE(1, k * 8 + 4);
  });
  const all: Table[] = [['index', index, {}], ['frames', frames, {}], ['symbols', symbols, { type: 11, entryBytes: wide ? 24 : 16, link: 5 }], ['names', names, { type: 3 }], ['relocations', relocations, { type: wide ? 4 : 9 }]];
  return NUMBER[machine] === 40 ? [...all, ['unwind', unwind, {}]] : all;
}

/** As Go 1.20 writes it, for 64 bits: header, list of functions, descriptions. */
function goTable(functions: readonly Placed[]): Buffer {
  const count = functions.length, list = 80, descriptions = list + count * 8 + 4 + 4 & ~3, entry = 48, bytes = Buffer.alloc(Math.max(5000, descriptions + count * entry + 64));
  GO_MAGIC.copy(bytes);
  [count, 1, functions[0]?.address ?? 0, 72, 76, 76, 76, list].forEach((value, k) => bytes.writeUInt32LE(value, 8 + k * 8));
  functions.forEach(({ id, address }, k) => {
    const at = descriptions + k * entry, offset = address - (functions[0]?.address ?? 0);
    bytes.writeUInt32LE(offset, list + k * 8);
    bytes.writeUInt32LE(at - list, list + k * 8 + 4);
    [offset, 7 * id + 1, 0, 0, 3 * id + 5, 3 * id + 9, 0, 1].forEach((value, n) => bytes.writeUInt32LE(value, at + n * 4));
    bytes.writeUInt32LE(11 * id, at + 44);
  });
  return bytes;
}

function write(machine: MachineName, sections: readonly Section[], end: number): Buffer {
  const wide = isWide(machine), file = Buffer.alloc(end + (sections.length + 1) * (wide ? 64 : 40));
  for (const { bytes, offset } of sections) bytes.copy(file, offset);
  const word = (at: number, value: number): void => { file.writeUInt32LE(value, at); };
  Buffer.from(wide ? '7f454c46020101' : '7f454c46010101', 'hex').copy(file);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(NUMBER[machine], 18);
  word(20, 1);
  word(wide ? 32 : 28, wide ? 64 : 52);
  word(wide ? 40 : 32, end);
  [wide ? 64 : 52, wide ? 56 : 32, PROGRAMS, wide ? 64 : 40, sections.length + 1].forEach((value, k) => file.writeUInt16LE(value, (wide ? 52 : 40) + k * 2));
  const find = (name: string): Section | undefined => sections.find((one) => one.name === name), data = find('data'), index = find('index'), unwind = find('unwind'), dynamic = find('dynamic');
  const dataAt = data?.offset ?? end;
  const programs = [[1, 5, 0, BASE, dataAt], [1, 6, dataAt, data?.address ?? 0, end - dataAt], [0x6474e550, 4, index?.offset ?? 0, index?.address ?? 0, index?.bytes.length ?? 0],
    [0x70000001, 4, unwind?.offset ?? 0, unwind?.address ?? 0, unwind?.bytes.length ?? 0], [2, 6, dynamic?.offset ?? 0, dynamic?.address ?? 0, dynamic?.bytes.length ?? 0]];
  programs.forEach(([type = 0, flags = 0, offset = 0, address = 0, bytes = 0], k) => {
    const at = wide ? 64 + k * 56 : 52 + k * 32;
    word(at, bytes === 0 ? 0 : type);
    word(at + (wide ? 4 : 24), flags);
    [offset, address, address, bytes, bytes].forEach((value, n) => word(at + (wide ? 8 + n * 8 : 4 + n * 4), value));
  });
  sections.forEach((section, k) => {
    const at = end + (k + 1) * (wide ? 64 : 40);
    word(at + 4, section.type);
    word(at + 8, section.code ? 6 : 2);
    [section.address, section.offset, section.bytes.length].forEach((value, n) => word(at + (wide ? 16 + n * 8 : 12 + n * 4), value));
    word(at + (wide ? 40 : 24), section.link ?? 0);
  });
  return file;
}
