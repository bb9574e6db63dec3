// The firewall of a real network namespace under both programs of iptables: what others have there stays, what they take away comes back, and whatever fails or dies leaves it whole. Needs root.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openNetns, type Netns } from '../../../test/kit/netns.ts';
import { openLinux, type NetNamespace } from '../../kernel/index.ts';
import { silentLog } from '../../lib/log.ts';
import { openFirewall, type BridgeRules, type Firewall, type PortRule, type RuleSet } from './index.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const { net, programs } = openLinux({ selfCommand: [process.execPath] });
const BACKENDS = ['nft', 'legacy'] as const;
type Backend = typeof BACKENDS[number];

interface World extends AsyncDisposable {
  netns: Netns;
  notePath: string;
  /** Programs that were run in it by the firewalls, by their names. */
  ran: string[];
  open(more?: Partial<Parameters<typeof openFirewall>[0]>): Promise<Firewall>;
  /** As the program for IPv4 says it, without what every empty machine has. */
  rules(table?: string): Promise<string[]>;
  /** One command of iptables. */
  by(...words: string[]): Promise<string>;
}

async function openWorld(backend: Backend): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const scratch = mkdtempSync(join(tmpdir(), 'vq-firewall-'));
  undo.defer(() => rmSync(scratch, { recursive: true }));
  const netns = undo.use(openNetns());
  const host = undo.use(net.ofPath(netns.path));
  const notePath = join(scratch, 'network', 'firewall.json');
  const ran: string[] = [];
  const watched: NetNamespace = new Proxy(host, {
    get(target, name) {
      if (name === 'run') return (command: [string, ...string[]], input?: string) => { ran.push(command[0].replace(/.*\//, '')); return target.run(command, input); };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const kept = undo.move();
  return {
    netns, notePath, ran,
    open: (more = {}) => openFirewall({ net: watched, programs, notePath, log: silentLog, settings: { iptables: true, ip6tables: true }, names: { ipv4: `iptables-${backend}`, ipv6: `ip6tables-${backend}` }, ...more }),
    rules: async (table = 'filter') => (await netns.ok(`iptables-${backend}-save`, '-t', table)).split('\n').filter((line) => /^(-A|:.* DROP)/.test(line)).map((line) => line.replace(/ \[.*/, '')),
    by: (...words) => netns.ok(`iptables-${backend}`, ...words),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function onBoth(name: string, check: (world: World, backend: Backend) => Promise<void>): void {
  for (const backend of BACKENDS) {
    test(`${backend}: ${name}`, { skip }, async () => {
      await using world = await openWorld(backend);
      await check(world, backend);
    });
  }
}

const bridge = (device: string, more: Partial<BridgeRules> = {}): { bridges: BridgeRules[] } => ({ bridges: [{ device, ipv4: [`10.${device.slice(2)}.0.0/24`], ipv6: [], internal: false, icc: true, masquerade: true, ...more }] });
const port = (hostPort: number, more: Partial<PortRule> = {}): { ports: PortRule[] } => ({ ports: [{ device: 'br1', protocol: 'tcp', hostIp: '', hostPort, ip: '10.1.0.2', port: 80, ...more }] });
const restores = (ran: readonly string[]): string[] => ran.filter((name) => name.endsWith('-restore'));
const forwarded = async (world: World): Promise<string[]> => (await world.rules()).filter((line) => line.startsWith('-A FORWARD')).map((line) => line.slice('-A FORWARD '.length));

onBoth('what is asked for together goes in by one call per family, and what is there already by none', async (world) => {
  const firewall = await world.open();
  assert.equal(world.ran.length, 2, 'which program it is'); // and nothing is made before it is wanted
  world.ran.length = 0;
  await firewall.settle();
  assert.deepEqual([await world.rules(), restores(world.ran)], [[], []]);
  await Promise.all([firewall.put('n1', bridge('br1')), firewall.put('n2', bridge('br2')), firewall.put('c1', port(80)), firewall.put('c2', port(81)), firewall.closeForward('ipv4')]);
  assert.equal(restores(world.ran).length, 1);
  assert.equal((await world.rules('nat')).filter((line) => line.includes('--to-destination')).length, 2);
  assert.equal((await world.rules()).includes(':FORWARD DROP'), true);
  await firewall.put('n3', bridge('br3', { ipv6: ['fd00:3::/64'] }));
  assert.deepEqual(restores(world.ran).map((name) => name.replace(/-.*/, '')), ['iptables', 'iptables', 'ip6tables']);
  world.ran.length = 0;
  await firewall.put('c2', port(81));
  await firewall.drop('never put');
  assert.deepEqual(world.ran, []);
  // Two keys that need the same rule: it goes with the last one.
  await firewall.put('c3', port(82));
  for (const [key, left] of [['c1', 2], ['c2', 1], ['c3', 0]] as const) {
    await firewall.drop(key);
    assert.deepEqual([(await world.rules()).filter((line) => line.includes('--dport 80')).length, (await world.rules('nat')).filter((line) => line.includes('--to-destination')).length], [left === 0 ? 0 : 1, left]);
  }
});

onBoth('every kind of rule is known again as the program spells it', async (world) => {
  const sets: Array<[string, RuleSet]> = [
    ['n1', bridge('br1', { ipv6: ['fd00:0:0:1::/64'] })], ['n2', bridge('br2', { ipv6: ['fd00:2::/64'], icc: false, masquerade: false })], ['n3', bridge('br3', { ipv6: ['fd00:3::/64'], internal: true })],
    ['links', { links: [{ device: 'br2', from: '10.2.0.2', to: '10.2.0.3', port: 53, protocol: 'udp' }] }],
    ...(['tcp', 'udp', 'sctp'] as const).flatMap((protocol) => (['', '127.0.0.2', '192.0.2.1', '::', '::1', 'fd00::0:5'] as const).map((hostIp, n): [string, RuleSet] => (
      [`${protocol} ${n}`, port(1000 + n, { protocol, hostIp, device: n % 2 === 0 ? 'br1' : 'br2', ip: hostIp.includes(':') ? 'fd00:0:0:1::2' : '10.1.0.2' })]))),
  ];
  for (const round of ['made', 'known']) {
    const firewall = await world.open();
    world.ran.length = 0;
    await Promise.all([...sets.map(([key, set]) => firewall.put(key, set)), firewall.settle()]);
    assert.equal(restores(world.ran).length, round === 'made' ? 2 : 0, round);
  }
  assert.equal((await world.rules('nat')).filter((line) => line.includes('-p sctp -m sctp --dport')).length, 4);
});

onBoth('rules of others stay before, between and behind ours, and DOCKER-USER is first', async (world) => {
  await world.by('-N', 'DOCKER-USER');
  await world.by('-A', 'DOCKER-USER', '-s', '192.0.2.66', '-j', 'DROP');
  await world.by('-A', 'FORWARD', '-s', '192.0.2.1', '-j', 'REJECT');
  const firewall = await world.open();
  await firewall.put('n1', bridge('br1', { icc: false }));
  await world.by('-I', 'FORWARD', '1', '-s', '192.0.2.2', '-j', 'ACCEPT');
  await world.by('-I', 'FORWARD', '5', '-s', '192.0.2.3', '-j', 'ACCEPT');
  await world.by('-A', 'DOCKER', '-s', '192.0.2.4', '-j', 'ACCEPT');
  await world.by('-t', 'nat', '-I', 'POSTROUTING', '1', '-s', '192.0.2.5', '-j', 'ACCEPT');
  await firewall.put('n2', bridge('br2'));
  await firewall.put('c1', port(80));
  const reject = '-s 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable';
  const bridge2 = ['-o br2 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', '-o br2 -j DOCKER', '-i br2 ! -o br2 -j ACCEPT', '-i br2 -o br2 -j ACCEPT'];
  const bridge1 = ['-o br1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', '-s 192.0.2.3/32 -j ACCEPT', '-o br1 -j DOCKER', '-i br1 ! -o br1 -j ACCEPT'];
  const first = ['-j DOCKER-USER', '-j DOCKER-ISOLATION-STAGE-1'];
  assert.deepEqual(await forwarded(world), [...first, ...bridge2, '-s 192.0.2.2/32 -j ACCEPT', ...bridge1, reject, '-i br1 -o br1 -j DROP']);
  for (const key of ['c1', 'n1', 'n2']) await firewall.drop(key);
  assert.deepEqual(await forwarded(world), [...first, '-s 192.0.2.2/32 -j ACCEPT', '-s 192.0.2.3/32 -j ACCEPT', reject]);
  const left = await world.rules();
  assert.deepEqual(left.filter((line) => /^-A DOCKER(-USER)? /.test(line)), ['-A DOCKER -s 192.0.2.4/32 -j ACCEPT', '-A DOCKER-USER -s 192.0.2.66/32 -j DROP', '-A DOCKER-USER -j RETURN']);
  assert.equal((await world.rules('nat'))[0], '-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER');
});

onBoth('what somebody takes away comes back with the next change: a rule, a chain, a table, everything', async (world, backend) => {
  const firewall = await world.open();
  await Promise.all([firewall.put('n1', bridge('br1')), firewall.put('c1', port(80)), firewall.closeForward('ipv4'), firewall.settle()]);
  const all = async () => [await world.rules(), await world.rules('nat'), await world.rules('raw')];
  const whole = await all();
  const harms: Array<() => Promise<unknown>> = [
    () => world.by('-D', 'FORWARD', '-o', 'br1', '-j', 'DOCKER'),
    () => world.by('-F', 'FORWARD'),
    () => world.by('-P', 'FORWARD', 'ACCEPT'),
    async () => { await world.by('-t', 'nat', '-F'); await world.by('-t', 'nat', '-X'); },
    // As a firewall's front end does when it reloads: everything anew, without us.
    () => world.netns.run([`iptables-${backend}-restore`], { input: ['raw', 'nat', 'filter'].map((table) => `*${table}\n${table === 'filter' ? ':FORWARD ACCEPT [0:0]\n' : ''}COMMIT\n`).join('') }),
  ];
  for (const [n, harm] of harms.entries()) {
    await harm();
    assert.notDeepEqual(await all(), whole, `harm ${n}`);
    await firewall.put('c2', port(90 + n, { ip: '10.1.0.9' }));
    await firewall.drop('c2');
    assert.deepEqual(await all(), whole, `harm ${n}`);
  }
  // A rule that is to go and is gone already is no failure either.
  await world.by('-t', 'nat', '-F');
  await firewall.drop('c1');
  assert.deepEqual((await world.rules('nat')).length, (whole[1]?.length ?? 0) - 2);
});

onBoth('a change that fails changes nothing, nor does it harm what is asked for beside it', async (world) => {
  const firewall = await world.open();
  await firewall.put('n1', bridge('br1', { ipv6: ['fd00:1::/64'] }));
  const all = async () => [await world.rules(), await world.rules('nat'), await world.rules('raw'), world.netns.rules()];
  const before = await all();
  // The filter's part is fine and in the kernel already when the address in nat is refused.
  const bad = { ports: [...port(80).ports, ...port(81, { ip: '10.1.0.2000' }).ports] };
  await assert.rejects(firewall.put('c1', bad), /^EngineError: the firewall refused the rules: .*restore.*10\.1\.0\.2000/s);
  assert.deepEqual(await all(), before);
  // IPv4 has been changed when IPv6 fails.
  await assert.rejects(firewall.put('c1', { ports: [...port(80).ports, ...port(81, { ip: 'fd00::zz' }).ports] }), /restore/);
  assert.deepEqual(await all(), before);
  const outcomes = await Promise.allSettled([firewall.put('c1', bad), firewall.put('c2', port(82)), firewall.put('n2', bridge('br2'))]);
  assert.deepEqual(outcomes.map(({ status }) => status), ['rejected', 'fulfilled', 'fulfilled']);
  assert.deepEqual((await world.rules('nat')).filter((line) => line.includes('--to-destination')), ['-A DOCKER -p tcp -m tcp --dport 82 -j DNAT --to-destination 10.1.0.2:80']);
});

onBoth('the next daemon finds what is there, and takes away what nobody wants any more', async (world) => {
  const first = await world.open();
  await Promise.all([first.put('n1', bridge('br1')), first.put('n2', bridge('br2')), first.put('c1', port(80)), first.put('c2', port(81, { ip: '10.1.0.3' })), first.closeForward('ipv4')]);
  await first.settle();
  const whole = await world.rules();
  await world.by('-A', 'DOCKER', '-s', '192.0.2.4', '-j', 'ACCEPT');
  await world.by('-P', 'FORWARD', 'ACCEPT');
  // It died while it was about to put one more: noted, and half of it in the kernel.
  const note = JSON.parse(readFileSync(world.notePath, 'utf8')) as { ipv4: { rules: string[] } };
  note.ipv4.rules.push('nat DOCKER -p tcp -m tcp --dport 83 -j DNAT --to-destination 10.1.0.4:80', 'filter DOCKER -d 10.1.0.4/32 ! -i br1 -o br1 -p tcp -m tcp --dport 80 -j ACCEPT');
  writeFileSync(world.notePath, JSON.stringify(note));
  await world.by('-t', 'nat', '-A', 'DOCKER', '-p', 'tcp', '--dport', '83', '-j', 'DNAT', '--to-destination', '10.1.0.4:80');

  const second = await world.open();
  world.ran.length = 0;
  await second.put('n1', bridge('br1'));
  await second.put('c1', port(80));
  assert.equal((await world.rules('nat')).filter((line) => line.includes('--to-destination')).length, 3, 'nothing goes before it is known who is left');
  await second.settle();
  assert.deepEqual((await world.rules('nat')).filter((line) => line.includes('--to-destination')), ['-A DOCKER -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.2:80']);
  const mine = (line: string) => !line.includes('br2') && !line.includes('10.1.0.3');
  assert.deepEqual((await world.rules()).filter((line) => !line.includes('192.0.2.4')), whole.filter(mine));
  assert.equal(restores(world.ran).length, 2); // FORWARD was closed again with the first change, and what was too much went with the last

  // A boot without the note, and one with a note that makes no sense: what stands is used and not doubled.
  for (const text of [undefined, '{"format":1,"ipv4":', '{"format":1,"ipv4":{"rules":["x"]},"ipv6":{"rules":[]}}']) {
    if (text === undefined) rmSync(world.notePath);
    else writeFileSync(world.notePath, text);
    const before = await world.rules();
    const next = await world.open();
    await Promise.all([next.put('n1', bridge('br1')), next.put('c1', port(80)), next.settle()]);
    assert.deepEqual(await world.rules(), before);
  }
});

test('a removal that the program refuses is made up for with the next change; a kernel without the table raw guards in mangle', { skip }, async () => {
  await using world = await openWorld('nft');
  const folder = dirname(dirname(world.notePath));
  const broken = join(folder, 'broken');
  const script = (name: string, condition: string) => {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\nif ${condition}; then echo "out of order" >&2; exit 1; fi\nexec ${name} "$@"\n`, { mode: 0o755 });
    return path;
  };
  const scripts: Readonly<Record<string, string>> = { 'iptables-nft-save': script('iptables-nft-save', '[ "$*" = "-t raw" ]'), 'iptables-nft-restore': script('iptables-nft-restore', `[ -e ${broken} ]`) };
  const firewall = await world.open({ programs: { ...programs, find: (name) => scripts[name] }, settings: { iptables: true, ip6tables: false } });
  await Promise.all([firewall.put('n1', bridge('br1')), firewall.put('c1', port(80)), firewall.put('c2', port(81))]);
  assert.deepEqual([await world.rules('raw'), await world.rules('mangle')], [[], ['-A PREROUTING -d 127.0.0.0/8 -i br1 -j DROP']]);
  writeFileSync(broken, '');
  await assert.rejects(firewall.drop('c1'), /the firewall refused the rules: .*out of order/);
  const targets = async () => (await world.rules('nat')).filter((line) => line.includes('--to-destination')).map((line) => / --dport (\d+)/.exec(line)?.[1]);
  assert.deepEqual(await targets(), ['80', '81']);
  rmSync(broken);
  await firewall.put('c3', port(82));
  assert.deepEqual(await targets(), ['81', '82']);
});

test('without iptables nothing is called, and without the program nothing but a note is made', { skip }, async () => {
  await using world = await openWorld('nft');
  const off = await world.open({ settings: { iptables: false, ip6tables: false } });
  const missing = await world.open({ names: { ipv4: 'no-tables', ipv6: 'no-tables6' } });
  for (const firewall of [off, missing]) {
    await Promise.all([firewall.put('n1', bridge('br1')), firewall.closeForward('ipv4'), firewall.put('c1', port(80)), firewall.drop('c1'), firewall.settle()]);
  }
  assert.deepEqual([off.facts, missing.facts], [
    { firewall: 'none', note: 'switched off (--iptables=false)' }, { firewall: 'none', note: 'no-tables-restore is not installed; no-tables6-restore is not installed' },
  ]);
  assert.deepEqual([world.ran, existsSync(world.notePath)], [[], false]);
});
