// A disk that does everything for real and remembers every step, so that each state which a power cut could leave can be made.
//
// The model is harsher than a journal: names of one directory reach the disk in order, but directories wait for nobody, and the bytes of a
// file may be missing, there by half, or whole until it is synced.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Disk } from '../../src/store/disk.ts';

interface Inode { kind: 'file' | 'directory' | 'symlink'; mode: number; target: string }
interface Change { directory: Inode; name: string; to: Inode | undefined; from?: { directory: Inode; name: string } }
type Op =
  | { do: 'name'; change: Change }
  | { do: 'bytes'; inode: Inode; data: Buffer }
  | { do: 'sync-bytes'; inode: Inode }
  | { do: 'sync-names'; directory: Inode }
  | { do: 'sync-all' };

type Names = Map<Inode, Map<string, Inode>>;

export interface CrashState {
  /** How many of `disk.ops` had been done. */
  after: number;
  /** Writes the state into an empty directory. */
  materialize(into: string): void;
}

export class RecordingDisk implements Disk {
  readonly ops: Op[] = [];
  readonly #real: Disk;
  readonly #base: string;
  readonly #top: Inode = { kind: 'directory', mode: 0o755, target: '' };
  /** How things stand now, as if nothing could be lost. */
  readonly #now: Names = new Map([[this.#top, new Map()]]);
  #failIn = 0;

