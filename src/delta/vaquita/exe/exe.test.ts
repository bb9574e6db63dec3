// Executables as patches: what moved costs nearly nothing on every machine, any pair comes back exactly, and any bytes get an answer.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { linkedTwice, MACHINES, ofUnknownMachine, withoutTables } from '../../../../test/kit/executables.ts';
import { rng } from '../../../../test/kit/random.ts';
import { kindOf } from '../../../lib/errors.ts';
import type { ByteView } from '../../bytes.ts';
import { Arena } from './arena.ts';
import { decodeExe } from './decode.ts';
import { readElf } from './elf.ts';
import { ExeModels } from './models.ts';
import { encodeExe, EXE_DECODER_BYTES, planExe, readLiterals, type ExePlan } from './plan.ts';

const MEMORY_BYTES = 128 << 20;

/** Bytes that must not be read past their end: a decoder that tries has a bug, whatever it decodes. */
function strictView(bytes: Buffer): ByteView {
  return {
    sizeBytes: bytes.length,
    read(position, into, { start, end }) {
      if (position < 0 || end < start || position + (end - start) > bytes.length || end > into.length) throw new Error(`read of ${end - start} at ${position} of ${bytes.length} bytes`);
      bytes.copy(into, start, position, position + (end - start));
    },
  };
}

interface Made { patch: Uint8Array; literals: Buffer; plan: ExePlan }

function make(old: Buffer, made: Buffer, { models = new ExeModels(), memoryBytes = MEMORY_BYTES } = {}): Made {
  const pair = { old: strictView(old), made: strictView(made) }, plan = planExe(pair, { memoryBytes });
  assert.ok(plan !== undefined);
  const literals = readLiterals(plan, pair.made);
  assert.equal(literals.length, plan.literalBytes);
  return { patch: encodeExe(models, plan, pair), literals, plan };
}

interface Applying { old: Buffer; patch: Uint8Array; literals: Buffer; newBytes: number; models?: ExeModels; memoryBytes?: number; arena?: Arena }

function apply({ old, patch, literals, newBytes, models = new ExeModels(), memoryBytes = EXE_DECODER_BYTES, arena = new Arena(memoryBytes) }: Applying): Buffer {
  const out: Buffer[] = [];
  let bytes = 0, taken = 0;
  const put = (part: Buffer): void => {
    assert.ok((bytes += part.length) <= newBytes, 'more than was asked for');
    out.push(part);
  };
  decodeExe(models, patch, {
    old: strictView(old), newBytes, memoryBytes, arena,
    literals(count) { put(Buffer.concat([literals.subarray(taken, taken += count), Buffer.alloc(Math.max(0, taken - Math.max(taken - count, literals.length)))])); },
    emit: (part, start, end) => put(Buffer.from(part.subarray(start, end))),
  });
  assert.equal(bytes, newBytes);
  return Buffer.concat(out);
}

/** Makes the patch, applies it, and returns what it costs. */
function costOf(old: Buffer, made: Buffer, memoryBytes = MEMORY_BYTES): number {
  const { patch, literals } = make(old, made, { memoryBytes });
  assert.ok(apply({ old, patch, literals, newBytes: made.length }).equals(made));
  return patch.length + literals.length;
}

for (const machine of MACHINES) {
  test(`${machine}: addresses are found and cost next to nothing when they moved`, () => {
    const plain = linkedTwice(machine, { seed: 1, functions: 120 }), cost = costOf(plain.old, plain.made);
    const unknown = costOf(ofUnknownMachine(plain.old), ofUnknownMachine(plain.made));
    assert.ok(cost * 4 < unknown, `${cost} bytes, ${unknown} for a machine that is not known`);
    const full = linkedTwice(machine, { seed: 2, functions: 120, tables: true, go: machine === 'x86-64' || machine === 'arm64' }), costFull = costOf(full.old, full.made);
    const without = costOf(withoutTables(full.old), withoutTables(full.made));
    assert.ok(costFull * 1.3 < without, `${costFull} bytes, ${without} without tables`);
  });
}

