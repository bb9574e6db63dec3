// What a path that a client writes means inside of a container, by Docker's rules. Pure; paths are byte strings.

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

/** Absolute and without '..', which counts by the text alone; a slash or "/." at the end stays, since it means a directory. */
export function absolutePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const clean = `/${parts.join('/')}`;
  if (/(?:^|\/)\.$/.test(path)) return clean === '/' ? '/.' : `${clean}/.`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

/** The last part: '/' of the root, '.' where the path ends so. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

/** As many as Docker follows. */
const MAX_LINKS = 255;

/** Where a path leads when every link in it is followed; what is not there is taken as it stands. `readLink` gives undefined for what is no link. */
export function evaluatedPath(path: string, readLink: (path: string) => string | undefined): string {
  const ahead = path.split('/').toReversed();
  const found: string[] = [];
  for (let links = 0; ahead.length > 0;) {
    const part = ahead.pop() ?? '';
    if (part === '' || part === '.') continue;
    if (part === '..') { found.pop(); continue; }
    const target = readLink(`/${[...found, part].join('/')}`);
    if (target === undefined) { found.push(part); continue; }
    if (++links > MAX_LINKS) throw Object.assign(new Error(`too many links in ${path}`), { code: 'ELOOP' });
    if (target.startsWith('/')) found.length = 0;
    ahead.push(...target.split('/').toReversed());
  }
  return `/${found.join('/')}`;
}

/** Whether `path` is `directory` or below it. */
export const isWithin = (path: string, directory: string): boolean => directory === '/' || path === directory || path.startsWith(`${directory.replace(/\/$/, '')}/`);
