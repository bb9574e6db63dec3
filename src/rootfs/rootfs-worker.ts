// The rootfs worker: a child of the daemon that enters what one container sees, does one thing there with synchronous calls, and ends.
import { readSync, writeSync } from 'node:fs';
import { byteStringOf, pathOf, textOf } from '../archive/byte-string.ts';
import { bunzip2, isBzip2 } from '../archive/bunzip2.ts';
import { openUnpacker, type Output } from '../archive/compress.ts';
import { absolutePath, baseName, evaluatedPath } from '../archive/copy-paths.ts';
import { packTree, type Node, type SourceTree } from '../archive/pack.ts';
import { TarReader } from '../archive/tar-read.ts';
import { isXz, unxz } from '../archive/unxz.ts';
import { fileErrorWords, Unpacker } from '../archive/unpack.ts';
import { openConfined, openFiles, openMounts, openSourceTree, openTargetTree, type Confined, type Files } from '../kernel/index.ts';
import { EngineError, errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import { containerId, hostId, hostRoot, type IdMap } from '../lib/ids.ts';
import { changesJson, changesOf } from './changes.ts';
import type { View } from './index.ts';
import { goMode, isWithin } from './paths.ts';
import { CORRUPT_EXIT, MAX_LINE_BYTES, type Answer, type Job, type StatLine, type ViewJob } from './protocol.ts';
import { ownerOf } from './users.ts';
import { enterContainer, enterLayers, enterOverlay, type ViewNeeds } from './view.ts';

const INPUT_BYTES = 128 * 1024;
const UNPACKED_BYTES = 256 * 1024;
const MAX_ACCOUNTS_BYTES = 1 << 20;
/** What an owner is told to be that is nobody inside of the container. Source: the kernel's overflowuid. */
const NOBODY = 65534;

/** Does what its stdin says; the exit code is the result. */
export function runRootFsWorker(): number {
  process.umask(0); // modes are the archive's
  const input = new Input();
  const job = JSON.parse(input.line()) as Job;
  if (job.what === 'unpack') return unpackAll(input);
  const worker = new Worker(job, input);
  try {
    for (const piece of worker.run()) writeOut(typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece);
    return 0;
  } catch (error) {
    if (worker.answered) throw error;
    answer({ failed: { kind: kindOf(error), message: fileErrorWords(error) } });
    return 1;
  }
}

class Worker {
  answered = false;
  readonly #job: ViewJob;
  readonly #input: Input;
  readonly #files: Files = openFiles();
  readonly #confined: Confined = openConfined();
  readonly #tree: SourceTree;
  readonly #needs: ViewNeeds;

  constructor(job: ViewJob, input: Input) {
    this.#job = job;
    this.#input = input;
    this.#tree = openSourceTree({ confined: this.#confined });
    this.#needs = { confined: this.#confined, mounts: openMounts(), files: this.#files };
  }

  /** Everything behind the answer. */
  *run(): Generator<Uint8Array | string> {
    const { what, view } = this.#job;
    const owner = ownerInside(this.#job.idMap);
    switch (what) {
      case 'stat': case 'read': {
        enterContainer(this.#needs, view, 'reading');
        const path = absolutePath(byteStringOf(this.#job.path ?? ''));
        this.#answer(this.#stat(path));
        const base = baseName(path);
        if (what === 'read') yield* packTree(this.#tree, path, { as: base === '/' ? '' : base, owner });
        return;
      }
      case 'write': this.#write(); return this.#answer(null);
      case 'export':
        enterOverlay(this.#needs, view);
        this.#answer(null);
        yield* packTree(this.#tree, '/', { as: undefined, owner });
        return;
      case 'layer':
        enterLayers(this.#needs, view);
        this.#answer(null);
        // A layer that lacks a file would be taken for whole.
        yield* packTree(this.#tree, '/upper', { as: undefined, owner, overlay: true, onSkipped: (_path, error) => { throw error; } });
        return;
      case 'changes':
        enterLayers(this.#needs, view);
        this.#answer(null);
        yield* changesJson(changesOf(this.#tree, { upper: '/upper', lower: '/lower' }));
        return;
      default: what satisfies never;
    }
  }

  #answer(done: StatLine | null): void {
    answer({ done });
    this.answered = true;
  }

  #stat(path: string): StatLine {
    const node = found(path, () => this.#tree.stat(path));
    return {
      name: textOf(baseName(path)), sizeBytes: node.sizeBytes, mode: goMode(node.mode), mtimeNs: String(node.mtimeNs),
      linkTarget: node.type === 'symlink' ? textOf(this.#evaluated(path)) : '',
    };
  }

  #evaluated(path: string): string {
    return evaluatedPath(path, (at) => {
      try { return this.#tree.stat(at).type === 'symlink' ? this.#tree.readLink(at) : undefined; } catch (error) {
        if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
        throw error;
      }
    });
  }

  #write(): void {
    const { view, write = { keepKinds: false, user: '' }, idMap } = this.#job;
    const inMemory = enterContainer(this.#needs, view, 'writing');
    const destination = this.#evaluated(absolutePath(byteStringOf(this.#job.path ?? '')));
    const { type } = found(destination, () => this.#tree.stat(destination));
    if (type !== 'dir') throw new EngineError('invalid', 'extraction point is not a directory');
    assertWritable(view, destination, inMemory);
    const own = write.user === '' ? undefined : ownerOf(write.user, (path) => this.#text(path));
    process.chdir(pathText(destination)); // whatever takes its place, this stays the one that was looked at
    const target = openTargetTree({ base: '.', chown: true, root: hostRoot(idMap) });
    const unpacker = new Unpacker(target, {
      destination, keepKinds: write.keepKinds,
      owner: ({ uid, gid }) => ({ uid: hostId(idMap?.uids, own?.uid ?? uid), gid: hostId(idMap?.gids, own?.gid ?? gid) }),
    });
    try { this.#unpack(unpacker); } catch (error) {
      unpacker.abandon();
      // As Docker says it, whatever was wrong: archive, disk or container.
      throw new EngineError('system', `Error processing tar file(exit status 1): ${archiveWords(error, destination)}`, { cause: error });
    }
  }

  #unpack(unpacker: Unpacker): void {
    const reader = new TarReader(unpacker);
    unpackTo(this.#input, (bytes, start, end) => reader.write(bytes, start, end));
    reader.finish();
    unpacker.finish();
  }

  #text(path: string): string {
    try {
      const { type, sizeBytes } = this.#tree.stat(this.#evaluated(path));
      if (type !== 'file' || sizeBytes > MAX_ACCOUNTS_BYTES) return '';
      return Buffer.concat([...this.#tree.read(this.#evaluated(path), sizeBytes)].map((piece) => Buffer.from(piece))).toString('utf8');
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return '';
    }
  }
}

/** stdin to stdout. Whoever reads knows by the exit code whether that was all. */
function unpackAll(input: Input): number {
  answer({ done: null });
  try {
    unpackTo(input, (bytes, start, end) => writeOut(bytes.subarray(start, end)));
    return 0;
  } catch (error) {
    if (kindOf(error) !== 'corrupt') throw error;
    writeSync(2, messageOf(error));
    return CORRUPT_EXIT;
  }
}

/** Whatever it is packed with. */
function unpackTo(input: Input, output: Output): void {
  const { head, pieces } = peeked(input.rest());
  // Both are read byte by byte; what is left has a codec of its own.
  const slow = isBzip2(head) ? bunzip2(pieces) : isXz(head) ? unxz(pieces) : undefined;
  if (slow) {
    for (const bytes of slow) output(bytes, 0, bytes.length);
    return;
  }
  const codec = openUnpacker(Buffer.allocUnsafeSlow(UNPACKED_BYTES), output);
  try {
    for (const bytes of pieces) codec.write(bytes, 0, bytes.length);
    codec.finish();
  } finally { codec.close(); }
}

/** A volume may be read-only, or the rest; memory is always the container's own. */
function assertWritable(view: View, path: string, inMemory: readonly string[]): void {
  if (inMemory.some((place) => isWithin(path, place))) return;
  const volume = view.mounts.findLast((mount) => mount.asked && isWithin(path, mount.destination));
  if (volume !== undefined && !volume.writable) throw new EngineError('forbidden', 'mounted volume is marked read-only');
  if (volume === undefined && view.readOnlyRoot) throw new EngineError('forbidden', 'container rootfs is marked read-only');
}

/** Numbers as the container has them. */
function ownerInside(idMap: IdMap | undefined): (node: Node) => { uid: number; gid: number } {
  const inside = (ranges: IdMap['uids'] | undefined, id: number) => { try { return containerId(ranges, id); } catch { return NOBODY; } };
  return ({ uid, gid }) => ({ uid: inside(idMap?.uids, uid), gid: inside(idMap?.gids, gid) });
}

/** What is not there is not-found; every other failure keeps the words of its call. */
function found<T>(path: string, look: () => T): T {
  try { return look(); } catch (error) {
    const words = fileErrorWords(error, textOf(path));
    throw new EngineError(errnoOf(error) === 'ENOENT' ? 'not-found' : 'system', words, { cause: error });
  }
}

function archiveWords(error: unknown, destination: string): string {
  const message = messageOf(error);
  if (kindOf(error) === 'corrupt') {
    if (/cut short|unexpected end/.test(message)) return 'unexpected EOF';
    if (/wrong checksum|is no number/.test(message)) return 'archive/tar: invalid tar header';
  }
  const { path } = (error instanceof Error ? error : {}) as { path?: unknown };
  return fileErrorWords(error, typeof path === 'string' ? textOf(absolutePath(`${destination}/${path}`)) : undefined);
}

function pathText(path: string): string {
  const text = pathOf(path);
  if (typeof text !== 'string') throw new EngineError('invalid', 'a destination whose name is no UTF-8 cannot be copied to');
  return text;
}

/** The daemon's words, then its bytes. */
class Input {
  readonly #buffer = Buffer.allocUnsafeSlow(INPUT_BYTES);
  #held = Buffer.alloc(0);

  line(): string {
    for (;;) {
      const at = this.#held.indexOf(0x0a);
      if (at >= 0) {
        const line = this.#held.toString('utf8', 0, at);
        this.#held = this.#held.subarray(at + 1);
        return line;
      }
      const n = readSync(0, this.#buffer, 0, INPUT_BYTES, null);
      if (n === 0 || this.#held.length > MAX_LINE_BYTES) throw new Error('no job was given');
      this.#held = Buffer.concat([this.#held, this.#buffer.subarray(0, n)]);
    }
  }

  /** A piece is valid until the next one. */
  *rest(): Generator<Buffer> {
    if (this.#held.length > 0) yield this.#held;
    for (let n; (n = readSync(0, this.#buffer, 0, INPUT_BYTES, null)) > 0;) yield this.#buffer.subarray(0, n);
  }
}

/** Longest magic number looked for. */
const MAGIC_BYTES = 6;

/** The first bytes, and all of them: a piece is valid until the next one. */
function peeked(source: Generator<Buffer>): { head: Buffer; pieces: Generator<Buffer> } {
  let head = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const next = source.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  return { head, pieces: (function* () { if (head.length > 0) yield head; yield* source; })() };
}

const answer = (what: Answer): void => writeOut(Buffer.from(`${JSON.stringify(what)}\n`, 'utf8'));

/** stdout may be non-blocking: then it is tried again until the reader has made room. */
function writeOut(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    try { at += writeSync(1, bytes, at, bytes.length - at); } catch (error) { if (errnoOf(error) !== 'EAGAIN') throw error; }
  }
}
