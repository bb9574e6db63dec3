// The make worker: a child of the daemon that makes the deltas of one job with synchronous calls, and ends.
//
// It runs with low priority (the kernel derives that of its disk accesses from it), so that what the machine is for stays quick. When the
// daemon is gone, the next line to it fails and ends the work.
import { readFileSync, writeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { openFiles } from '../kernel/index.ts';
import { systemClock } from '../lib/clock.ts';
import { errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import { openLayerView, openViewShare, type LayerFiles, type ViewShare } from '../store/index.ts';
import { openCodec, type MakeDelta } from './codecs.ts';
import { HeldView } from './held-view.ts';
import type { MadeDelta } from './index.ts';
import type { Answer, Job } from './protocol.ts';
import { ResultFile } from './result-file.ts';

const NICE = 10;
const STDIN = 0, STDOUT = 1;
/** Between two lines of progress; whoever shows them does not want more. */
const PROGRESS_MS = 100;

/** Reads its job from stdin, to the end, and answers in lines. */
export function runMakeWorker(): void {
  setPriority(process.pid, NICE);
  let answer: Answer;
  try {
    const made = makeAll(JSON.parse(readFileSync(STDIN, 'utf8')) as Job);
    answer = { done: { made, peakBytes: peakBytes() } };
  } catch (error) {
    answer = { failed: { kind: kindOf(error), code: errnoOf(error), message: messageOf(error) } };
  }
  tell(answer);
}

function makeAll({ format, base, targets, into, memoryBytes }: Job): MadeDelta[] {
  using share = openViewShare();
  using held = new DisposableStack();
  const layers = base.map((files) => ({ diffId: files.diffId, tar: new HeldView(held.use(openLayerView(files, { share })), files.diffId) }));
  const totalBytes = layers.reduce((sum, { tar }) => sum + tar.sizeBytes, 0);
  const fingerprint = paced((currentBytes) => tell({ fingerprint: [currentBytes, totalBytes] }), totalBytes);
  const make = openCodec(format, layers, { memoryBytes, onProgress: fingerprint.at });
  for (const { tar } of layers) tar.verify();
  fingerprint.end();
  return targets.map((files, index) => makeOne(make, { files, index, into, share }));
}

interface Target { files: LayerFiles; index: number; into: string; share: ViewShare }

function makeOne(make: MakeDelta, { files, index, into, share }: Target): MadeDelta {
  using view = openLayerView(files, { share });
  const tar = new HeldView(view, files.diffId);
  const targetBytes = tar.sizeBytes;
  const path = `${into}/${index}.delta`;
  using result = new ResultFile(path, openFiles());
  const progress = paced((currentBytes) => tell({ layer: [index, currentBytes, targetBytes] }), targetBytes);
  const sources = make({ diffId: files.diffId, tar }, result.output, progress.at);
  tar.verify();
  const { sizeBytes, digest } = result.finish();
  progress.end();
  return { diffId: files.diffId, path, sizeBytes, digest, targetBytes, sources };
}

/** Passes progress on now and then, and its end always and once. */
function paced(told: (currentBytes: number) => void, totalBytes: number): { at: (currentBytes: number) => void; end: () => void } {
  let last = systemClock.monotonicMs();
  return {
    at: (currentBytes) => {
      const now = systemClock.monotonicMs();
      if (now - last < PROGRESS_MS || currentBytes >= totalBytes) return;
      last = now;
      told(currentBytes);
    },
    end: () => told(totalBytes),
  };
}

/** Of this process alone: what getrusage tells counts what the daemon had when it started us. */
const peakBytes = (): number => Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? 0) * 1024;

/** stdout may be non-blocking: then the line is tried again until the reader has made room. */
function tell(what: Answer): void {
  const line = Buffer.from(`${JSON.stringify(what)}\n`, 'utf8');
  for (let at = 0; at < line.length;) {
    try { at += writeSync(STDOUT, line, at, line.length - at); } catch (error) { if (errnoOf(error) !== 'EAGAIN') throw error; }
  }
}
