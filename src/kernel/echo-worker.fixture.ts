// A worker for the tests of workers: argv is "worker ROLE"; each role behaves in one way.
import { readSync, writeSync } from 'node:fs';

const ROLES: Record<string, () => void> = {
  /** Answers every chunk with its size, then says goodbye. */
  count() {
    const buffer = new Uint8Array(65536);
    let total = 0;
    for (let got = readSync(0, buffer); got > 0; got = readSync(0, buffer)) total += got;
    writeSync(1, `${total}\nbye`);
  },
  fail() { writeSync(2, `${'x'.repeat(10_000)}the end`); process.exitCode = 3; },
  /** Keeps some 100 MB of what is no buffer. */
  heap() {
    const kept = Array.from({ length: 12 }, (_, n) => Array.from(new Float64Array(1_000_000).fill(n + 0.5)));
    writeSync(1, String(kept.length));
  },
  hang() { writeSync(1, 'ready\n'); readSync(0, new Uint8Array(1)); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); },
};

const [, , word, role] = process.argv;
const act = word === 'worker' ? ROLES[role ?? ''] : undefined;
if (!act) throw new Error(`no role ${role}`);
act();
