// The rules of the house, each a function from sources to sentences about what breaks it.
import { bodiesOf } from './scan.ts';
import { roomOf, targetOf, type Source } from './sources.ts';

/** Top floor first. A room may import its own files and any lower floor: never up, never a neighbour. '' is main and what stands beside it. */
export const FLOORS: ReadonlyArray<readonly string[]> = [
  [''], ['daemon'], ['api', 'cli'], ['engine'], ['registry', 'runtime', 'network', 'logs', 'builder', 'rootfs', 'maker'],
  ['store'], ['kernel'], ['delta'], ['oci', 'archive', 'wire'], ['lib'],
];

/** Rooms with state: known to others by their index.ts alone. */
const FACES = new Set(['engine', 'registry', 'runtime', 'network', 'logs', 'builder', 'rootfs', 'maker', 'store', 'kernel']);

/** Where the outside world may be touched. Builtins that are not listed only compute. */
const BUILTINS: Readonly<Record<string, readonly string[]>> = {
  fs: ['', 'daemon', 'store', 'kernel', 'logs', 'builder', 'runtime', 'rootfs', 'registry', 'network', 'maker'],
  child_process: ['', 'kernel', 'runtime'],
  http: ['api', 'cli', 'registry', 'runtime'],
  https: ['api', 'cli', 'registry', 'runtime'],
  http2: [],
  net: ['api', 'cli', 'registry', 'runtime', 'logs', 'network'],
  tls: ['api', 'cli', 'registry', 'runtime', 'logs'],
  dgram: ['logs', 'network'],
  dns: ['kernel'],
  ffi: ['kernel'],
  process: ['', 'daemon'],
  worker_threads: [],
  cluster: [],
  vm: [],
  tty: [''],
};

/** The global `process`: environment, signals, exit. A clock is no environment, and a worker's entry speaks over its own stdin. */
const PROCESS_ALLOWED = (path: string) => ['', 'daemon'].includes(roomOf(path)) || path === 'src/lib/clock.ts' || path.endsWith('-worker.ts');

export const MAX_FILE_LINES = 500;
export const MAX_FUNCTION_LINES = 60;

const floorOf = (room: string): number => FLOORS.findIndex((floor) => floor.includes(room));
const inSrc = (sources: readonly Source[]) => sources.filter((source) => source.path.startsWith('src/'));

interface Edge { from: Source; to: string; how: 'static' | 'types' | 'dynamic' }

function edgesOf(sources: readonly Source[]): Edge[] {
  return sources.flatMap((from) => from.imports.flatMap(({ specifier, how }) => {
    const to = targetOf(from, specifier);
    return to === undefined ? [] : [{ from, to, how }];
  }));
}

export function wrongDirections(sources: readonly Source[]): string[] {
  const wrong: string[] = [];
  for (const { from, to } of edgesOf(inSrc(sources))) {
    if (!to.startsWith('src/')) { if (!from.isTest) wrong.push(`${from.path} imports ${to}, which is no part of the executable`); continue; }
    const target = roomOf(to);
    if (from.room === target) continue;
    if (floorOf(from.room) < 0) wrong.push(`${from.path} stands in a room that is on no floor`);
    else if (floorOf(target) <= floorOf(from.room)) wrong.push(`${from.path} imports ${to}: ${target || 'main'} is not below ${from.room}`);
    else if (from.room === 'cli' && !['wire', 'oci', 'archive', 'lib'].includes(target)) wrong.push(`${from.path} imports ${to}: the command line knows the daemon by its API only`);
  }
  return wrong;
}

export function brokenFaces(sources: readonly Source[]): string[] {
  return edgesOf(inSrc(sources)).filter(({ from, to }) => {
    const target = roomOf(to);
    if (from.room === target || !FACES.has(target) || to === `src/${target}/index.ts`) return false;
    if (from.room === '' && to.endsWith('-worker.ts')) return false; // another entry of the executable
    return !(from.isTest && /fake[^/]*\.ts$/.test(to));
  }).map(({ from, to }) => `${from.path} imports ${to} past the room's index.ts`);
}

