// The engine on a 64-bit ARM machine, an emulated one: the processor that most devices have.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { openTempRoot } from '../kit/temp.ts';
import { isUnpacked, unpackedOf } from './base.ts';
import { runGuest } from './guest.ts';
import { offered } from './offered.ts';

const skip = isUnpacked('arm64') ? false : 'scripts/guests could not have Node.js or Debian for arm64';

describe('on arm64', { skip }, () => {
  let facts: Map<string, unknown>;
  const fact = <T>(name: string): T => {
    assert.ok(facts.has(name), `the guest told ${JSON.stringify(name)}; it failed with: ${String(facts.get('failure'))}`);
    return facts.get(name) as T;
  };
  before(async () => {
    await using root = openTempRoot();
    const folder = join(root.path, 'work'), system = unpackedOf('arm64');
    mkdirSync(folder);
    writeFileSync(join(folder, 'offered.json'), JSON.stringify(offered({ busybox: join(system, 'root/bin/busybox'), program: join(system, 'node') })));
    facts = await runGuest({ machine: 'arm64', program: join(import.meta.dirname, 'inside/arm64.ts'), folder });
  });

  test('the program in the guest came to its end', () => {
    assert.equal(facts.get('failure'), undefined);
    assert.deepEqual([fact('info'), fact('end')], [['aarch64', 'linux', '2'], 'well']);
  });

  test('what is pulled stands on the disk as it was packed', () => {
    assert.deepEqual([fact('image'), fact('plain')], [[true, 'linux', 'arm64'], [true, true]]);
    const file = '104711 70000:3 7 2 0 1500000000123456789 kept', others = '1600000000000000000';
    assert.deepEqual(fact('kinds'), [
      `block 60600 0:0 0 1 286327664 ${others}`, `char 20666 0:0 0 1 259 ${others}`, `file ${file}`, `hard ${file}`, `pipe 10622 0:0 0 1 0 ${others}`,
      'soft -> ../nowhere 120777 5:0 10 1 0 1400000000000000001',
    ]);
  });

  test('the next version comes by its delta', () => { assert.deepEqual(fact('by delta'), [true, true]); });

  test('containers run, and what they change is told, copied and committed', () => {
    assert.deepEqual(fact('ran'), [3, 'aarch64\ntwoblock char file hard pipe soft ']);
    assert.deepEqual(fact('changes'), ['C /kinds', 'D /kinds/soft', 'A /kinds/under', 'A /made']);
    assert.deepEqual([fact('archive'), fact('committed')], [[200, 200, true], [0, 'new\n7:8:644\n9:10:640\n']]);
    assert.deepEqual(fact('limits'), [64 << 20, 40]);
  });

  test('published ports and running containers outlive the engine', () => {
    const heard = { localhost: 'published', gateway: 'published', container: 'published', udp: 'published to you' };
    assert.deepEqual([fact('published'), fact('still')], [heard, [heard, 7]]);
    assert.deepEqual(fact('networks left'), { devices: [], translations: [] });
  });
});
