// Rules for what is open, beside those that dockerd 20.10 made for the same (--userland-proxy=false), and what iptables-restore is told to get there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rng } from '../../../test/kit/random.ts';
import { changesTo, without } from './change.ts';
import { desiredRules, keyOf, type BridgeRules, type Family, type Rule, type RuleSet } from './rules.ts';
import { parseSave, type Standing } from './standing.ts';
import { staleFlows } from './flows.ts';

const bridge = (device: string, more: Partial<BridgeRules> = {}): BridgeRules => ({ device, ipv4: [], ipv6: [], internal: false, icc: true, masquerade: true, ...more });
const SURROUNDINGS = { bridgeNetfilter: true, frame: false, guardTable: 'raw' } as const;

/** What we have beyond dockerd's; docs/compatibility.md says why. */
const ON_PURPOSE = [/^-A POSTROUTING -s (\S+) -d \1 -o \S+ -m conntrack --ctstate DNAT -j MASQUERADE$/, /^-A DOCKER-ISOLATION-STAGE-2 -m conntrack --ctstate DNAT -j RETURN$/, /^-A DOCKER .* -i (\S+) -o \1 .*--ctstate DNAT -j ACCEPT$/, /^-A PREROUTING .*-d 127\..* -j DROP$/];

/** The part of iptables-restore that is used, on values. */
function play(standing: Standing, text: string): void {
  let table: { policies: Map<string, string | undefined>; chains: Map<string, string[]> } | undefined;
  for (const line of text.split('\n')) {
    const name = /^\*(\S+)$/.exec(line)?.[1];
    if (name !== undefined) standing.set(name, table = standing.get(name) ?? { policies: new Map(), chains: new Map(BUILTIN.map((chain) => [chain, []])) });
    const [, verb = '', chain = '', rest = ''] = /^-([NPADI]) (\S+) ?(.*)$/.exec(line) ?? [];
    const rules = table?.chains.get(chain) ?? [];
    if (verb === 'N') { assert.ok(!table?.chains.has(chain), line); table?.chains.set(chain, []); continue; }
    if (verb === 'P') { table?.policies.set(chain, rest); continue; }
    if (verb !== '') assert.ok(table?.chains.has(chain), line);
    if (verb === 'A') rules.push(rest);
    if (verb === 'D') { assert.ok(rules.includes(rest), line); rules.splice(rules.indexOf(rest), 1); }
    if (verb === 'I') {
      const [, at = '', rule = ''] = /^(\d+) (.*)$/.exec(rest) ?? [];
      assert.ok(Number(at) >= 1 && Number(at) <= rules.length + 1, line);
      rules.splice(Number(at) - 1, 0, rule);
    }
  }
}

