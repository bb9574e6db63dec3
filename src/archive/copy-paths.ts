// What a path means that somebody copies from or to, by Docker's rules. Pure; paths are byte strings.

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

/** Whether the path says by its end that it is a directory. */
export const assertsDirectory = (path: string): boolean => path === '' || path.endsWith('/') || /(?:^|\/)\.$/.test(path);

/** Folder and last part, "/." at the end being such a part; a relative path stays one. */
export function splitPath(path: string): { folder: string; base: string } {
  const clean = absolutePath(path).replace(/(?!^)\/$/, '');
  const slash = clean.lastIndexOf('/');
  const [folder, base] = clean === '/' ? ['/', '/'] : [clean.slice(0, slash) || '/', clean.slice(slash + 1)];
  return { folder: path.startsWith('/') ? folder : folder.slice(1) || '.', base };
}
