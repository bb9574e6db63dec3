// Modes as Docker's clients read them, and places below others. Pure.

/** Source: Go's io/fs: the bits of FileMode beside the permissions. */
const GO = { dir: 1 << 31, symlink: 1 << 27, device: 1 << 26, fifo: 1 << 25, socket: 1 << 24, setuid: 1 << 23, setgid: 1 << 22, char: 1 << 21, sticky: 1 << 20 } as const;
const TYPES: Readonly<Record<number, number>> = { 0o040000: GO.dir, 0o120000: GO.symlink, 0o060000: GO.device, 0o020000: GO.device | GO.char, 0o010000: GO.fifo, 0o140000: GO.socket };
const TYPE_MASK = 0o170000;

/** Mode of lstat(2) as Go's FileMode. */
export function goMode(mode: number): number {
  const bits = (mode & 0o777) | (TYPES[mode & TYPE_MASK] ?? 0)
    | ((mode & 0o4000) === 0 ? 0 : GO.setuid) | ((mode & 0o2000) === 0 ? 0 : GO.setgid) | ((mode & 0o1000) === 0 ? 0 : GO.sticky);
  return bits >>> 0;
}

/** Whether `path` is `directory` or below it. */
export const isWithin = (path: string, directory: string): boolean => directory === '/' || path === directory || path.startsWith(`${directory.replace(/\/$/, '')}/`);
