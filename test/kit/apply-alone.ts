// Applies a delta alone in a process, as a worker would, and says what memory that took: apply-alone.ts DELTA TARGET-OUT [SOURCE-TAR…]
import { createHash } from 'node:crypto';
import { fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import type { ByteView } from '../../src/delta/bytes.ts';
import { openVaquitaPatch } from '../../src/delta/vaquita/decode.ts';
import { readVaquitaHeader } from '../../src/delta/vaquita/format.ts';
import { stayLean } from '../../src/kernel/index.ts';
import { collectAsBytesPass } from '../../src/lib/collect.ts';

/** A file, read where it is asked for. */
function fileView(path: string): ByteView {
  const fd = openSync(path, 'r'), sizeBytes = fstatSync(fd).size;
  return {
    sizeBytes,
    read(position, into, { start, end }) {
      for (let at = start; at < end;) {
        const n = readSync(fd, into, at, end - at, position + at - start);
        if (n === 0) throw new Error(`${path} ended`);
        at += n;
      }
    },
  };
}

const anonymousBytes = () => Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? NaN) * 1024;

stayLean();
const [deltaPath = '', outPath = '', ...sourcePaths] = process.argv.slice(2);
const delta = fileView(deltaPath), input = Buffer.alloc(1 << 16), head = Buffer.alloc(Math.min(delta.sizeBytes, input.length));
delta.read(0, head, { start: 0, end: head.length });
const header = readVaquitaHeader(head), sources = new Map(header.sources.map(({ diffId }, index) => [diffId, fileView(sourcePaths[index] ?? '')]));
const fd = openSync(outPath, 'w+'), sha256 = createHash('sha256');
const passed = collectAsBytesPass(4 << 20);
let madeBytes = 0, peakBytes = 0, calls = 0;
const made: ByteView = { get sizeBytes() { return madeBytes; }, read: (position, into, { start, end }) => { readSync(fd, into, start, end - start, position); } };
globalThis.gc?.();
const idleBytes = anonymousBytes();
const look = () => { if (calls++ % 16 === 0) peakBytes = Math.max(peakBytes, anonymousBytes() - idleBytes); };
const decoder = openVaquitaPatch({
  source: (diffId) => sources.get(diffId), made, limits: { memoryBytes: 64 << 20 },
  output(bytes, start, end) {
    writeSync(fd, bytes, start, end - start);
    sha256.update(bytes.subarray(start, end));
    madeBytes += end - start;
    passed(end - start);
    look();
  },
});
for (let at = 0; at < delta.sizeBytes;) {
  const n = Math.min(input.length, delta.sizeBytes - at);
  delta.read(at, input, { start: 0, end: n });
  decoder.write(input, 0, n);
  at += n;
  look();
}
decoder.finish();
console.log(JSON.stringify({ declaredBytes: header.memoryBytes, peakBytes, right: `sha256:${sha256.digest('hex')}` === header.target.diffId }));
