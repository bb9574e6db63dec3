import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { tarBytes, type TarItem } from '../archive/tar-write.ts';
import { viewOf, type Output } from '../delta/bytes.ts';
import { indexBase } from '../delta/rsync/index.ts';
import { deltaLayerTar } from '../delta/rsync/layer.ts';
import { openVaquitaBase } from '../delta/vaquita/encode.ts';
import { kernel, pieces } from '../../test/kit/extract.ts';
import { temporary } from '../../test/kit/store.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { digestOf, parseDiffId } from '../oci/digest.ts';
import { openStore, type LayerDelta, type Store } from './index.ts';

const MIB = 1 << 20;
const MOST_BYTES = 64 * MIB;

type Item = TarItem & { content: string | Uint8Array };
const noise = (seed: string, bytes: number) => Buffer.concat(Array.from({ length: Math.ceil(bytes / 32) }, (_, n) => createHash('sha256').update(`${seed} ${n}`).digest())).subarray(0, bytes);
const file = (name: string, content: string | Uint8Array): Item => ({ name, type: 'file', mode: 0o644, content });

/** Many files, a sixth of them changed, and a large one with pieces put in. */
function versions(): { base: Buffer; target: Buffer } {
  const large = noise('large', 2 * MIB);
  const spread = Buffer.concat(Array.from({ length: 32 }, (_, n) => [large.subarray(n << 16, (n + 1) << 16), noise(`piece ${n}`, 2000)]).flat());
  const many = (version: string) => Array.from({ length: 4000 }, (_, n) => file(`usr/lib/modules/package-${n % 211}/file-${n}.js`, `module ${n} of ${n % 6 === 0 ? version : 'all'}\n`.repeat(n % 40)));
  return { base: tarBytes([...many('one'), file('large', large)]), target: tarBytes([...many('two'), file('large', spread)]) };
}

function collect(make: (output: Output) => unknown): Buffer {
  const parts: Buffer[] = [];
  make((bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); });
  return Buffer.concat(parts);
}

/** Private memory of the one worker there is. */
function anonymousBytes(): number {
  const isOurs = (pid: string) => { try { return readFileSync(`/proc/${pid}/status`, 'latin1').includes(`\nPPid:\t${process.pid}\n`) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('worker\0extract'); } catch { return false; } };
  worker ??= readdirSync('/proc').find((name) => /^\d+$/.test(name) && isOurs(name));
  assert.ok(worker);
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${worker}/status`, 'latin1'))?.[1] ?? NaN) * 1024;
}
let worker: string | undefined;

async function peakOf(store: Store, what: { bytes: Buffer; delta?: LayerDelta; target: Buffer }): Promise<number> {
  let peak = 0;
  const timer = setInterval(() => { peak = Math.max(peak, anonymousBytes()); }, 2);
  using _timer = { [Symbol.dispose]: () => clearInterval(timer) };
  await using staged = await store.layers.stage({ diffId: parseDiffId(digestOf(what.target)), parent: 'later', compression: 'none', source: pieces(what.bytes), delta: what.delta });
  assert.equal(staged.diffId, digestOf(what.target) as string);
  return Math.max(peak, anonymousBytes());
}

test('applying a delta takes little more memory than extracting does, whatever the layer\'s size', async (t) => {
  using root = temporary();
  const store = await openStore({ root: root.path, kernel, log: silentLog, clock: systemClock });
  try {
    const { base, target } = versions();
    const bare = collect((output) => indexBase(viewOf(base), { memoryBytes: 64 * MIB }).diff(viewOf(target), output));
    const { header, trailer } = deltaLayerTar(bare.length);
    const own = collect((output) => openVaquitaBase([{ diffId: digestOf(base), tar: viewOf(base) }], { memoryBytes: 128 * MIB }).make({ diffId: digestOf(target), tar: viewOf(target) }, output));
    await using staged = await store.layers.stage({ diffId: undefined, parent: undefined, compression: 'none', source: pieces(base) });
    await staged.commit();
    const idle = anonymousBytes();
    for (const [format, bytes] of [['rsync', gzipSync(Buffer.concat([header, bare, trailer]), { level: 1 })], ['vaquita', own]] as const) {
      const more = await peakOf(store, { bytes, target, delta: { format, base: [staged.files()] } }) - idle;
      t.diagnostic(`${format}: ${bytes.length} bytes for ${target.length}, ${(more / MIB).toFixed(1)} MB more than idle`);
      assert.ok(more < MOST_BYTES, `${format}: ${more} bytes`);
    }
  } finally { await store.close(); }
});