const BUILTIN = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'];
const linesOf = (standing: Standing, table: string): string[] => [...standing.get(table)?.chains ?? []].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`));

/** The rules after one step after the other, sorted by chain as iptables-save shows them. */
function after(family: Family, steps: readonly RuleSet[]): { filter: string[]; nat: string[]; raw: string[] } {
  const standing: Standing = new Map();
  steps.forEach((_step, n) => {
    const wanted = desiredRules(family, steps.slice(0, n + 1), SURROUNDINGS);
    play(standing, changesTo(standing, { wanted, unwanted: [], closed: false }));
    assert.equal(changesTo(standing, { wanted, unwanted: [], closed: false }), '', 'nothing is left to do');
  });
  return { filter: linesOf(standing, 'filter'), nat: linesOf(standing, 'nat'), raw: linesOf(standing, 'raw') };
}

const dockerds = (lines: readonly string[]): string[] => lines.filter((line) => !ON_PURPOSE.some((pattern) => pattern.test(line))).sort(byChain);
/** Order within a chain counts, that of chains does not. */
function byChain(a: string, b: string): number {
  const [x = '', y = ''] = [a.split(' ')[1], b.split(' ')[1]];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Recorded: dockerd 20.10.24, iptables-save and ip6tables-save of a network namespace of its own. */
const RECORDED: ReadonlyArray<{ name: string; family: Family; steps: readonly RuleSet[]; filter: string; nat: string }> = [
  {
    name: 'networks of every kind, and a port', family: 'ipv4',
    steps: [
      { bridges: [bridge('docker0', { ipv4: ['172.17.0.0/16'] })] },
      { ports: [{ device: 'docker0', protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 32768, ip: '172.17.0.2', port: 80 }] },
      { bridges: [bridge('br-internal', { ipv4: ['172.19.0.0/16'], internal: true })] },
      { bridges: [bridge('br-noicc', { ipv4: ['172.20.0.0/16'], icc: false })] },
      { bridges: [bridge('br-nomasq', { ipv4: ['172.21.0.0/16'], masquerade: false })] },
    ],
    filter: `
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-nomasq -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-nomasq -j DOCKER
-A FORWARD -i br-nomasq ! -o br-nomasq -j ACCEPT
-A FORWARD -i br-nomasq -o br-nomasq -j ACCEPT
-A FORWARD -o br-noicc -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-noicc -j DOCKER
-A FORWARD -i br-noicc ! -o br-noicc -j ACCEPT
-A FORWARD -i br-internal -o br-internal -j ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A FORWARD -i br-noicc -o br-noicc -j DROP
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-nomasq ! -o br-nomasq -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i br-noicc ! -o br-noicc -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 ! -s 172.19.0.0/16 -o br-internal -j DROP
-A DOCKER-ISOLATION-STAGE-1 ! -d 172.19.0.0/16 -i br-internal -j DROP
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br-nomasq -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o br-noicc -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN`,
    nat: `
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o br-nomasq -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -o br-noicc -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.20.0.0/16 ! -o br-noicc -j MASQUERADE
-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 32768 -j DNAT --to-destination 172.17.0.2:80`,
  },
  {
    name: 'icc off, links, addresses of the host', family: 'ipv4',
    steps: [
      { bridges: [bridge('docker0', { ipv4: ['172.17.0.0/16'], icc: false })] },
      { ports: [{ device: 'docker0', protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, ip: '172.17.0.2', port: 80 }] },
      {
        ports: [{ device: 'docker0', protocol: 'tcp', hostIp: '127.0.0.1', hostPort: 8090, ip: '172.17.0.3', port: 80 }],
        links: [{ device: 'docker0', from: '172.17.0.3', to: '172.17.0.2', port: 80, protocol: 'tcp' }],
      },
      { bridges: [bridge('br-n1', { ipv4: ['172.18.0.0/16'] })] },
    ],
    filter: `
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-n1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-n1 -j DOCKER
-A FORWARD -i br-n1 ! -o br-n1 -j ACCEPT
-A FORWARD -i br-n1 -o br-n1 -j ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j DROP
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -s 172.17.0.2/32 -d 172.17.0.3/32 -i docker0 -o docker0 -p tcp -m tcp --sport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-n1 ! -o br-n1 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br-n1 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN`,
    nat: `
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o br-n1 -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.18.0.0/16 ! -o br-n1 -j MASQUERADE
-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A POSTROUTING -s 172.17.0.3/32 -d 172.17.0.3/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 127.0.0.1/32 -p tcp -m tcp --dport 8090 -j DNAT --to-destination 172.17.0.3:80`,
  },
  {
    name: 'IPv6', family: 'ipv6',
    steps: [
      { bridges: [bridge('docker0', { ipv4: ['172.17.0.0/16'], ipv6: ['fd00:1::/64'], icc: false })] },
      { ports: [
        { device: 'docker0', protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, ip: '172.17.0.2', port: 80 },
        { device: 'docker0', protocol: 'tcp', hostIp: '::', hostPort: 8080, ip: 'fd00:1::242:ac11:2', port: 80 },
        { device: 'docker0', protocol: 'udp', hostIp: '::1', hostPort: 8091, ip: 'fd00:1::242:ac11:2', port: 53 },
      ] },
      { bridges: [bridge('br-n1', { ipv4: ['172.18.0.0/16'], ipv6: ['fd00:2::/64'] })] },
      { bridges: [bridge('br-n2', { ipv4: ['172.19.0.0/16'], ipv6: ['fd00:3::/64'], internal: true })] },
      { bridges: [bridge('br-n4', { ipv4: ['172.20.0.0/16'] })] },
    ],
    // dockerd has no DOCKER-USER for IPv6 in 20.10, and sends ::1 where no packet from there can go.
    filter: `
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -i br-n2 -o br-n2 -j ACCEPT
-A FORWARD -o br-n1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-n1 -j DOCKER
-A FORWARD -i br-n1 ! -o br-n1 -j ACCEPT
-A FORWARD -i br-n1 -o br-n1 -j ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j DROP
-A DOCKER -d fd00:1::242:ac11:2/128 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d fd00:1::242:ac11:2/128 ! -i docker0 -o docker0 -p udp -m udp --dport 53 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 ! -s fd00:3::/64 -o br-n2 -j DROP
-A DOCKER-ISOLATION-STAGE-1 ! -d fd00:3::/64 -i br-n2 -j DROP
-A DOCKER-ISOLATION-STAGE-1 -i br-n1 ! -o br-n1 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br-n1 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN`,
    nat: `
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d ::1/128 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o br-n1 -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s fd00:2::/64 ! -o br-n1 -j MASQUERADE
-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s fd00:1::/64 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s fd00:1::242:ac11:2/128 -d fd00:1::242:ac11:2/128 -p tcp -m tcp --dport 80 -j MASQUERADE
-A POSTROUTING -s fd00:1::242:ac11:2/128 -d fd00:1::242:ac11:2/128 -p udp -m udp --dport 53 -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:1::242:ac11:2]:80
-A DOCKER -d ::1/128 -p udp -m udp --dport 8091 -j DNAT --to-destination [fd00:1::242:ac11:2]:53`,
  },
];

for (const { name, family, steps, filter, nat } of RECORDED) {
  test(`rules as dockerd makes them: ${name}`, () => {
    const made = after(family, steps);
    assert.deepEqual(dockerds(made.filter), filter.trim().split('\n').sort(byChain));
    assert.deepEqual(dockerds(made.nat), nat.trim().split('\n').sort(byChain));
  });
}

test('beyond dockerd: doors for published ports, and guards for 127.0.0.0/8', () => {
  const steps: RuleSet[] = [
    { bridges: [bridge('br-a', { ipv4: ['172.20.0.0/16'], ipv6: ['fd00:2::/64'], icc: false })] },
    { ports: [{ device: 'br-a', protocol: 'udp', hostIp: '127.0.0.2', hostPort: 53, ip: '172.20.0.2', port: 5353 }] },
    { bridges: [bridge('br-i', { ipv4: ['172.21.0.0/16'], internal: true })] },
  ];
  const { filter, raw } = after('ipv4', steps);
  assert.deepEqual(filter.filter((line) => line.includes('DNAT')), [
    '-A DOCKER -d 172.20.0.2/32 -i br-a -o br-a -p udp -m udp --dport 5353 -m conntrack --ctstate DNAT -j ACCEPT',
    '-A DOCKER-ISOLATION-STAGE-2 -m conntrack --ctstate DNAT -j RETURN',
  ]);
  assert.deepEqual(raw.sort(), [
    '-A PREROUTING -d 127.0.0.0/8 -i br-a -j DROP', '-A PREROUTING -d 127.0.0.0/8 -i br-i -j DROP', '-A PREROUTING -d 127.0.0.2/32 ! -i lo -p udp -m udp --dport 53 -j DROP',
  ]);
  assert.deepEqual(after('ipv6', steps).raw, []);
  assert.deepEqual(desiredRules('ipv4', steps, { ...SURROUNDINGS, guardTable: 'mangle' }).filter(({ table }) => table === 'raw'), []);
  // Without br_netfilter answers within a bridge would miss the place where addresses are changed back.
  const without = desiredRules('ipv4', steps, { ...SURROUNDINGS, bridgeNetfilter: false }).filter(({ chain, text }) => chain === 'POSTROUTING' && text.includes('DNAT')).map(({ text }) => text);
  assert.deepEqual(without, ['-s 172.20.0.0/16 -d 172.20.0.0/16 -o br-a -m conntrack --ctstate DNAT -j MASQUERADE']);
});

test('addresses are spelled as iptables-save spells them', () => {
  const rules = desiredRules('ipv6', [{
    bridges: [bridge('br-a', { ipv6: ['FD00:0:0:2::5/64'] })],
    ports: [{ device: 'br-a', protocol: 'tcp', hostIp: 'FD00::0:1', hostPort: 80, ip: 'FD00:0:0:2::0005', port: 80 }],
  }], SURROUNDINGS).map(({ text }) => text);
  assert.deepEqual(rules.filter((text) => /fd00/i.test(text)), [
    '-s fd00:0:0:2::/64 ! -o br-a -j MASQUERADE', '-d fd00:0:0:2::5/128 ! -i br-a -o br-a -p tcp -m tcp --dport 80 -j ACCEPT',
    '-s fd00:0:0:2::5/128 -d fd00:0:0:2::5/128 -p tcp -m tcp --dport 80 -j MASQUERADE', '-d fd00::1/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00:0:0:2::5]:80',
  ]);
});

test('nothing open, nothing wanted; the frame alone once there was something; a rule that two want is there once', () => {
  assert.deepEqual(desiredRules('ipv4', [], SURROUNDINGS), []);
  assert.deepEqual(desiredRules('ipv6', [{ bridges: [bridge('br-a', { ipv4: ['172.20.0.0/16'] })] }], SURROUNDINGS), []);
  assert.equal(desiredRules('ipv4', [], { ...SURROUNDINGS, frame: true }).length, 8);
  const port = { device: 'br-a', protocol: 'tcp', hostIp: '', ip: '172.20.0.2', port: 80 } as const;
  const rules = desiredRules('ipv4', [{ bridges: [bridge('br-a', { ipv4: ['172.20.0.0/16'] })], ports: [{ ...port, hostPort: 1 }, { ...port, hostPort: 2 }] }], SURROUNDINGS);
  assert.equal(new Set(rules.map(keyOf)).size, rules.length);
  assert.equal(rules.filter(({ text }) => text.includes('DNAT --to')).length, 2);
});

test('rules of others keep their order and stay, whatever is opened and closed, and what somebody took away comes back', () => {
  const from = Number(process.env['FUZZ_SEED'] ?? 1);
  for (let seed = from; seed < from + 300; seed++) {
    try { walk(rng(seed)); } catch (error) { throw new Error(`FUZZ_SEED=${seed}`, { cause: error }); }
  }
});

/** Networks and ports come and go in random order, and so do rules of somebody else. */
function walk(random: ReturnType<typeof rng>): void {
  const standing: Standing = new Map();
  const open = new Map<string, RuleSet>();
  let before: Rule[] = [];
  const foreign = new Map<string, string[]>();
  const pick = (count: number) => Math.floor(random() * count);
  for (let n = 0; n < 25; n++) {
    const key = `k${pick(4)}`;
    if (open.has(key) && pick(2) === 0) open.delete(key);
    else if (pick(2) === 0) open.set(key, { bridges: [bridge(key, { ipv4: [`10.${key.slice(1)}.0.0/16`], icc: pick(2) === 0, internal: pick(3) === 0 })] });
    else open.set(key, { ports: [{ device: 'k0', protocol: 'tcp', hostIp: pick(2) === 0 ? '' : '127.0.0.1', hostPort: 80 + pick(3), ip: '10.0.0.2', port: 80 }] });
    const chains = [...standing].flatMap(([table, { chains: found }]) => [...found.keys()].map((chain) => [table, chain] as const));
    const [table, chain] = chains[pick(chains.length)] ?? ['filter', 'FORWARD'];
    const rules = standing.get(table)?.chains.get(chain);
    const mine = foreign.get(`${table} ${chain}`) ?? [];
    if (rules !== undefined && pick(6) === 0) { rules.length = 0; mine.length = 0; } // flushed
    else if (rules !== undefined) {
      rules.splice(pick(rules.length + 1), 0, `-s 192.0.2.${n} -j ACCEPT`);
      mine.splice(0, mine.length, ...rules.filter((rule) => rule.includes('192.0.2.')));
      foreign.set(`${table} ${chain}`, mine);
    }
    const wanted = desiredRules('ipv4', open.values(), { ...SURROUNDINGS, frame: before.length > 0 });
    const aim = { wanted, unwanted: without(before, wanted), closed: pick(2) === 0 };
    play(standing, changesTo(standing, aim));
    assert.equal(changesTo(standing, aim), '');
    for (const [place, kept] of foreign) {
      const [inTable = '', inChain = ''] = place.split(' ');
      assert.deepEqual(standing.get(inTable)?.chains.get(inChain)?.filter((rule) => rule.includes('192.0.2.')), kept, place);
    }
    const ours = [...standing].flatMap(([inTable, { chains: found }]) => [...found].flatMap(([inChain, texts]) => texts.filter((text) => !text.includes('192.0.2.')).map((text) => `${inTable} ${inChain} ${text}`)));
    assert.deepEqual(ours.sort(), wanted.map(keyOf).sort());
    if (wanted.length > 0) assert.deepEqual(standing.get('filter')?.chains.get('FORWARD')?.slice(0, 2), ['-j DOCKER-USER', '-j DOCKER-ISOLATION-STAGE-1']);
    before = wanted;
  }
}

test('what iptables-save says is read in one spelling', () => {
  const standing = parseSave(`# Generated
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [1:2]
[3:4] -A DOCKER -p 6 -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80
-A DOCKER -p 47 -j ACCEPT
COMMIT
`);
  assert.deepEqual(standing, new Map([['nat', {
    policies: new Map([['PREROUTING', 'ACCEPT'], ['DOCKER', undefined]]),
    chains: new Map([['PREROUTING', []], ['DOCKER', ['-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80', '-p 47 -j ACCEPT']]]),
  }]]));
});

test('flows that are stale follow from the rules that went and came', () => {
  const rule = (text: string) => ({ table: 'nat' as const, chain: 'DOCKER', text });
  assert.deepEqual(staleFlows({
    gone: [rule('-p tcp -m tcp --dport 1 -j DNAT --to-destination 10.0.0.2:80'), rule('-p udp -m udp --dport 1 -j DNAT --to-destination [fd00::2]:80'), rule('-j RETURN')],
    fresh: [rule('-p tcp -m tcp --dport 5 -j DNAT --to-destination 10.0.0.2:80'), rule('-d 10.9.9.9/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.2:80')],
  }), { addresses: ['10.0.0.2', 'fd00::2'], udpPorts: [53] });
});
