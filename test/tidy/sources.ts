// All TypeScript of the project, read once: what each file is, and what it imports.
import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { bareCode, importsOf, type Import } from './scan.ts';

export const ROOT = join(import.meta.dirname, '../..');

export interface Source {
  /** From the project's root: src/store/index.ts. */
  path: string;
  text: string;
  code: string;
  imports: readonly Import[];
  /** First folder below src; '' for a file directly in src and for everything elsewhere. */
  room: string;
  /** A test, or something that only tests use. */
  isTest: boolean;
}

/** Throws the names of files whose brackets the scanner cannot match. */
export function readSources(): Source[] {
  const paths = globSync(['src/**/*.ts', 'test/**/*.ts', 'scripts/**/*.ts', 'bench/**/*.ts'], { cwd: ROOT }).sort();
  return paths.map((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    try {
      return sourceOf(path, text);
    } catch (error) {
      throw new Error(`${path}: cannot be scanned`, { cause: error });
    }
  });
}

export function sourceOf(path: string, text: string): Source {
  const code = bareCode(text);
  const room = /^src\/([^/]+)\//.exec(path)?.[1] ?? '';
  return { path, text, code, imports: importsOf(text, code), room, isTest: !path.startsWith('src/') || /(\.test|\.fixture|\/fixture|\/test-kit)\.ts$/.test(path) };
}

/** The project's path of a relative import, or undefined for a package or builtin. */
export function targetOf(source: Pick<Source, 'path'>, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(source.path), specifier) : undefined;
}

export const roomOf = (path: string): string => /^src\/([^/]+)\//.exec(path)?.[1] ?? '';
