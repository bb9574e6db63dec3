// The busy application beside a pull: reads a mapped file again and again in no order, and says after each pass how it went.
import { closeSync, openSync, readSync } from 'node:fs';
import { diceOf } from '../test/crash/cutstates.ts';
import { mapFile, PAGE_BYTES } from '../test/crash/native.ts';
import { pause } from '../test/crash/system.ts';

const REST_MS = 20;
/** One read per cache line: a pass is work of some 50 ms, not only a walk of the page table. */
const STRIDE_BYTES = 64;

const path = process.argv[2] ?? '';
const file = mapFile(path);
const pages = Math.ceil(file.bytes.length / PAGE_BYTES);
const order = shuffled(pages);
readInOrder(path);
await passes();

/** Quicker than by 50,000 faults, and through a buffer that is no burden afterwards. */
function readInOrder(path: string): void {
  const fd = openSync(path, 'r');
  const buffer = Buffer.alloc(1 << 20);
  while (readSync(fd, buffer) > 0);
  closeSync(fd);
}

async function passes(): Promise<never> {
  for (let sum = 0; ;) {
    const resident = file.residentPages() / pages;
    const start = performance.now();
    for (const page of order) {
      const end = Math.min((page + 1) * PAGE_BYTES, file.bytes.length);
      for (let at = page * PAGE_BYTES; at < end; at += STRIDE_BYTES) sum += file.bytes[at] ?? 0;
    }
    // The sum is printed so that nobody may leave the reading out.
    process.stdout.write(`${JSON.stringify({ at: Date.now(), resident, seconds: (performance.now() - start) / 1000, sum })}\n`);
    await pause(REST_MS);
  }
}

function shuffled(count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_none, n) => n);
  const dice = diceOf(1);
  for (let n = count - 1; n > 0; n--) {
    const other = Math.floor(dice() * (n + 1));
    [order[n], order[other]] = [order[other] ?? 0, order[n] ?? 0];
  }
  return order;
}