test('executables of this machine come back exactly, alone and one after another', () => {
  const folder = readdirSync('/usr/lib').map((name) => join('/usr/lib', name, 'gconv')).find((path) => existsSync(join(path, 'ISO8859-1.so')));
  assert.ok(folder !== undefined, 'glibc has modules for character sets');
  const read = (path: string) => readFileSync(path);
  const module = (name: string) => read(join(folder, `${name}.so`));
  const busybox = read('/bin/busybox').subarray(0, 400_000);
  const pairs: [Buffer, Buffer][] = [
    [module('ISO8859-2'), module('ISO8859-3')], [module('EUC-KR'), module('EUC-CN')], [module('BIG5'), module('BIG5HKSCS')], [read('/sbin/tc').subarray(0, 200_000), read('/sbin/ip').subarray(0, 150_000)],
    [read('/sbin/e2fsck'), read('/sbin/tune2fs')], [busybox, Buffer.concat([busybox.subarray(0, 90_001), busybox.subarray(90_007)])], [read(process.execPath).subarray(0, 300_000), busybox],
  ];
  const sending = new ExeModels(), receiving = new ExeModels(), arena = new Arena(EXE_DECODER_BYTES);
  for (const [old, made] of pairs) {
    const { patch, literals } = make(old, made, { models: sending });
    assert.ok(apply({ old, patch, literals, newBytes: made.length, models: receiving, arena }).equals(made));
  }
  const { patch, literals } = make(module('ISO8859-2'), module('ISO8859-3'));
  assert.ok(patch.length + literals.length < module('ISO8859-3').length / 4, `${patch.length} and ${literals.length} bytes`);
});

test('files that are no executables, or only one of the two, are patched as bytes', () => {
  const random = rng(5), noise = Buffer.from(Array.from({ length: 9000 }, () => Math.floor(random() * 256)));
  const changed = Buffer.from(noise);
  for (let k = 100; k < changed.length; k += 500) changed[k] = 0;
  assert.ok(costOf(noise, changed) < 200);
  const { old, made } = linkedTwice('i386', { seed: 3, functions: 40 });
  costOf(noise, made);
  costOf(old, noise);
  costOf(old, linkedTwice('x86-64', { seed: 3, functions: 40 }).made);
});

test('large files are aligned in pieces, which costs little; too small ones are left alone', () => {
  const { old, made } = linkedTwice('arm64', { seed: 4, functions: 2500, tables: true });
  assert.ok(made.length > 700_000);
  const whole = costOf(old, made), pieces = costOf(old, made, 4 << 20);
  assert.ok(pieces < whole * 2 + 2000, `${pieces} bytes in pieces, ${whole} as a whole`);
  assert.equal(planExe({ old: strictView(old), made: strictView(made.subarray(0, 2000)) }, { memoryBytes: MEMORY_BYTES }), undefined);
});

test('a plan is one that the decoder can hold, and the decoder holds to its limit', () => {
  const { old, made } = linkedTwice('thumb', { seed: 6, functions: 300, tables: true });
  const pair = { old: strictView(old), made: strictView(made) }, limits = { memoryBytes: MEMORY_BYTES };
  const { patch, literals } = make(old, made);
  const applying = { old, patch, literals, newBytes: made.length };
  assert.throws(() => apply({ ...applying, memoryBytes: 7 << 20 }), (error) => kindOf(error) === 'corrupt' && /memory/.test(String(error)));
  assert.equal(planExe(pair, { ...limits, decoderBytes: 7 << 20 }), undefined);
  const least = [8 << 20, 9 << 20, 10 << 20].find((decoderBytes) => planExe(pair, { ...limits, decoderBytes }) !== undefined);
  assert.ok(least !== undefined, 'some megabytes are enough');
});

test('the same pair gives the same patch', () => {
  const { old, made } = linkedTwice('arm', { seed: 7, functions: 80, tables: true });
  assert.deepEqual(make(old, made).patch, make(old, made).patch);
});

const FIRST_SEED = Number(process.env['FUZZ_SEED'] ?? 1), RUNS = Number(process.env['FUZZ_RUNS'] ?? (process.env['FUZZ_SEED'] === undefined ? 220 : 1));

