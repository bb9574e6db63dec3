import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { silentLog } from '../lib/log.ts';
import { idMapOf, openIdMap, remapUser, type UserTables } from './userns.ts';

const TABLES: UserTables = {
  passwd: 'root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nbox:x:1000:1001::/:/bin/sh\nlone:x:1002:1002::/:/bin/sh\n',
  group: 'root:x:0:\ndaemon:x:1:\nbox:x:1001:\nstaff:x:50:\n',
  subuid: 'box:100000:1000\nother:101000:1000\nbox:300000:500\nbroken:line\n', subgid: 'box:200000:65536\n',
};

test('the user of a specification, and what is wrong with one, in the words of dockerd', () => {
  for (const [wanted, user] of [['box', 'box'], ['1000:1001', 'box'], ['box:staff', 'box'], ['box:50', 'box'], ['1', 'daemon'], ['root', 'root']] as const) assert.equal(remapUser(wanted, TABLES), user, wanted);
  for (const [wanted, words] of [
    ['a:b:c', 'Invalid user/group specification in --userns-remap: "a:b:c"'], ['nope', 'Error during uid lookup for "nope": unable to find entry "nope" in passwd database'],
    ['77', 'Uid 77 has no entry in /etc/passwd: unable to find entry "77" in passwd database'], ['1000', 'Gid 1000 has no entry in /etc/group: unable to find entry "1000" in group database'],
    ['lone', 'Error during gid lookup for "lone": unable to find entry "lone" in group database'], ['box:nope', 'Error during groupname lookup for "nope": unable to find entry "nope" in group database'],
    ['box:99', 'Gid 99 has no entry in /etc/passwd: unable to find entry "99" in group database'],
  ] as const) assert.throws(() => remapUser(wanted, TABLES), { message: words });
});

test('several ranges are numbered one after another', () => {
  assert.deepEqual(idMapOf('box', TABLES), {
    uids: [{ containerId: 0, hostId: 100_000, size: 1000 }, { containerId: 1000, hostId: 300_000, size: 500 }], gids: [{ containerId: 0, hostId: 200_000, size: 65_536 }],
  });
  assert.throws(() => idMapOf('daemon', TABLES), { message: 'Can\'t create ID mappings: no subuid ranges found for user "daemon"' });
  assert.throws(() => idMapOf('other', TABLES), { message: 'Can\'t create ID mappings: no subgid ranges found for user "other"' });
});

test('default makes its user and takes ranges that nobody has, once', async () => {
  const etc = mkdtempSync(`${tmpdir()}/userns-`);
  try {
    for (const [name, text] of Object.entries({ ...TABLES, subgid: '' })) writeFileSync(`${etc}/${name}`, text);
    const commands: string[][] = [];
    const run = async (command: readonly string[]) => {
      commands.push([...command]);
      writeFileSync(`${etc}/passwd`, 'dockremap:x:103:108::/:/bin/false\n', { flag: 'a' });
      writeFileSync(`${etc}/group`, 'dockremap:x:108:\n', { flag: 'a' });
    };
    const wanted = { uids: [{ containerId: 0, hostId: 300_500, size: 65_536 }], gids: [{ containerId: 0, hostId: 100_000, size: 65_536 }] };
    for (const again of [false, true]) assert.deepEqual(await openIdMap('default', { log: silentLog, etc, run }), wanted, String(again));
    assert.deepEqual(commands.map(([program, ...words]) => [program, words.at(-1)]), [['useradd', 'dockremap']]);
    assert.equal(readFileSync(`${etc}/subgid`, 'utf8'), 'dockremap:100000:65536\n');
    assert.deepEqual([await openIdMap('', { log: silentLog, etc, run }), await openIdMap('root', { log: silentLog, etc, run })], [undefined, undefined]);
  } finally { rmSync(etc, { recursive: true }); }
});

test('a user that cannot be made says why', async () => {
  const etc = mkdtempSync(`${tmpdir()}/userns-`);
  try {
    await assert.rejects(openIdMap('default', { log: silentLog, etc, run: () => Promise.reject(new Error('useradd: cannot lock /etc/passwd')) }), { message: 'Error during "dockremap" user creation: useradd: cannot lock /etc/passwd' });
  } finally { rmSync(etc, { recursive: true }); }
});