export function strayBuiltins(sources: readonly Source[]): string[] {
  const wrong: string[] = [];
  for (const source of inSrc(sources).filter(({ isTest }) => !isTest)) {
    for (const { specifier } of source.imports.filter(({ specifier: name }) => !name.startsWith('.'))) {
      if (!specifier.startsWith('node:')) { wrong.push(`${source.path} imports the package ${specifier}`); continue; }
      const builtin = specifier.slice('node:'.length).split('/')[0] ?? '';
      if (BUILTINS[builtin]?.includes(source.room) === false) wrong.push(`${source.path} imports ${specifier}, which is for ${BUILTINS[builtin]?.join(', ') || 'nobody'}`);
    }
    // A file with a variable of that name speaks of a container's process.
    if (PROCESS_ALLOWED(source.path) || /(?:\b(?:const|let)\s+|[({,]\s*)process\b\s*[:=,)}]/.test(source.code)) continue;
    for (const match of source.code.matchAll(/(?<![.\w$])process\s*\.\s*(\w+)/g)) wrong.push(`${source.path} uses process.${match[1]}, which is for main and daemon`);
  }
  return wrong;
}

export function missingTargets(sources: readonly Source[]): string[] {
  const known = new Set(sources.map(({ path }) => path));
  return edgesOf(sources).filter(({ to }) => to.endsWith('.ts') && !known.has(to)).map(({ from, to }) => `${from.path} imports ${to}, which is not there`);
}

/** Only imports that are there at run time, and at once: types vanish, and a dynamic import waits. */
export function importCycles(sources: readonly Source[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edgesOf(sources).filter(({ how }) => how === 'static')) next.set(from.path, [...next.get(from.path) ?? [], to]);
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]) => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '));
    if (at >= 0 || done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return cycles;
}

/** A file is alive when main reaches it; a stand-in for tests when a test does. */
export function deadFiles(sources: readonly Source[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edgesOf(sources)) next.set(from.path, [...next.get(from.path) ?? [], to]);
  const reach = (starts: readonly string[]) => {
    const seen = new Set<string>();
    const waiting = [...starts];
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) if (!seen.has(path)) { seen.add(path); waiting.push(...next.get(path) ?? []); }
    return seen;
  };
  const alive = reach(['src/main.ts']);
  const tested = reach(sources.filter(({ path }) => path.endsWith('.test.ts')).map(({ path }) => path));
  const isFake = (path: string) => /fake[^/]*\.ts$/.test(path);
  return inSrc(sources).filter(({ isTest, path }) => !isTest && !alive.has(path) && !(isFake(path) && tested.has(path)))
    .map(({ path }) => `${path} is reached from nowhere`);
}

export function longFiles(sources: readonly Source[]): string[] {
  return sources.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(({ lines }) => lines > MAX_FILE_LINES)
    .map(({ path, lines }) => `${path} has ${lines} lines, ${MAX_FILE_LINES} are the most`);
}

/** `known`: "path name" of offenders of the past to their length; they may shrink, and leave the list when they are short. */
export function longFunctions(sources: readonly Source[], known: Readonly<Record<string, number>>): string[] {
  const wrong: string[] = [];
  const met = new Set<string>();
  for (const { path, text, code } of sources) {
    for (const { name, line, lines } of bodiesOf(text, code).filter((body) => body.lines > MAX_FUNCTION_LINES)) {
      met.add(`${path} ${name}`);
      if (lines > (known[`${path} ${name}`] ?? MAX_FUNCTION_LINES)) wrong.push(`${path}:${line} ${name || '(function)'} has ${lines} lines, ${known[`${path} ${name}`] ?? MAX_FUNCTION_LINES} are the most`);
    }
  }
  return [...wrong, ...Object.keys(known).filter((key) => !met.has(key)).map((key) => `${key} is short or gone: take it off the list`)];
}

/** `checkout`: where this checkout stands; no file may know that, nor anybody's home. */
export function machinePaths(files: ReadonlyMap<string, string>, checkout: string): string[] {
  const wrong: string[] = [];
  for (const [path, text] of files) {
    for (const [index, line] of text.split('\n').entries()) {
      const home = /(?<![\w}.])\/(?:home|Users)\/[a-z][\w.-]*\//i.exec(line)?.[0];
      const found = home ?? (line.includes(checkout) ? checkout : undefined);
      if (found !== undefined) wrong.push(`${path}:${index + 1} names ${found}, a path of one machine`);
    }
  }
  return wrong;
}