/** An outcome that is allowed: exactly the bytes that were asked for, or a word on what is wrong. */
function settled(seed: number, run: () => void): void {
  try { run(); } catch (error) {
    if (kindOf(error) !== 'corrupt') throw new Error(`FUZZ_SEED=${seed}`, { cause: error });
  }
}

test('any patch gets an answer, and so does any old file', () => {
  const cases = MACHINES.map((machine) => {
    const { old, made } = linkedTwice(machine, { seed: 8, functions: 24, tables: true, go: machine === 'x86-64' });
    return { old, newBytes: made.length, ...make(old, made) };
  });
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const random = rng(seed), below = (n: number) => Math.floor(random() * n), whole = cases[below(cases.length)];
    assert.ok(whole !== undefined);
    const { literals } = whole;
    let { old, patch, newBytes } = whole;
    switch (below(5)) {
      case 0: patch = patch.slice(0, below(patch.length)); break;
      case 1: patch = Uint8Array.from(patch); for (let n = 1 + below(3); n > 0; n--) patch[below(patch.length)] = below(256); break;
      case 2: patch = Uint8Array.from({ length: below(400) }, () => below(256)); break;
      case 3: old = Buffer.from(old); for (let n = 1 + below(8); n > 0; n--) old[below(random() < 0.6 ? 300 : old.length)] = below(256); break;
      default: newBytes = below(newBytes * 2); old = old.subarray(0, below(old.length));
    }
    settled(seed, () => apply({ old, patch, literals, newBytes }));
  }
});

test('any file is an image or none, and both are planned for', () => {
  const { old, made } = linkedTwice('x86-64', { seed: 9, functions: 30, tables: true, go: true }), wide = readElf(strictView(old));
  assert.ok(wide?.frames !== undefined && wide.go !== undefined && wide.symbols !== undefined && wide.relocations.length === 1);
  const sections = Number(old.readBigUInt64LE(40));
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const random = rng(seed), below = (n: number) => Math.floor(random() * n), spoiled = Buffer.from(old);
    for (let n = 1 + below(6); n > 0; n--) {
      const at = random() < 0.5 ? below(288) : sections + below(old.length - sections);
      if (random() < 0.5) spoiled[at] = below(256);
      else spoiled.writeUInt32LE(below(2 ** 32), at & ~3);
    }
    settled(seed, () => readElf(strictView(spoiled)));
    if (seed % 20 === 0) costOf(spoiled, made);
  }
});

const CORPUS = join(import.meta.dirname, '../../../../test/corpus/vaquita-exe');
/** What the patches of the corpus make; they pin the format: a decoder that makes anything else of them cannot be released. */
const VECTORS: Readonly<Record<string, { newBytes: number; sha256: string }>> = {
  'x86-64': { newBytes: 11504, sha256: '3ef234df3646c16ebdda2a49727ddc3b4c96190f3bcb59a51d9df80c5cd185e7' },
  i386: { newBytes: 7672, sha256: '42d1d1c94e75efdef3cc6b5f75ca0e59db6b69bed7fd17cbf54a68254a2b3ed9' },
  arm64: { newBytes: 6432, sha256: '2829480cbe6862913d1ad5c845cf7aa10e6a17abce997187c42ebfc1be0e5794' },
  arm: { newBytes: 6712, sha256: '9a6c13bde336e9360d7cf88f49fa23ff0f6a81e2a5a50648ec7e349a27aac3ff' },
  thumb: { newBytes: 6168, sha256: '3ea240b4d586ab771a8fb5d693afe96b6220d67ad687c90d84dde070e07fe4b4' },
};

test('patches of the corpus make what they made when the format was fixed', () => {
  const models = new ExeModels();
  for (const [name, { newBytes, sha256 }] of Object.entries(VECTORS)) {
    const file = (kind: string) => readFileSync(join(CORPUS, `${name}.${kind}`));
    const made = apply({ old: file('old'), patch: file('patch'), literals: file('literals'), newBytes, models });
    assert.equal(createHash('sha256').update(made).digest('hex'), sha256, name);
  }
});
