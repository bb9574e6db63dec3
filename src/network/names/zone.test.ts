import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rng } from '../../../test/kit/random.ts';
import { fullIpv6 } from './message.ts';
import { Zone, type ZoneEndpoint } from './zone.ts';

const place = (networkName: string, ipv4: string, names: readonly string[], more: Partial<ZoneEndpoint> = {}): ZoneEndpoint =>
  ({ networkId: `id of ${networkName}`, networkName, ipv4, ipv6: '', names, links: new Map(), internal: false, ...more });

function world(): Zone {
  const zone = new Zone();
  zone.join('web', place('net1', '10.1.0.2', ['Web', '111111111111', 'app', 'multi']));
  zone.join('web', place('net.two', '10.2.0.2', ['Web', '111111111111', 'w2'], { ipv6: 'fd02::2' }));
  zone.join('db', place('net1', '10.1.0.3', ['db', 'app', 'MULTI', 'a.b']));
  zone.join('far', place('net.two', '10.2.0.3', ['far', 'multi'], { links: new Map([['lnk', 'web'], ['gone', 'nobody'], ['db', 'WEB'], ['Up', 'web']]) }));
  zone.join('six', place('net6', '', ['six'], { ipv6: 'fd06::6' }));
  return zone;
}

test('a sandbox finds what is in its networks, asked in the order of their names', () => {
  const zone = world();
  const v4 = (who: string, name: string) => zone.resolve(who, name, 'ipv4');
  assert.deepEqual(v4('db', 'web'), ['10.1.0.2']);
  assert.deepEqual(v4('far', 'web'), ['10.2.0.2']);
  assert.deepEqual(v4('db', 'app'), ['10.1.0.2', '10.1.0.3']);
  assert.deepEqual(v4('web', 'multi'), ['10.2.0.3'], 'of net.two, whose name comes first');
  assert.deepEqual(v4('db', 'far'), undefined);
  assert.deepEqual(v4('nobody', 'web'), undefined);
  assert.deepEqual(v4('db', ''), undefined);
});

test('a name may be followed by its network, and both may have dots', () => {
  const zone = world();
  const v4 = (who: string, name: string) => zone.resolve(who, name, 'ipv4');
  assert.deepEqual(v4('web', 'web.net1'), ['10.1.0.2']);
  assert.deepEqual(v4('web', 'web.net.two'), ['10.2.0.2']);
  assert.deepEqual(v4('web', 'a.b'), ['10.1.0.3']);
  assert.deepEqual(v4('web', 'a.b.net1'), ['10.1.0.3']);
  assert.deepEqual(v4('db', 'web.net.two'), undefined, 'a network it is not in');
  assert.deepEqual(v4('db', 'net1'), undefined);
  assert.deepEqual(v4('db', '.net1'), undefined);
});

test('a name without an address of the family exists all the same', () => {
  const zone = world();
  assert.deepEqual(zone.resolve('db', 'web', 'ipv6'), []);
  assert.deepEqual(zone.resolve('web', 'web', 'ipv6'), ['fd02::2'], 'another of its networks has one');
  assert.deepEqual(zone.resolve('six', 'six', 'ipv4'), []);
  assert.deepEqual(zone.resolve('six', 'six', 'ipv6'), ['fd06::6']);
  assert.deepEqual(zone.resolve('db', 'far', 'ipv6'), undefined);
});

test('a link is for its owner alone, before names, and follows whoever it means', () => {
  const zone = world();
  const v4 = (who: string, name: string) => zone.resolve(who, name, 'ipv4');
  assert.deepEqual(v4('far', 'lnk'), ['10.2.0.2']);
  assert.deepEqual(v4('far', 'lnk.net.two'), ['10.2.0.2']);
  assert.deepEqual(v4('far', 'up'), ['10.2.0.2']);
  assert.deepEqual(v4('far', 'db'), ['10.2.0.2'], 'by a name of the one meant');
  assert.deepEqual(v4('far', 'gone'), undefined);
  assert.deepEqual(v4('web', 'lnk'), undefined);
  zone.join('web', place('net.two', '10.2.0.9', ['renamed']));
  assert.deepEqual([v4('far', 'lnk'), v4('far', 'db'), v4('far', 'renamed')], [['10.2.0.9'], undefined, ['10.2.0.9']]);
});

test('an address is known by the first name in its network', () => {
  const zone = world();
  assert.equal(zone.reverse('db', '10.1.0.2'), 'Web.net1');
  assert.equal(zone.reverse('far', fullIpv6('fd02::2')), 'Web.net.two');
  assert.equal(zone.reverse('db', '10.2.0.2'), undefined, 'of a network it is not in');
  assert.equal(zone.reverse('db', '10.1.0.99'), undefined);
});

test('who has left is forgotten, whatever else was said', () => {
  const zone = world();
  zone.leave('web', 'id of net1');
  assert.deepEqual([zone.resolve('db', 'web', 'ipv4'), zone.resolve('db', 'multi', 'ipv4'), zone.reverse('db', '10.1.0.2')], [undefined, ['10.1.0.3'], undefined]);
  assert.deepEqual(zone.endpoints('web').map(({ networkName }) => networkName), ['net.two']);
  zone.leave('web', 'id of net1');
  zone.leaveAll('web');
  assert.deepEqual([zone.endpoints('web'), zone.resolve('far', 'w2', 'ipv4')], [[], undefined]);
});

test('after any comings and goings names say who is there', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = rng(seed);
    const below = (n: number) => Math.floor(random() * n);
    const zone = new Zone();
    const there = new Map<string, ZoneEndpoint>();
    for (let step = 0; step < 60; step++) {
      const [who, network] = [`s${below(6)}`, `n${below(3)}`];
      const endpoint = place(network, `10.${network.slice(1)}.0.${below(4)}`, Array.from({ length: 1 + below(3) }, () => `Name${below(5)}`));
      if (below(3) > 0) { zone.join(who, endpoint); there.set(`${who} ${network}`, endpoint); } else { zone.leave(who, `id of ${network}`); there.delete(`${who} ${network}`); }
    }
    for (let network = 0; network < 3; network++) {
      const members = [...there].filter(([key]) => key.endsWith(` n${network}`));
      const [asker] = members[0]?.[0].split(' ') ?? [];
      if (asker === undefined) continue;
      for (let name = 0; name < 5; name++) {
        const want = new Set(members.filter(([, { names }]) => names.includes(`Name${name}`)).map(([, { ipv4 }]) => ipv4));
        const got = zone.resolve(asker, `name${name}.n${network}`, 'ipv4');
        assert.deepEqual(got && new Set(got), want.size > 0 ? want : undefined, `seed ${seed}: name${name} in n${network}`);
      }
    }
  }
});
