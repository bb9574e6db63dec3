// The daemon's memory on a small device: garbage of a transfer is collected as it arises, and what a burst left goes back when it is over.
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { collector } from '../lib/collect.ts';

const LOOK_MS = 5_000;
/** Less CPU time than this within LOOK_MS is idleness: a health probe or two. */
const IDLE_CPU_MICROS = 20_000;

/** Chunks from sockets live outside V8's heap, so that V8 sees little reason to collect them: 18 MB lay around in a pull. */
export const COLLECT_EVERY_BYTES = 512 << 10;

/**
 * One trim per idle period. Measured: a collection of last resort and malloc_trim take 18-40 ms once and bring 26 MB back to 10.
 * Needs --expose-gc for the collection; without it only the C library's memory is given back.
 */
export function keepTrim({ kernel, clock }: { kernel: Kernel; clock: Clock }): Disposable {
  let before = process.cpuUsage();
  let trimmed = false;
  let timer: Disposable;
  const look = () => {
    const used = process.cpuUsage(before);
    if (used.user + used.system > IDLE_CPU_MICROS) trimmed = false;
    else if (!trimmed) {
      trim(kernel);
      trimmed = true;
    }
    before = process.cpuUsage();
    timer = clock.after(LOOK_MS, look);
  };
  timer = clock.after(LOOK_MS, look);
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

function trim(kernel: Kernel): void {
  collector()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  kernel.processes.trimMemory();
}
