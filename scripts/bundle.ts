// Bundles src/main.ts into build/, one chunk per door (CLI, daemon, extractor), so that each loads only what it needs.
import { build } from 'esbuild';
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync, utimesSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const KEEP_MS = 3_600_000;
const started = new Date();
mkdirSync(join(root, 'build'), { recursive: true });
// Built beside and renamed in: any number of starts may find the bundle stale at the same moment.
const staged = mkdtempSync(join(root, 'build', '.staged-'));
process.on('exit', () => rmSync(staged, { recursive: true, force: true })); // also when a source does not compile
await build({
  entryPoints: [join(root, 'src/main.ts')],
  outdir: staged,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  packages: 'external',
  legalComments: 'none',
  logLevel: 'warning',
});
// Chunks carry their hash in their name; main.mjs goes last, since it is what makes the new ones used.
const files = readdirSync(staged).sort((a, b) => Number(a === 'main.mjs') - Number(b === 'main.mjs'));
for (const file of files) {
  utimesSync(join(staged, file), started, started); // as old as the sources that were read
  renameSync(join(staged, file), join(root, 'build', file));
}
// Chunks of earlier bundles: a daemon that was started from one may still load a part of it, for a while.
for (const file of readdirSync(join(root, 'build'))) {
  const path = join(root, 'build', file);
  const writtenMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity; // what another one had staged may be gone by now
  if (!files.includes(file) && started.getTime() - writtenMs > KEEP_MS) rmSync(path, { recursive: true, force: true });
}
