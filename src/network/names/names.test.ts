import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { closeSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { dig, decodeReply, encodeQuery, encodeReply, sendDatagram, sendOverTcp, startDnsServer } from '../../../test/kit/dns.ts';
import { openNetns } from '../../../test/kit/netns.ts';
import { until } from '../../../test/kit/poll.ts';
import { openLinux, type NetNamespace, type Programs } from '../../kernel/index.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import type { Fields, Log } from '../../lib/log.ts';
import { openNames, type Names, type NamesNeeds } from './names.ts';
import { readQuery } from './message.ts';
import { ask } from './upstream.ts';
import type { ZoneEndpoint } from './zone.ts';

const kernel = openLinux({ selfCommand: [process.execPath] });
const stack = new AsyncDisposableStack();
/** The machine, and a container on a bridge of it; both see each other only. */
let host: NetNamespace, inside: NetNamespace;
let hostFile = '';
const OUTSIDE = '10.99.0.1', OUTSIDE_TOO = '10.99.0.2', OUTSIDE_6 = 'fd99::1';

const address = (text: string) => Buffer.from(text.split('.').map(Number));

before(() => {
  const [machine, container] = [stack.use(openNetns()), stack.use(openNetns())];
  host = stack.use(kernel.net.ofPath(machine.path));
  inside = stack.use(kernel.net.ofPath(container.path));
  host.addVeth({ name: 'veth0', peer: { name: 'eth0', namespace: inside } });
  stack.defer(() => { host.deleteLink('veth0'); });
  for (const [namespace, link, addresses] of [[host, 'veth0', [`${OUTSIDE}/24`, `${OUTSIDE_TOO}/24`, `${OUTSIDE_6}/64`]], [inside, 'eth0', ['10.99.0.9/24', 'fd99::9/64']]] as const) {
    namespace.setLink(link, { up: true });
    for (const each of addresses) namespace.addAddress(link, each);
  }
});
after(() => stack.disposeAsync());

function openTestNames(needs: Partial<NamesNeeds> = {}, { settled = true } = {}): { names: Names; said: string[] } & AsyncDisposable {
  const said: string[] = [];
  const put = (message: string, _fields?: Fields) => { said.push(message); };
  const log: Log = { debug() {}, info: put, warn: put, error: put, with: () => log };
  const names = openNames({ log, clock: systemClock, settings: { dns: [], dnsOptions: [] }, hostNamespace: host, programs: kernel.programs, readHostFile: (path) => (path === '/etc/resolv.conf' ? hostFile : undefined), ...needs });
  if (settled) names.settle();
  return { names, said, [Symbol.asyncDispose]: async () => { names.end(); await flush(); } };
}

/** The namespace is used again. */
async function flush(): Promise<void> { for (const program of ['iptables', 'iptables-legacy']) await inside.run([program, '-t', 'nat', '-F']); }

const box = (more: { dns?: readonly string[]; dnsOptions?: readonly string[]; adopted?: boolean } = {}) => ({ id: 'a'.repeat(64), namespace: inside, dns: [], dnsOptions: [], adopted: false, ...more });
const place = (names: readonly string[], more: Partial<ZoneEndpoint> = {}): ZoneEndpoint => ({ networkId: 'n1', networkName: 'net1', ipv4: '10.99.0.9', ipv6: 'fd99::9', names, links: new Map(), internal: false, ...more });
/** Every server that is asked answers with this address. */
const serve = (namespace: NetNamespace, at: string, data: string) => startDnsServer(namespace, at, (message) => encodeReply(message, { data: [address(data)] }));
const first = async (name: string) => (await dig(inside, name)).answers[0]?.data;
const openFds = () => readdirSync('/proc/self/fd').length;

test('a container is answered at 127.0.0.11 over UDP and TCP, and others are asked for nothing of it', async () => {
  hostFile = `nameserver ${OUTSIDE}\n`;
  await using server = await serve(host, OUTSIDE, '9.9.9.9');
  await using world = openTestNames();
  const { names } = world;
  names.join('a'.repeat(64), place(['web', 'aaaaaaaaaaaa', 'app']));
  names.join('b', place(['db', 'app'], { ipv4: '10.99.0.8', ipv6: '' }));
  await names.open(box());
  assert.deepEqual((await dig(inside, 'WEB.net1')).answers, [{ name: 'WEB.net1', type: 1, ttl: 600, data: '10.99.0.9' }]);
  assert.deepEqual((await dig(inside, { name: 'web', type: 'AAAA' })).answers.map(({ data }) => data), ['fd99:0000:0000:0000:0000:0000:0000:0009']);
  for (const type of ['AAAA', 'MX', 'TXT', 'HTTPS', 'ANY'] as const) assert.deepEqual(await dig(inside, { name: 'db', type }).then(({ rcode, answers }) => [rcode, answers]), [0, []], type);
  assert.deepEqual((await dig(inside, { name: '8.0.99.10.in-addr.arpa', type: 'PTR' })).answers[0]?.data, 'db.net1');
  const orders = new Set<string>();
  await until('both orders of two addresses', async () => orders.add((await dig(inside, 'app')).answers.map(({ data }) => data).join(' ')).size === 2);
  assert.deepEqual([...orders].toSorted(), ['10.99.0.8 10.99.0.9', '10.99.0.9 10.99.0.8']);
  const questions = ['web', 'db', 'example.test', 'app.net1'].map((name, id) => encodeQuery({ name, id }));
  const replies = (await sendOverTcp(inside, questions)).map(decodeReply).toSorted((a, b) => a.id - b.id);
  assert.deepEqual(replies.map(({ id, answers }) => [id, answers.length]), [[0, 1], [1, 1], [2, 1], [3, 2]]);
  assert.equal(await first('web.net2'), '9.9.9.9');
  names.rename('b', 'n1', ['dbase']);
  assert.deepEqual([await first('db'), await first('dbase')], ['9.9.9.9', '10.99.0.8']);
  names.leave('b', 'n1');
  assert.equal(await first('dbase'), '9.9.9.9');
  assert.deepEqual(server.asked, ['tcp example.test', 'udp web.net2', 'udp db', 'udp dbase']);
});

test('a client that asks again from the same port asks the resolver of now', async () => {
  const query = encodeQuery({ name: 'web' });
  for (const ipv4 of ['10.99.0.9', '10.99.0.10']) {
    await using world = openTestNames();
    world.names.join('a'.repeat(64), place(['web'], { ipv4 }));
    await world.names.open(box());
    assert.equal(decodeReply(await sendDatagram(inside, query, { fromPort: 9999 }) ?? Buffer.alloc(12)).answers[0]?.data, ipv4);
  }
});

test('what is not known here is passed on as it came, each time from another port under another number', async () => {
  hostFile = `nameserver ${OUTSIDE}\n`;
  const many = Array.from({ length: 100 }, (_, i) => address(`10.0.0.${i}`));
  await using server = await startDnsServer(host, OUTSIDE, (message) => encodeReply(message, { data: many, ttl: 60 }));
  await using world = openTestNames();
  world.names.join('a'.repeat(64), place(['web']));
  await world.names.open(box());
  const query = encodeQuery({ name: 'Big.Example.test', ednsBytes: 4096, flags: 0x0130, id: 777 });
  const reply = decodeReply(await sendDatagram(inside, query) ?? Buffer.alloc(0));
  assert.deepEqual([reply.id, reply.answers.length, reply.answers[0]?.ttl, reply.questions[0]?.name], [777, 100, 60, 'Big.Example.test']);
  assert.deepEqual(server.seen[0]?.message.subarray(2), query.subarray(2), 'EDNS, flags and spelling');
  assert.equal(server.seen[0]?.address, '10.99.0.9', 'from the container');
  const cut = await dig(inside, 'big.example.test');
  assert.deepEqual([cut.truncated, cut.answers], [true, []], 'more than a client without EDNS takes');
  assert.equal((await sendOverTcp(inside, [encodeQuery({ name: 'big.example.test' })])).map(decodeReply)[0]?.answers.length, 100);
  for (let n = 0; n < 8; n++) await dig(inside, `n${n}.example.test`);
  assert.ok(new Set(server.seen.map(({ port }) => port)).size >= 9, 'ports');
  assert.ok(new Set(server.seen.map(({ message }) => message.readUInt16BE(0))).size >= 9, 'numbers');
});

test('servers are asked in their order until one settles it, and nobody is believed who was not asked', async () => {
  // Nobody's patience ends before all that is going to answer has done so, on however busy a machine.
  const patience = new Set<() => void>();
  const clock: Clock = { ...systemClock, after: (_ms, run) => { patience.add(run); return { [Symbol.dispose]: () => { patience.delete(run); } }; } };
  const endPatience = () => { const due = [...patience]; for (const run of due) run(); };
  const codes: Record<string, number> = { failed: 0x8182, refused: 0x8185, unknown: 0x8183, none: 0x8583, all: 0x8182 };
  await using one = await startDnsServer(host, OUTSIDE, (message, { name }) => {
    const [word = ''] = name.split('.');
    if (word === 'silent') return undefined;
    const reply = encodeReply(message, { flags: codes[word] ?? 0x8180, data: codes[word] ? [] : [address('1.1.1.1')] });
    if (word === 'number') reply.writeUInt16BE(reply.readUInt16BE(0) ^ 1, 0);
    return word === 'question' ? encodeReply(encodeQuery({ name: 'other.test', id: reply.readUInt16BE(0) }), { data: [address('6.6.6.6')] }) : reply;
  });
  await using two = await startDnsServer(host, OUTSIDE_TOO, (message, { name }) => encodeReply(message, name.startsWith('all') ? { flags: 0x8185 } : { data: [address('2.2.2.2')] }));
  hostFile = `nameserver ${OUTSIDE}\nnameserver ${OUTSIDE_TOO}\n`;
  await using world = openTestNames({ clock });
  world.names.join('a'.repeat(64), place(['web']));
  await world.names.open(box());
  const outcome = async (name: string) => { const { rcode, answers } = await dig(inside, name); return answers[0]?.data ?? rcode; };
  const late = Promise.all(['silent.t', 'number.t', 'question.t'].map(outcome));
  assert.deepEqual(await Promise.all(['fine.t', 'failed.t', 'refused.t', 'unknown.t', 'none.t', 'all.t'].map(outcome)), ['1.1.1.1', '2.2.2.2', '2.2.2.2', '2.2.2.2', 3, 5]);
  await until('all to be asked', () => one.asked.length === 9);
  endPatience();
  assert.deepEqual(await late, ['2.2.2.2', '2.2.2.2', '2.2.2.2']);
  assert.deepEqual([one.asked.length, two.asked.toSorted()], [9, ['all', 'failed', 'number', 'question', 'refused', 'silent', 'unknown'].map((name) => `udp ${name}.t`)]);
  // Nobody listens at the first (an error at once), nobody is at the second (silence), and a fourth is not asked.
  world.names.close('a'.repeat(64));
  world.names.join('a'.repeat(64), place(['web']));
  await world.names.open(box({ adopted: true, dns: ['10.99.0.9', '10.99.0.77', '10.99.0.9', OUTSIDE] }));
  for (const ask of [() => dig(inside, 'fine.t'), async () => decodeReply((await sendOverTcp(inside, [encodeQuery({ name: 'fine.t' })]))[0] ?? Buffer.alloc(0))]) {
    let told: number | undefined;
    const asking = ask().then(({ rcode }) => { told = rcode; });
    await until('an answer', () => { endPatience(); return told !== undefined; });
    await asking;
    assert.equal(told, 2);
  }
});

test('a server is asked from where it is reached, and a network without a way out asks nobody through the host', async () => {
  await using local = await serve(host, '127.0.0.1', '1.2.7.1');
  await using six = await serve(host, OUTSIDE_6, '1.2.6.6');
  await using own = await serve(inside, '127.0.0.1', '1.2.0.9');
  await using world = openTestNames();
  const { names } = world;
  const ask = async (file: string, endpoint: Partial<ZoneEndpoint>, more: Parameters<typeof box>[0] = {}) => {
    hostFile = file;
    await using fresh = openTestNames();
    fresh.names.join('a'.repeat(64), place(['web'], endpoint));
    await fresh.names.open(box(more));
    const { rcode, answers } = await dig(inside, 'example.test');
    return answers[0]?.data ?? rcode;
  };
  assert.equal(await ask('nameserver 127.0.0.1\n', {}), '1.2.7.1', 'on the loopback of the host');
  assert.equal(await ask('nameserver 127.0.0.1\n', { internal: true }), 2);
  assert.deepEqual(local.asked.length, 1, 'nothing leaks');
  assert.equal(await ask('', {}, { dns: ['127.0.0.1'] }), '1.2.0.9', 'named by the user: on the loopback of the container');
  assert.equal(await ask(`nameserver ${OUTSIDE_6}\n`, {}), '1.2.6.6');
  assert.equal(await ask(`nameserver ${OUTSIDE_6}\n`, { ipv6: '' }), '1.2.6.6', 'through the host');
  assert.deepEqual(six.seen.map(({ address: from }) => from), ['fd99::9', OUTSIDE_6]);
  assert.equal(await ask(`nameserver ${OUTSIDE_6}\n`, { internal: true }, { dns: [OUTSIDE_6] }), '1.2.6.6', 'what is in reach of an internal network');
  assert.equal(own.asked.length, 1);
  names.end();
});

test('the host\'s file is read again, systemd-resolved is looked behind, and names without a dot stay here for who asks for dots', async () => {
  const files: Record<string, string> = { '/etc/resolv.conf': 'nameserver 127.0.0.53\n', '/run/systemd/resolve/resolv.conf': `nameserver ${OUTSIDE}\n` };
  let now = 0;
  await using one = await serve(host, OUTSIDE, '1.1.1.1');
  await using two = await serve(host, OUTSIDE_TOO, '2.2.2.2');
  await using world = openTestNames({ readHostFile: (path) => files[path], clock: { ...systemClock, monotonicMs: () => now } });
  world.names.join('a'.repeat(64), place(['web']));
  await world.names.open(box());
  assert.equal(await first('example.test'), '1.1.1.1');
  files['/etc/resolv.conf'] = `nameserver ${OUTSIDE_TOO}\noptions ndots:2\n`;
  now += 1001;
  assert.equal(await first('example.test'), '2.2.2.2');
  assert.equal(await first('alone'), undefined);
  files['/etc/resolv.conf'] = '';
  now += 1001;
  await Promise.race([dig(inside, 'example.test').catch(() => {}), until('the log', () => world.said.length > 0)]);
  assert.deepEqual([world.said, one.asked, two.asked], [['No non-localhost DNS nameservers are left in resolv.conf. Using default external servers'], ['udp example.test'], ['udp example.test']]);
});

test('a later daemon takes the same ports, or mends the rules when they are taken', async () => {
  const rules = async () => (await inside.run(['iptables-save', '-t', 'nat'])).split('\n').filter((line) => line.startsWith('-A'));
  await using world = openTestNames();
  const { names } = world;
  const id = 'a'.repeat(64);
  const again = async (adopted: boolean) => { names.join(id, place(['web'])); await names.open(box({ adopted })); const found = await first('web'); return found; };
  assert.equal(await again(false), '10.99.0.9');
  const written = await rules();
  assert.equal(written.length, 6);
  names.close(id);
  assert.equal(await again(true), '10.99.0.9');
  assert.deepEqual(await rules(), written);
  names.close(id);
  const port = Number(/-p udp .*127\.0\.0\.11:(\d+)/.exec(written.join('\n'))?.[1]);
  const taken = inside.udpSocket({ address: '127.0.0.11', port });
  assert.equal(await again(true), '10.99.0.9');
  const mended = await rules();
  assert.deepEqual([mended.length, mended.some((line) => line.includes(`:${port}`))], [6, false]);
  closeSync(taken.fd);
  names.close(id);
});

test('right after a start nobody is told that nobody has a name before all are known who were there', async () => {
  hostFile = `nameserver ${OUTSIDE}\n`;
  await using server = await serve(host, OUTSIDE, '9.9.9.9');
  await using world = openTestNames({}, { settled: false });
  const { names } = world;
  names.join('a'.repeat(64), place(['web']));
  await names.open(box({ adopted: true }));
  let told = 0;
  const later = Promise.all(['db', 'example.test'].map(async (name) => { const found = await first(name); told++; return found; }));
  const overTcp = sendOverTcp(inside, [encodeQuery({ name: 'db' })]);
  assert.equal(await first('web'), '10.99.0.9', 'who is known is answered at once');
  assert.deepEqual([told, server.asked], [0, []]);
  names.join('b', place(['db'], { ipv4: '10.99.0.8', ipv6: '' }));
  names.settle();
  assert.deepEqual(await later, ['10.99.0.8', '9.9.9.9']);
  assert.equal((await overTcp).map(decodeReply)[0]?.answers[0]?.data, '10.99.0.8');
  assert.deepEqual(server.asked, ['udp example.test']);
  assert.equal(await first('other.test'), '9.9.9.9');
});

test('a question that is given up in the moment in which it goes to the next server harms nobody', async () => {
  const stop = new AbortController();
  const nowhere: NetNamespace = { ...host, udpSocket: () => { throw new Error('no socket'); } };
  const given: NetNamespace = { ...host, udpSocket: (at) => { queueMicrotask(() => stop.abort()); return host.udpSocket(at); } };
  const message = encodeQuery({ name: 'example.test' });
  const { query } = readQuery(message);
  assert.ok(query);
  const servers = [nowhere, given].map((namespace) => ({ address: OUTSIDE, namespace }));
  assert.equal(await ask({ message, question: query.question, servers, transport: 'udp', clock: systemClock, signal: stop.signal }), undefined);
  await new Promise((resolve) => { setImmediate(resolve); }); // a failure would come by now, and end the daemon
});

test('without rules it is answered at port 53 itself, and the log says so', async () => {
  const none: Programs = { find: () => undefined, output: () => { throw new Error('not asked'); } };
  const legacy: Programs = { ...kernel.programs, find: (name) => (name.startsWith('iptables-legacy') ? kernel.programs.find(name) : undefined) };
  for (const [programs, words] of [[none, 1], [legacy, 0]] as const) {
    await using world = openTestNames({ programs });
    world.names.join('a'.repeat(64), place(['web']));
    await world.names.open(box());
    assert.equal(await first('web'), '10.99.0.9');
    assert.equal(world.said.length, words);
  }
});

test('a flood, broken messages and half a message leave nothing behind', async () => {
  hostFile = `nameserver ${OUTSIDE}\n`;
  const atStart = openFds();
  {
    await using _silent = await startDnsServer(host, OUTSIDE, () => undefined);
    const timers = new Set<() => void>();
    await using world = openTestNames({ clock: { ...systemClock, after: (_ms, run) => { timers.add(run); return { [Symbol.dispose]: () => { timers.delete(run); } }; } } });
    world.names.join('a'.repeat(64), place(['web']));
    await world.names.open(box());
    const client = createSocket('udp4');
    const codes: number[] = [];
    client.on('message', (message) => { codes.push(decodeReply(message).rcode); });
    await new Promise<void>((done) => { client.bind({ fd: inside.udpSocket({ address: '0.0.0.0', port: 0 }).fd }, done); });
    const send = (message: Buffer) => new Promise<void>((done) => { client.send(message, 53, '127.0.0.11', () => { done(); }); });
    for (let batch = 0; batch < 15; batch++) {
      for (let n = 0; n < 100; n++) await send(encodeQuery({ name: `n${n}.test`, id: n }));
      assert.equal(await first('web'), '10.99.0.9', 'its own names are answered meanwhile, and after all that came before');
    }
    for (const junk of ['00', '4242010000010000000000000377', 'ff'.repeat(600)]) await send(Buffer.from(junk, 'hex'));
    await until('those beyond the limit to be refused', () => codes.length === 477);
    assert.equal(timers.size, 1024);
    for (let told = 477; told < 1501; told += 64) {
      for (const run of [...timers].slice(0, 64)) run();
      await until('those to be told', () => codes.length === told + 64);
    }
    assert.deepEqual([codes.filter((code) => code === 2).length, codes.filter((code) => code === 1).length, world.said.length], [1500, 1, 1]);
    client.close();
    const half = sendOverTcp(inside, [Buffer.from('4242', 'hex')]);
    world.names.end();
    assert.deepEqual(await half.catch(() => []), []);
  }
  await until('every descriptor to be closed', () => openFds() === atStart);
});
