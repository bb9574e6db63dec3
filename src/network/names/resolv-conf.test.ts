import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeResolvConf, embeddedResolvConf, hostResolvConf, parseResolvConf, wantsDots } from './resolv-conf.ts';

const PLAIN = '# a comment\nsearch ex.test corp.test\nnameserver 10.99.0.53\nnameserver 10.99.0.54\noptions timeout:2 attempts:3\n';
const MIXED = 'nameserver 127.0.0.53\nnameserver 10.1.1.1 # hi\nnameserver fe80::1%eth0\nnameserver fd00::1\nnameserver ::1\noptions edns0 trust-ad\noptions ndots:5\nsearch x\nsearch y z';
const NOTHING = { dns: [], dnsSearch: [], dnsOptions: [] };
const SERVERS = { ...NOTHING, dns: ['1.2.3.4', '127.0.0.1'] };
const REST = { ...NOTHING, dnsSearch: ['s.one', 's.two'], dnsOptions: ['ndots:3', 'rotate'] };
const DOT = { ...NOTHING, dnsSearch: ['.'] };

// Each of these texts is what dockerd 20.10 writes, but for IPv6 servers beside 127.0.0.11: there they would be asked for names of containers.
test('texts are those of dockerd', () => {
  assert.equal(embeddedResolvConf({ host: PLAIN, ...NOTHING }), 'search ex.test corp.test\nnameserver 127.0.0.11\noptions timeout:2 attempts:3 ndots:0\n');
  assert.equal(embeddedResolvConf({ host: PLAIN, ...SERVERS }), 'search ex.test corp.test\nnameserver 127.0.0.11\noptions timeout:2 attempts:3 ndots:0\n');
  assert.equal(embeddedResolvConf({ host: PLAIN, ...REST }), 'search s.one s.two\nnameserver 127.0.0.11\noptions ndots:3 rotate\n');
  assert.equal(embeddedResolvConf({ host: MIXED, ...DOT }), 'nameserver 127.0.0.11\noptions ndots:5\n');
  assert.equal(embeddedResolvConf({ host: '', ...NOTHING }), 'nameserver 127.0.0.11\noptions ndots:0\n');
  for (const write of [hostResolvConf, (wish: Parameters<typeof hostResolvConf>[0]) => bridgeResolvConf(wish, false).text]) {
    assert.equal(write({ host: PLAIN, ...NOTHING }), PLAIN);
    assert.equal(write({ host: PLAIN, ...SERVERS }), 'search ex.test corp.test\nnameserver 1.2.3.4\nnameserver 127.0.0.1\noptions timeout:2 attempts:3\n');
    assert.equal(write({ host: PLAIN, ...DOT }), 'nameserver 10.99.0.53\nnameserver 10.99.0.54\noptions timeout:2 attempts:3\n');
    assert.equal(write({ host: MIXED, ...REST }), 'search s.one s.two\nnameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver fe80::1%eth0\nnameserver fd00::1\nnameserver ::1\noptions ndots:3 rotate\n');
  }
  assert.equal(hostResolvConf({ host: MIXED, ...NOTHING }), MIXED);
});

test('on the default bridge the servers of the host\'s loopback are of no use', () => {
  const bridge = (host: string, ipv6 = false) => bridgeResolvConf({ host, ...NOTHING }, ipv6);
  assert.deepEqual(bridge(MIXED), { text: 'nameserver 10.1.1.1 # hi\noptions edns0 trust-ad\noptions ndots:5\nsearch x\nsearch y z', usesDefaults: false });
  assert.deepEqual(bridge(MIXED, true).text.split('\n').slice(0, 3), ['nameserver 10.1.1.1 # hi', 'nameserver fe80::1%eth0', 'nameserver fd00::1']);
  assert.deepEqual(bridge('domain foo\nnameserver 127.0.0.1\nsearch a.b\n; c2\n'), { text: 'domain foo\nsearch a.b\n; c2\n\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n', usesDefaults: true });
  assert.deepEqual(bridge(''), { text: '\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n', usesDefaults: true });
  assert.match(bridge('nameserver 127.0.0.1\n', true).text, /8\.8\.4\.4\nnameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844\n$/);
});

test('what is no server is none, and later lines win', () => {
  assert.deepEqual(parseResolvConf('nameserver foo\nnameserver 10.1.1.1 10.1.1.2\n  nameserver\t10.3.3.3  \n#nameserver 10.9.9.9\nsearch a\noptions b c\noptions\tndots:2\n'), { servers: ['10.3.3.3'], search: ['a'], options: ['ndots:2'] });
  assert.deepEqual([['ndots:0'], ['rotate', 'ndots:3'], ['ndots'], ['ndots:x'], []].map(wantsDots), [true, true, false, false, false]);
});
