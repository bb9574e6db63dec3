import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tarBytes, type TarItem } from '../archive/tar-write.ts';
import { viewOf } from '../delta/bytes.ts';
import { openVaquitaBase } from '../delta/vaquita/encode.ts';
import { kernel, pieces } from '../../test/kit/extract.ts';
import { seeded, temporary } from '../../test/kit/store.ts';
import { systemClock } from '../lib/clock.ts';
import { kindOf } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { digestOf, parseDiffId, type ChainId } from '../oci/digest.ts';
import { openStore, type LayerFiles } from './index.ts';

const temp = temporary();
const store = await openStore({ root: join(temp.path, 'root'), kernel, log: silentLog, clock: systemClock });
after(async () => { await store.close(); temp[Symbol.dispose](); });
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt', String(error)); assert.match(String(error), pattern); return true; };

type Item = TarItem & { content?: string | Uint8Array };
const random = seeded(5);
const noise = (bytes: number) => Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256)));
const file = (name: string, content: string | Uint8Array): Item => ({ name, type: 'file', mode: 0o644, content, mtimeNs: BigInt(1.6e18) });
const dir = (name: string): Item => ({ name, type: 'dir', mode: 0o755 });

/** Two layers, and a target that takes files whole, under other names, in part, twice, and has new ones with like content. */
const [kept, moved, changed, text] = [noise(30_000), noise(9000), noise(60_000), Array.from({ length: 3000 }, (_, n) => `line ${n * 7} of a text\n`).join('')];
const fresh = noise(20_000);
const edited = Buffer.concat([changed.subarray(0, 20_000), Buffer.from('edited'), changed.subarray(20_100)]);
const BASE = [tarBytes([dir('lib/'), file('lib/kept', kept), file('lib/moved', moved), file('lib/text', text)]), tarBytes([dir('bin/'), file('bin/changed', changed), file('bin/unused', noise(5000))])];
const TARGET = tarBytes([
  dir('lib/'), file('lib/kept', kept), dir('other/'), file('other/moved', moved), file('lib/text', text.replaceAll('77', 'seventy-seven')), dir('bin/'), file('bin/changed', edited),
  file('new', fresh), file('new again', fresh), file('new changed', Buffer.concat([fresh.subarray(0, 15_000), Buffer.from('x'), fresh.subarray(15_000)])), { name: 'link', type: 'symlink', mode: 0o777, linkName: 'new' },
  file('link2', ''), { name: 'hard', type: 'hardlink', mode: 0o644, linkName: 'new' },
]);

async function base(): Promise<LayerFiles[]> {
  const layers: LayerFiles[] = [];
  let parent: ChainId | undefined;
  for (const tar of BASE) {
    await using staged = await store.layers.stage({ diffId: undefined, parent, compression: 'none', source: pieces(tar) });
    parent = (await staged.commit()).chainId;
    layers.push(staged.files());
  }
  return layers;
}

function deltaTo(target: Buffer): Buffer {
  const parts: Buffer[] = [];
  const maker = openVaquitaBase(BASE.map((tar) => ({ diffId: digestOf(tar), tar: viewOf(tar) })), { memoryBytes: 64 << 20 });
  maker.make({ diffId: digestOf(target), tar: viewOf(target) }, (bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); });
  return Buffer.concat(parts);
}

test('a delta of our own is applied as it comes, reads only what it needs, and is held to the layer it is for', async () => {
  const [layers, delta] = [await base(), deltaTo(TARGET)];
  assert.ok(delta.length < TARGET.length / 3, `${delta.length} bytes`);
  const diffId = parseDiffId(digestOf(TARGET));
  const stage = (bytes: Uint8Array, of: LayerFiles[] = layers) =>
    store.layers.stage({ diffId, parent: 'later', compression: 'none', source: pieces(bytes, 997), delta: { format: 'vaquita', base: of } });
  {
    await using staged = await stage(delta, [{ ...layers[0], diffId: parseDiffId(digestOf('another')), diffPath: '/nowhere', tarSplitPath: '/nowhere' } as LayerFiles, ...layers.toReversed()]);
    const got: Uint8Array[] = [];
    for await (const chunk of staged.tar()) got.push(chunk);
    assert.ok(Buffer.concat(got).equals(TARGET));
  }
  await assert.rejects(stage(delta, layers.slice(1)), corrupted(/layer sha256:\w+, which is not here/));
  await assert.rejects(stage(delta.subarray(0, delta.length - 1)), corrupted(/cut short/));
  for (let at = 0; at < delta.length; at += Math.ceil(delta.length / 40)) {
    const spoilt = Buffer.from(delta);
    spoilt[at] = (spoilt[at] ?? 0) ^ 0x10;
    await assert.rejects(stage(spoilt), (error) => ['corrupt', 'invalid'].includes(kindOf(error)), `byte ${at}`);
  }
});

test('a damaged base is told by layer and file', async () => {
  const [layers, delta] = [await base(), deltaTo(TARGET)];
  const diffId = parseDiffId(digestOf(TARGET));
  const stage = () => store.layers.stage({ diffId, parent: 'later', compression: 'none', source: pieces(delta), delta: { format: 'vaquita', base: layers } });
  for (const [index, name] of [[0, 'lib/kept'], [0, 'lib/moved'], [0, 'lib/text'], [1, 'bin/changed']] as const) {
    const path = join(layers[index]?.diffPath ?? '', name);
    const good = readFileSync(path);
    const spoilt = Buffer.from(good);
    for (let at = 50; at < spoilt.length; at += 1000) spoilt[at] = (spoilt[at] ?? 0) ^ 1;
    writeFileSync(path, spoilt);
    await assert.rejects(stage(), corrupted(new RegExp(`${name}.*${layers[index]?.diffId ?? ''}|${layers[index]?.diffId ?? ''}.*${name}`)), name);
    writeFileSync(path, good.subarray(1));
    await assert.rejects(stage(), corrupted(new RegExp(`layer ${layers[index]?.diffId ?? ''} is damaged: ${name} has`)), name);
    renameSync(path, `${path}-away`);
    await assert.rejects(stage(), corrupted(new RegExp(`layer ${layers[index]?.diffId ?? ''} is damaged: ${name} is missing`)), name);
    renameSync(`${path}-away`, path);
    writeFileSync(path, good);
  }
  await using staged = await stage();
  assert.equal(staged.diffId, diffId);
});

test('what needs more memory than is allowed is refused before anything of the base is read', async () => {
  const delta = deltaTo(TARGET);
  const small = await openStore({ root: join(temp.path, 'small'), kernel, log: silentLog, clock: systemClock, deltaMemoryBytes: 1 << 20 });
  try {
    await assert.rejects(small.layers.stage({ diffId: parseDiffId(digestOf(TARGET)), parent: 'later', compression: 'none', source: pieces(delta), delta: { format: 'vaquita', base: [] } }), corrupted(/bytes of memory to apply/));
  } finally { await small.close(); }
});
