import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kernel, pieces } from '../../test/kit/extract.ts';
import { treeTar } from '../../test/kit/image.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import type { IdMap } from '../lib/ids.ts';
import { silentLog } from '../lib/log.ts';
import { openExtractors } from './extractors.ts';
import { layerTar } from './tarsplit.ts';

const temp = openTempRoot();
after(() => temp[Symbol.asyncDispose]());

const MAP: IdMap = { uids: [{ containerId: 0, hostId: 100_000, size: 1000 }, { containerId: 1000, hostId: 500_000, size: 1000 }], gids: [{ containerId: 0, hostId: 200_000, size: 65_536 }] };
let count = 0;
const place = () => { const at = join(temp.path, `o${count++}`); mkdirSync(join(at, 'diff'), { recursive: true }); return { into: join(at, 'diff'), tarSplitPath: join(at, 'split'), compression: 'none' as const }; };
const open = () => { const extractors = openExtractors({ kernel, log: silentLog, limit: 1, idleMs: 60_000, idMap: MAP }); return { extractors, [Symbol.asyncDispose]: () => extractors.close() }; };

test('owners of an archive become those of the host, also of what it leaves out; its tar comes back as it was', async () => {
  const tar = treeTar({
    'a/': { uid: 1, gid: 2 }, 'a/file': { content: 'x', uid: 1005, gid: 3 }, 'a/again': { type: 'hardlink', linkName: 'a/file', uid: 1005, gid: 3 }, 'a/link': { type: 'symlink', linkName: 'file', uid: 4, gid: 5 },
    'a/pipe': { type: 'fifo', uid: 6, gid: 7 }, 'left/out/file': 'y', 'left/.wh.gone': '', 'opaque/.wh..wh..opq': '', 'set': { content: 'z', mode: 0o4755, uid: 0, gid: 0 },
  });
  await using kit = open();
  const at = place();
  const { diffId } = await kit.extractors.extract({ ...at, source: pieces(tar) });
  const owners = ['a', 'a/file', 'a/again', 'a/link', 'a/pipe', 'left', 'left/out', 'left/out/file', 'left/gone', 'opaque', 'set'].map((name) => { const { uid, gid } = lstatSync(join(at.into, name)); return `${name} ${uid}:${gid}`; });
  assert.deepEqual(owners, [
    'a 100001:200002', 'a/file 500005:200003', 'a/again 500005:200003', 'a/link 100004:200005', 'a/pipe 100006:200007', 'left 100000:200000', 'left/out 100000:200000', 'left/out/file 100000:200000',
    'left/gone 100000:200000', 'opaque 100000:200000', 'set 100000:200000',
  ]);
  assert.equal(lstatSync(join(at.into, 'set')).mode & 0o7777, 0o4755, 'a change of the owner takes setuid away: it is set after');
  const again = createHash('sha256');
  for (const piece of layerTar(at.tarSplitPath, at.into)) again.update(piece);
  assert.equal(`sha256:${again.digest('hex')}`, diffId);
});

test('an owner that has no number on the host refuses the layer by name', async () => {
  await using kit = open();
  await assert.rejects(kit.extractors.extract({ ...place(), source: pieces(treeTar({ 'a/far': { content: 'x', uid: 2000, gid: 0 } })) }), { kind: 'system', message: 'a/far: container ID 2000 cannot be mapped to a host ID' });
  await kit.extractors.extract({ ...place(), source: pieces(treeTar({ near: { content: 'x', uid: 1999, gid: 0 } })) });
});
