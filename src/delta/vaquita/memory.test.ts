// Promises of memory: applying stays within what the header declares and 64 MB, for many entries and for the largest frames there are.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { brotliCompressSync, constants, crc32, zstdCompressSync } from 'node:zlib';
import { linkedTwice } from '../../../test/kit/executables.ts';
import { openTempRoot } from '../../../test/kit/temp.ts';
import { layer, layerOf, makeDelta, text, type Layer } from '../../../test/kit/vaquita.ts';
import { viewOf } from '../bytes.ts';
import { Check, FRAME, varint, writeFrame, writeHeader, type Limits } from './format.ts';
import { encodePicks } from './picks.ts';
import { indexTar } from './tar-entries.ts';

const ROOT = join(import.meta.dirname, '../../..');
const WORKER_FLAGS = ['--max-semi-space-size=1', '--single-threaded', '--optimize-for-size', '--expose-gc', '--no-warnings'];
const MIB = 1 << 20;

function applyAlone(folder: string, delta: Buffer, sources: readonly Layer[]): { declaredBytes: number; peakBytes: number; right: boolean } {
  const paths = sources.map(({ tar }, index) => {
    const path = join(folder, `source-${index}`);
    writeFileSync(path, tar);
    return path;
  });
  writeFileSync(join(folder, 'delta'), delta);
  const said = execFileSync(process.execPath, [...WORKER_FLAGS, join(ROOT, 'test/kit/apply-alone.ts'), join(folder, 'delta'), join(folder, 'made'), ...paths], { encoding: 'utf8' });
  return JSON.parse(said) as ReturnType<typeof applyAlone>;
}

test('a layer of 50,000 entries against one of 50,000', async (t) => {
  await using root = openTempRoot();
  const items = (mtimeNs: bigint) => layer(Array.from({ length: 50_000 }, (_none, n) => ({ name: `usr/lib/folder-${n % 300}/file-${n}`, content: n % 9 === 0 ? `${n}` : '', mtimeNs })));
  const base = items(1_600_000_000n * 1_000_000_000n), { delta } = makeDelta([base], items(1_700_000_000n * 1_000_000_000n));
  const { declaredBytes, peakBytes, right } = applyAlone(root.path, delta, [base]);
  t.diagnostic(`${delta.length} bytes of delta, ${peakBytes} of memory, ${declaredBytes} declared`);
  assert.ok(right);
  assert.ok(peakBytes <= declaredBytes && declaredBytes < 24 * MIB, `${peakBytes} of ${declaredBytes} bytes`);
  assert.ok(delta.length < 2500);
});

test('the largest frames, packed in both ways', async (t) => {
  await using root = openTempRoot();
  const words = text(1, MIB), content = Buffer.concat([words.subarray(7), words, words, words.subarray(0, MIB + 7 - 8)]).subarray(0, 4 * MIB), dictionary = Buffer.concat(Array.from({ length: 8 }, (_none, n) => words.subarray(n)));
  const base = layer([{ name: 'large', content: dictionary }]), packed = dictionary.subarray(0, 8 * MIB - 100), limits: Limits = { waiting: 12 * MIB, content: 4 * MIB, dictionary: 8 * MIB, headers: 2 * MIB, patches: 0 };
  const check = new Check();
  check.add(crc32(packed));
  const options: object = { dictionary: packed }, picks = encodePicks([{ entry: 0, from: 0, to: packed.length }]);
  const streams = [
    [0, brotliCompressSync(content, { ...options, params: { [constants.BROTLI_PARAM_QUALITY]: 2, [constants.BROTLI_PARAM_LGWIN]: 23 } })],
    [1, zstdCompressSync(content, { ...options, params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_windowLog]: 23 } })],
    [1, zstdCompressSync(content, { ...options, params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_windowLog]: 23, [constants.ZSTD_c_contentSizeFlag]: 0 } })],
  ] as const;
  const frames = [...streams, ...streams].map(([kind, stream]) => writeFrame(FRAME.content, varint(content.length), varint(picks.length), picks, check.bytes(), Buffer.from([kind]), stream));
  const made = Buffer.concat(frames.map(() => content)), target = layerOf(made);
  const header = writeHeader({
    features: 0, limits, target: { diffId: target.diffId, tarBytes: made.length, entries: 0 }, sources: [{ diffId: base.diffId, tarBytes: base.tar.length, entries: indexTar(viewOf(base.tar), 9).count }],
  });
  const { declaredBytes, peakBytes, right } = applyAlone(root.path, Buffer.concat([header, writeFrame(FRAME.opaque, varint(made.length)), ...frames, writeFrame(FRAME.end, varint(0))]), [base]);
  t.diagnostic(`${peakBytes} bytes of memory, ${declaredBytes} declared`);
  assert.ok(right);
  assert.ok(peakBytes <= declaredBytes && declaredBytes <= 64 * MIB, `${peakBytes} of ${declaredBytes} bytes`);
});

test('patches of executables', async (t) => {
  await using root = openTempRoot();
  const { old, made } = linkedTwice('x86-64', { seed: 5, functions: 4000 }), base = layer([{ name: 'program', content: old }]);
  const { delta } = makeDelta([base], layer([{ name: 'program', content: made }]));
  const { declaredBytes, peakBytes, right } = applyAlone(root.path, delta, [base]);
  t.diagnostic(`${old.length} bytes of program, ${delta.length} of delta, ${peakBytes} of memory, ${declaredBytes} declared`);
  assert.ok(right);
  assert.ok(peakBytes <= declaredBytes, `${peakBytes} of ${declaredBytes} bytes`);
});

test('patches of many executables take no more than that of the largest', async (t) => {
  await using root = openTempRoot();
  const programs = Array.from({ length: 30 }, (_none, n) => ({ name: `program-${n}`, ...linkedTwice('x86-64', { seed: n, functions: n === 0 ? 3000 : 1500 }) }));
  const base = layer(programs.map(({ name, old }) => ({ name, content: old })));
  const { delta } = makeDelta([base], layer(programs.map(({ name, made }) => ({ name, content: made }))));
  const { declaredBytes, peakBytes, right } = applyAlone(root.path, delta, [base]);
  t.diagnostic(`${base.tar.length} bytes of programs, ${delta.length} of delta, ${peakBytes} of memory, ${declaredBytes} declared`);
  assert.ok(right);
  assert.ok(peakBytes <= declaredBytes, `${peakBytes} of ${declaredBytes} bytes`);
});
