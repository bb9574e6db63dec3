// The judge's eyes: every kind of damage to a tree must be seen.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, lutimesSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { versions } from './image.ts';
import { mergedTree, tarOf } from './tar.ts';
import { describeTree, differences } from './tree.ts';

const [base = []] = versions(10).first.layers;
const want = mergedTree([base]);
let scratch = '';
before(() => { scratch = mkdtempSync(`${tmpdir()}/tree-`); });
after(() => { rmSync(scratch, { recursive: true, force: true }); });

function unpacked(name: string): string {
  const root = `${scratch}/${name}`;
  execFileSync('mkdir', [root]);
  execFileSync('tar', ['-x', '-p', '--numeric-owner', '-C', root], { input: Buffer.concat([...tarOf(base)]) });
  return root;
}

test('what GNU tar unpacks is what the description promises', () => {
  assert.deepEqual(differences(describeTree(unpacked('whole')), want), []);
});

const damages: Record<string, (root: string) => void> = {
  missing: (root) => { rmSync(`${root}/base/d0/f1`); },
  'one more': (root) => { writeFileSync(`${root}/base/d0/more`, ''); },
  shorter: (root) => { truncateSync(`${root}/base/d0/f1`, 3); },
  longer: (root) => { appendFileSync(`${root}/base/d0/f1`, 'x'); },
  'zeros of the right length': (root) => { const file = `${root}/base/d0/f1`; writeFileSync(file, Buffer.alloc(readFileSync(file).length)); },
  mode: (root) => { chmodSync(`${root}/base/d0/f1`, 0o640); },
  owner: (root) => { chownSync(`${root}/base/d0/f1`, 1, 2001); },
  time: (root) => { utimesSync(`${root}/base/d0/f1`, 1, 1); },
  'time of a directory': (root) => { lutimesSync(`${root}/base`, 1, 1); },
  type: (root) => { rmSync(`${root}/base/d0/f1`); symlinkSync('f2', `${root}/base/d0/f1`); },
};
for (const [name, damage] of Object.entries(damages)) {
  test(`damage is seen: ${name}`, () => {
    const root = unpacked(name.replaceAll(' ', '-'));
    damage(root);
    assert.notDeepEqual(differences(describeTree(root), want), []);
  });
}
