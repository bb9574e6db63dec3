// Puts together what a container sees, in the mounts of this worker alone, and makes it the worker's root.
import { chmodSync, chownSync, closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync } from 'node:fs';
import { MOUNT_FLAGS, type Confined, type Files, type Mounts } from '../kernel/index.ts';
import { EngineError, errnoOf } from '../lib/errors.ts';
import type { OverlayMount } from '../store/index.ts';
import type { View, ViewMount } from './index.ts';

const O_PATH = 0o10000000;
const HANDLE = O_PATH | constants.O_DIRECTORY;

export interface ViewNeeds { confined: Confined; mounts: Pick<Mounts, 'mount' | 'list'>; files: Pick<Files, 'setTimes'> }

/**
 * The container's files with its volumes, for 'reading' or 'writing'. Read only, a stopped container's own directories are not mounted
 * writable, so that it may start meanwhile. There is no way back out. Gives where file systems in memory are shown.
 */
export function enterContainer(needs: ViewNeeds, view: View, how: 'reading' | 'writing'): string[] {
  needs.confined.leaveMounts();
  let root = view.pid !== undefined ? mountedAlready(needs, view.overlay) : how === 'writing' ? mountWritable(needs, view.overlay) : mountReadable(needs, view.overlay);
  if (view.pid === undefined && how === 'reading' && view.mounts.some((mount) => isPlaceMissing(needs, root, mount))) root = mountScratch(needs, view.overlay);
  let rootFd = openSync(root, HANDLE);
  const rootDevice = fstatSync(rootFd, { bigint: true }).dev;
  for (const mount of view.mounts) placeMount(needs, rootFd, mount);
  const shown = view.pid === undefined ? [] : view.tmpfs.filter((path) => graft(needs, { pid: view.pid ?? 0, path, rootFd, rootDevice }));
  if (how === 'writing' && view.readOnlyRoot) {
    remountReadOnly(needs, rootFd);
    closeSync(rootFd);
    rootFd = openSync(root, HANDLE);
  }
  needs.confined.enter(rootFd);
  closeSync(rootFd);
  return shown;
}

/** Everything in the overlay and nothing over it. */
export function enterOverlay(needs: ViewNeeds, view: View): void {
  enterContainer(needs, { ...view, mounts: [], tmpfs: [] }, 'reading');
}

/** What the container has written as /upper, and all that is below it as /lower. */
export function enterLayers(needs: ViewNeeds, { overlay }: View): void {
  needs.confined.leaveMounts();
  const { mounts } = needs;
  const { lower, upper, base } = partsOf(overlay);
  mounts.mount({ source: 'tmpfs', target: overlay.mergedDir, fsType: 'tmpfs', data: 'mode=0700' });
  mkdirSync(`${overlay.mergedDir}/upper`);
  mkdirSync(`${overlay.mergedDir}/lower`);
  mounts.mount({ source: upper, target: `${overlay.mergedDir}/upper`, fsType: '', flags: MOUNT_FLAGS.bind, ...base });
  // One directory makes no overlay of its own: a second, empty one goes with it.
  const below = lower.length > 1 ? lower : [...lower, mergedName(overlay, 'none')];
  if (lower.length <= 1) mkdirSync(`${overlay.mergedDir}/none`);
  mounts.mount({ source: 'overlay', target: `${overlay.mergedDir}/lower`, fsType: 'overlay', data: `lowerdir=${below.join(':')}`, ...base });
  const rootFd = openSync(overlay.mergedDir, HANDLE);
  needs.confined.enter(rootFd);
  closeSync(rootFd);
}

function mountedAlready({ mounts }: ViewNeeds, { mergedDir }: OverlayMount): string {
  if (mounts.list().some(({ target, fsType }) => target === mergedDir && fsType === 'overlay')) return mergedDir;
  throw new EngineError('conflict', `the file system of the container is not mounted at ${mergedDir}: did it just stop?`);
}

function mountWritable({ mounts }: ViewNeeds, overlay: OverlayMount): string {
  mounts.mount({ source: 'overlay', target: overlay.mergedDir, fsType: 'overlay', data: overlay.data, ...partsOf(overlay).base });
  return overlay.mergedDir;
}

function mountReadable({ mounts }: ViewNeeds, overlay: OverlayMount): string {
  const { lower, upper, base } = partsOf(overlay);
  mounts.mount({ source: 'overlay', target: overlay.mergedDir, fsType: 'overlay', data: `lowerdir=${[upper, ...lower].join(':')}`, ...base });
  return overlay.mergedDir;
}

