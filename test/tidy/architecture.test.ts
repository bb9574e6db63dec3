// The architecture as a test: floors, faces, builtins, cycles, dead files, lengths, paths of a machine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { brokenFaces, deadFiles, importCycles, longFiles, longFunctions, machinePaths, missingTargets, strayBuiltins, wrongDirections } from './rules.ts';
import { ROOT, readSources } from './sources.ts';

/** Functions that were longer than the rule allows when it came, with their lengths then. Numbers may only shrink. */
const LONG_FUNCTIONS: Readonly<Record<string, number>> = {};

const sources = readSources();

test('imports go down', () => hold(wrongDirections(sources)));
test('rooms with state are imported by their face', () => hold(brokenFaces(sources)));
test('the outside world is touched where the table says', () => hold(strayBuiltins(sources)));
test('every import has a target', () => hold(missingTargets(sources)));
test('no module needs itself', () => hold(importCycles(sources)));
test('no file is dead', () => hold(deadFiles(sources)));
test('files stay short', () => hold(longFiles(sources)));
test('functions stay short', () => hold(longFunctions(sources, LONG_FUNCTIONS)));
test('no file names a path of one machine', () => hold(machinePaths(trackedTexts(), join(ROOT, '.'))));

function hold(violations: readonly string[]): void {
  if (violations.length > 0) assert.fail(`${violations.length} of them:\n  ${violations.join('\n  ')}`);
}

/** Everything that is committed or about to be, without what is generated or not text. */
function trackedTexts(): Map<string, string> {
  const paths = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: ROOT, encoding: 'utf8' }).split('\0');
  const texts = new Map<string, string>();
  for (const path of paths.filter((name) => name !== '' && name !== 'package-lock.json')) {
    let bytes: Buffer;
    try { bytes = readFileSync(join(ROOT, path)); } catch { continue; } // removed, but not yet from the index
    if (!bytes.subarray(0, 8192).includes(0)) texts.set(path, bytes.toString('utf8'));
  }
  return texts;
}