  /** Only what happens below `base`, an existing empty directory, is recorded. */
  constructor(base: string, real: Disk) { this.#base = base; this.#real = real; }

  read(path: string, limitBytes: number) { return this.#real.read(path, limitBytes); }
  list(path: string) { return this.#real.list(path); }
  kind(path: string) { return this.#real.kind(path); }
  readLink(path: string) { return this.#real.readLink(path); }
  modifiedMs(path: string) { return this.#real.modifiedMs(path); }

  async write(path: string, data: Uint8Array | string, mode: number): Promise<void> {
    this.#step('write', path);
    await this.#real.write(path, data, mode);
    const existing = this.#find(path);
    const inode: Inode = existing ?? { kind: 'file', mode, target: '' };
    if (!existing) this.#link(path, inode);
    this.ops.push({ do: 'bytes', inode, data: Buffer.from(data) });
  }

  async sync(path: string): Promise<void> {
    this.#step('sync', path);
    await this.#real.sync(path);
    this.ops.push({ do: 'sync-bytes', inode: this.#get(path) });
  }

  async writeOut(path: string): Promise<void> {
    this.#step('writeOut', path);
    await this.#real.writeOut(path);
    this.ops.push({ do: 'sync-bytes', inode: this.#get(path) });
  }

  async syncDir(path: string): Promise<void> {
    this.#step('syncDir', path);
    await this.#real.syncDir(path);
    this.ops.push({ do: 'sync-names', directory: this.#get(path) });
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step('rename', from);
    await this.#real.rename(from, to);
    const inode = this.#get(from);
    const source = { directory: this.#get(dirname(from)), name: basename(from) };
    this.#change({ directory: this.#get(dirname(to)), name: basename(to), to: inode, from: source });
  }

  async mkdir(path: string, mode: number): Promise<void> {
    this.#step('mkdir', path);
    await this.#real.mkdir(path, mode);
    if (!this.#find(path)) this.#link(path, { kind: 'directory', mode, target: '' });
  }

  async symlink(target: string, path: string): Promise<void> {
    this.#step('symlink', path);
    await this.#real.symlink(target, path);
    this.#link(path, { kind: 'symlink', mode: 0o777, target });
  }

  /** Owners are not part of the model: nothing of ours is found again by them. */
  async chown(path: string, owner: { uid: number; gid: number }): Promise<void> {
    this.#step('chown', path);
    await this.#real.chown(path, owner);
  }

  async remove(path: string): Promise<void> {
    this.#step('remove', path);
    await this.#real.remove(path);
    const inode = this.#find(path);
    if (inode) this.#unlink(this.#get(dirname(path)), basename(path), inode);
  }

  /** syncfs: nothing done so far can be lost. */
  syncAll(): void { this.ops.push({ do: 'sync-all' }); }

  /** States after each step from `from` on; of the many combinations of what was lost at least `perStep` are made. */
  *crashStates({ from, perStep, random }: { from: number; perStep: number; random: () => number }): Generator<CrashState> {
    for (let after = from; after <= this.ops.length; after++) {
      for (let variant = 0; variant < perStep; variant++) {
        const keep = variant === 0 ? () => 0 : variant === 1 ? () => 1 : random;
        yield { after, materialize: (into) => this.#materialize(after, keep, into) };
      }
    }
  }

  #materialize(after: number, keep: () => number, into: string): void {
    const { lastName, lastBytes } = this.#survivors(after, keep);
    const names: Names = new Map();
    const bytes = new Map<Inode, Buffer>();
    for (const [index, op] of this.ops.slice(0, after).entries()) {
      if (op.do === 'name' && index <= (lastName.get(op.change.directory) ?? -1)) apply(names, op.change);
      if (op.do === 'bytes') {
        const last = lastBytes.get(op.inode);
        if (last && index <= last.index) bytes.set(op.inode, index === last.index ? op.data.subarray(0, Math.ceil(op.data.length * last.part)) : op.data);
      }
    }
    const put = (inode: Inode, path: string) => {
      if (inode.kind === 'symlink') symlinkSync(inode.target, path);
      else if (inode.kind === 'file') writeFileSync(path, bytes.get(inode) ?? '', { mode: inode.mode });
      else {
        mkdirSync(path, { recursive: true, mode: inode.mode });
        for (const [name, child] of names.get(inode) ?? []) put(child, `${path}/${name}`);
      }
    };
    put(this.#top, into);
  }

  /** Up to which op the names of each directory and the bytes of each file survive. */
  #survivors(after: number, keep: () => number) {
    const tracks = new Map<Inode, { durable: number; pending: number[] }>();
    const movedInto = new Map<Inode, Set<Inode>>(); // a directory to those that took names from it
    const track = (inode: Inode) => tracks.get(inode) ?? tracks.set(inode, { durable: -1, pending: [] }).get(inode);
    const settle = (inode: Inode) => {
      const it = track(inode);
      if (it) { it.durable = it.pending.at(-1) ?? it.durable; it.pending.length = 0; }
    };
    for (const [index, op] of this.ops.slice(0, after).entries()) {
      if (op.do === 'bytes') track(op.inode)?.pending.push(index);
      else if (op.do === 'name') {
        track(op.change.directory)?.pending.push(index);
        if (op.change.from) movedInto.set(op.change.from.directory, (movedInto.get(op.change.from.directory) ?? new Set()).add(op.change.directory));
      } else if (op.do === 'sync-bytes') settle(op.inode);
      else if (op.do === 'sync-names') for (const inode of [op.directory, ...(movedInto.get(op.directory) ?? [])]) settle(inode);
      else for (const inode of tracks.keys()) settle(inode);
    }
    const lastName = new Map<Inode, number>();
    const lastBytes = new Map<Inode, { index: number; part: number }>();
    for (const [inode, { durable, pending }] of tracks) {
      const share = keep();
      const survives = [durable, ...pending][Math.round(share * pending.length)] ?? durable;
      if (inode.kind === 'directory') lastName.set(inode, survives);
      else lastBytes.set(inode, { index: survives, part: survives === durable || keep() > 0.3 ? 1 : 0.5 });
    }
    return { lastName, lastBytes };
  }

  /** The n-th changing verb from now on fails, once; 0 for none. */
  failAfter(n: number): void { this.#failIn = n; }

  #step(verb: string, path: string): void {
    if (this.#failIn > 0 && --this.#failIn === 0) throw Object.assign(new Error(`${verb} ${path}: ENOSPC`), { code: 'ENOSPC' });
  }

  #find(path: string): Inode | undefined {
    let at: Inode | undefined = this.#top;
    for (const name of path.slice(this.#base.length).split('/').filter((part) => part !== '')) at = at && this.#now.get(at)?.get(name);
    return at;
  }

  #get(path: string): Inode {
    const inode = this.#find(path);
    if (!inode) throw new Error(`recording disk: ${path} was not made through it`);
    return inode;
  }

  #link(path: string, inode: Inode): void { this.#change({ directory: this.#get(dirname(path)), name: basename(path), to: inode }); }

  #change(change: Change): void {
    apply(this.#now, change);
    this.ops.push({ do: 'name', change });
  }

  /** Children first, as a real removal goes. */
  #unlink(directory: Inode, name: string, inode: Inode): void {
    for (const [child, below] of this.#now.get(inode) ?? []) this.#unlink(inode, child, below);
    this.#change({ directory, name, to: undefined });
  }
}

function apply(names: Names, { directory, name, to, from }: Change): void {
  const entries = names.get(directory) ?? new Map<string, Inode>();
  names.set(directory, entries);
  if (from && names.get(from.directory)?.get(from.name) === to) names.get(from.directory)?.delete(from.name);
  if (to) entries.set(name, to);
  else entries.delete(name);
}
