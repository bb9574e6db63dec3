// Files of a running container that several others change at once.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTempRoot } from '../../../test/kit/temp.ts';
import { KeyedLock } from '../../lib/lock.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';
import { followLink, followNetworks } from './own-files.ts';

test('containers that start at once all stand in the file of the one that links to them', async () => {
  await using root = openTempRoot();
  const path = join(root.path, 'hosts');
  writeFileSync(path, '127.0.0.1\tlocalhost\n172.17.0.9\tone old\n');
  const needs = {
    table: { locks: new KeyedLock() }, network: { sandbox: () => undefined }, kernel: { files: { readInRoot: () => readFileSync(path) } },
    store: { containers: { writeFile: (_id: string, _name: string, content: string) => writeFile(path, content) } },
  } as unknown as ContainerNeeds;
  const container = { id: 'c', record: { HostsPath: path, ResolvConfPath: '', Config: { Hostname: 'web', Domainname: '' } } } as Container;
  const link = (alias: string, address: string) => followLink(needs, container, { alias, link: { name: alias, alias, address, record: { ID: '', Config: { Hostname: alias } } } as Parameters<typeof followLink>[2]['link'] });
  await Promise.all([link('one', '172.17.0.2'), link('two', '172.17.0.3'), followNetworks(needs, container, { before: '', left: { ipv4: '10.0.0.2', ipv6: '' } }), link('three', '172.17.0.4')]);
  assert.equal(readFileSync(path, 'utf8'), '127.0.0.1\tlocalhost\n172.17.0.2\tone one\n172.17.0.3\ttwo two\n172.17.0.4\tthree three\n');
});