/** With an upper directory in memory, where the places of mounts are made that a container has only once it has been started. */
function mountScratch({ mounts, files }: ViewNeeds, overlay: OverlayMount): string {
  const { lower, upper, base } = partsOf(overlay);
  const own = lstatSync(overlay.upperDir, { bigint: true });
  mounts.mount({ source: 'tmpfs', target: overlay.mergedDir, fsType: 'tmpfs', data: 'mode=0700' });
  for (const name of ['up', 'work', 'root']) mkdirSync(`${overlay.mergedDir}/${name}`);
  const top = `${overlay.mergedDir}/up`;
  chownSync(top, Number(own.uid), Number(own.gid));
  chmodSync(top, Number(own.mode) & 0o7777);
  files.setTimes(top, { atimeNs: own.atimeNs, mtimeNs: own.mtimeNs });
  const data = `lowerdir=${[upper, ...lower].join(':')},upperdir=${mergedName(overlay, 'up')},workdir=${mergedName(overlay, 'work')}`;
  mounts.mount({ source: 'overlay', target: `${overlay.mergedDir}/root`, fsType: 'overlay', data, ...base });
  return `${overlay.mergedDir}/root`;
}

/** The directories as the mount data has them: absolute, or counted from `cwd`. */
function partsOf({ data, cwd }: OverlayMount): { lower: string[]; upper: string; base: { cwd?: string } } {
  const words = new Map(data.split(',').map((word) => { const at = word.indexOf('='); return [word.slice(0, at), word.slice(at + 1)] as const; }));
  return { lower: (words.get('lowerdir') ?? '').split(':'), upper: words.get('upperdir') ?? '', base: cwd === undefined ? {} : { cwd } };
}

/** A place below the merged directory, in the same form. */
const mergedName = (overlay: OverlayMount, name: string): string => `${partsOf(overlay).upper.replace(/\/diff$/, '')}/merged/${name}`;

function isPlaceMissing({ confined }: ViewNeeds, root: string, { source, destination }: ViewMount): boolean {
  if (lstatSync(source, { throwIfNoEntry: false }) === undefined) return false; // not mounted either
  const rootFd = openSync(root, HANDLE);
  const found = confined.openBelow(rootFd, destination);
  closeSync(rootFd);
  if (found === undefined) return true;
  closeSync(found);
  return false;
}

const handlePath = (fd: number): string => `/proc/self/fd/${fd}`;

function placeMount(needs: ViewNeeds, rootFd: number, mount: ViewMount): void {
  let source: number;
  try { source = openSync(mount.source, O_PATH); } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return; // it comes with the next start
    throw error;
  }
  const place = needs.confined.openBelow(rootFd, mount.destination) ?? makeBelow(needs, rootFd, { path: mount.destination, directory: fstatSync(source).isDirectory() });
  needs.mounts.mount({ source: handlePath(source), target: handlePath(place), fsType: '', flags: MOUNT_FLAGS.bind | (mount.recursive ? MOUNT_FLAGS.recursive : 0) });
  closeSync(source);
  closeSync(place);
  if (mount.writable) return;
  const placed = needs.confined.openBelow(rootFd, mount.destination); // what is mounted now, not what it hides
  if (placed === undefined) throw new EngineError('system', `the mount on ${mount.destination} is not there`);
  remountReadOnly(needs, placed);
  closeSync(placed);
}

function remountReadOnly({ mounts }: ViewNeeds, fd: number): void {
  mounts.mount({ source: 'none', target: handlePath(fd), fsType: '', flags: MOUNT_FLAGS.remount | MOUNT_FLAGS.bind | MOUNT_FLAGS.readOnly });
}

/** Makes what a mount is to stand on, inside of the root, however the links in there lead. */
function makeBelow({ confined }: ViewNeeds, rootFd: number, { path, directory }: { path: string; directory: boolean }): number {
  const parts = path.split('/').filter((part) => part !== '');
  for (let n = 1; n <= parts.length; n++) {
    const found = confined.openBelow(rootFd, parts.slice(0, n).join('/'));
    if (found !== undefined) { closeSync(found); continue; }
    const parent = n === 1 ? rootFd : confined.openBelow(rootFd, parts.slice(0, n - 1).join('/'));
    const place = `${handlePath(parent ?? rootFd)}/${parts[n - 1] ?? ''}`;
    if (n < parts.length || directory) mkdirSync(place, 0o755);
    else closeSync(openSync(place, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o755));
    if (parent !== undefined && parent !== rootFd) closeSync(parent);
  }
  const made = confined.openBelow(rootFd, path);
  if (made === undefined) throw new EngineError('system', `${path} cannot be made in the container`);
  return made;
}

function graft({ confined }: ViewNeeds, { pid, path, rootFd, rootDevice }: { pid: number; path: string; rootFd: number; rootDevice: bigint }): boolean {
  const place = confined.openBelow(rootFd, path);
  if (place === undefined) return false;
  try { return confined.graft({ pid, path, ontoFd: place, rootDevice }); } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false; // the container ended just now
  } finally { closeSync(place); }
}
