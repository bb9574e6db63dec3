// Netlink's bytes and the addresses in them, as tables; what the kernel makes of them is in net.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp, formatMac, parseIp, parseMac, parsePrefix } from './net-address.ts';
import { FLAG, MESSAGE, bytes8, decodeAttributes, decodeMessages, decodeVerdict, encodeAttributes, encodeMessage, numberOf, textOf } from './netlink.ts';
import { addAddress, addLink, changeLink, decodeAddress, decodeLink, decodeRoute, setRoute } from './rtnetlink.ts';

test('messages: what was put in comes out, padded to four bytes', () => {
  const attributes = [{ type: 3, value: 'eth0' }, { type: 4, value: 1500 }, { type: 18, value: [{ type: 1, value: 'veth' }, { type: 4, value: bytes8(1) }] }];
  const one = encodeMessage({ type: 16, flags: FLAG.request, sequence: 7, header: Uint8Array.of(1, 2, 3, 4, 5), attributes });
  assert.equal(one.length % 4, 0);
  const [first, second, ...more] = decodeMessages(Buffer.concat([one, encodeMessage({ type: 3, flags: 0, sequence: 8, header: new Uint8Array() })]));
  assert.deepEqual([first?.type, first?.flags, first?.sequence, second?.type, second?.sequence, second?.payload.length, more], [16, 1, 7, 3, 8, 0, []]);
  const found = decodeAttributes(first?.payload ?? new Uint8Array(), 5);
  assert.deepEqual([textOf(found.get(3)), numberOf(found.get(4)), [...found.keys()]], ['eth0', 1500, [3, 4, 18]]);
  const nested = decodeAttributes(found.get(18) ?? new Uint8Array());
  assert.deepEqual([textOf(nested.get(1)), [...nested.get(4) ?? []]], ['veth', [1]]);
});

test('messages: what is cut short is refused, whatever it says of its length', () => {
  const whole = encodeMessage({ type: 16, flags: 0, sequence: 1, header: new Uint8Array(4), attributes: [{ type: 1, value: 1 }] });
  assert.throws(() => decodeMessages(whole.subarray(0, whole.length - 1)), /28 bytes where 27 are left/);
  const lying = Buffer.from(whole);
  lying.writeUInt32LE(3, 0);
  assert.throws(() => decodeMessages(lying), /a message of 3 bytes/);
  for (const length of [0, 3, 9]) {
    const attribute = encodeAttributes([{ type: 1, value: 1 }]);
    attribute.writeUInt16LE(length, 0);
    assert.throws(() => decodeAttributes(attribute), /an attribute of/);
  }
  assert.deepEqual([decodeMessages(new Uint8Array(15)), decodeAttributes(new Uint8Array(3)).size], [[], 0]);
});

test('verdicts: done, an error, and one in the kernel\'s own words', () => {
  const answer = (flags: number, errno: number, rest: Uint8Array) => {
    const payload = Buffer.concat([Buffer.alloc(4), rest]);
    payload.writeInt32LE(-errno, 0);
    return { type: MESSAGE.error, flags, sequence: 1, payload };
  };
  const words = encodeAttributes([{ type: 1, value: 'no such thing' }]);
  const request = Buffer.alloc(20);
  request.writeUInt32LE(20, 0);
  assert.deepEqual(decodeVerdict(answer(0, 0, request)), { errno: 0, words: '' });
  assert.deepEqual(decodeVerdict(answer(0x100, 17, request.subarray(0, 16))), { errno: 17, words: '' });
  assert.deepEqual(decodeVerdict(answer(0x300, 17, Buffer.concat([request.subarray(0, 16), words]))), { errno: 17, words: 'no such thing' });
  assert.deepEqual(decodeVerdict(answer(0x200, 17, Buffer.concat([request, words]))), { errno: 17, words: 'no such thing' });
  assert.deepEqual(decodeVerdict({ type: MESSAGE.done, flags: 0, sequence: 1, payload: new Uint8Array() }), { errno: 0, words: '' });
});

const IPS: ReadonlyArray<[string, string | undefined]> = [
  ['172.17.0.2', '172.17.0.2'], ['0.0.0.0', '0.0.0.0'], ['255.255.255.255', '255.255.255.255'], ['1.2.3', undefined], ['1.2.3.256', undefined], ['1.2.3.04', undefined], ['', undefined],
  ['::', '::'], ['::1', '::1'], ['FD00:0:0:1::2', 'fd00:0:0:1::2'], ['fd00::1:0:0:2', 'fd00::1:0:0:2'], ['1:0:0:2:0:0:0:3', '1:0:0:2::3'], ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'], ['1::3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
  ['fe80::', 'fe80::'], ['::ffff:1.2.3.4', '::ffff:1.2.3.4'], ['64:ff9b::1.2.3.4', '64:ff9b::102:304'], ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  [':', undefined], [':::', undefined], ['1::2::3', undefined], ['1:2:3:4:5:6:7', undefined], ['1:2:3:4:5:6:7:8:9', undefined], ['1:2:3:4::5:6:7:8', undefined], ['12345::', undefined], ['fe80::1%eth0', undefined], ['1.2.3.4::', undefined], [':1', undefined],
];

test('addresses: read and written', () => {
  for (const [text, want] of IPS) {
    const bytes = parseIp(text);
    assert.equal(bytes && formatIp(bytes), want, text);
  }
  assert.deepEqual(parsePrefix('10.0.0.0/8'), { bytes: Uint8Array.of(10, 0, 0, 0), length: 8 });
  assert.deepEqual([parsePrefix('::1')?.length, parsePrefix('1.2.3.4')?.length], [128, 32]);
  for (const bad of ['1.2.3.4/33', '::/129', '1.2.3.4/', '1.2.3.4/8/8', '1.2.3.4/-1', '/8']) assert.equal(parsePrefix(bad), undefined, bad);
  const mac = parseMac('02:42:AC:11:00:02');
  assert.equal(mac && formatMac(mac), '02:42:ac:11:00:02');
  for (const bad of ['', '02:42', '02:42:ac:11:00:0g', '0242.ac11.0002']) assert.equal(parseMac(bad), undefined, bad);
});

test('requests: what the kernel would cut short or take for something else is refused before it is asked', () => {
  for (const name of ['', 'a'.repeat(16), 'ä'.repeat(8), 'a/b', 'a b', 'a:b', '.', '..', 'a\0']) assert.throws(() => addLink({ name }, { kind: 'bridge' }), { code: 'EINVAL' }, name);
  assert.throws(() => addLink({ name: 'a', mac: '1:2' }, { kind: 'bridge' }), { code: 'EINVAL' });
  assert.throws(() => addLink({ name: 'a' }, { kind: 'macvlan', mode: 'nonsense' }), { code: 'EINVAL' });
  assert.throws(() => changeLink('a', { alias: 'x'.repeat(256) }), { code: 'EINVAL' });
  assert.throws(() => addAddress(1, '1.2.3.4/33'), { code: 'EINVAL' });
  assert.throws(() => setRoute({ link: 1, destination: '::/0', gateway: 'here' }), { code: 'EINVAL' });
});

test('answers: a device with nothing to it, an address, routes that are none of ours', () => {
  assert.deepEqual(decodeLink(new Uint8Array(16)), { index: 0, name: '', kind: '', mac: '', mtu: 0, up: false, alias: '', master: 0, peer: 0 });
  const { header, attributes } = addAddress(3, '172.17.5.1/20');
  assert.deepEqual(decodeAddress(Buffer.concat([header, encodeAttributes(attributes)])), { link: 3, address: '172.17.5.1/20', scope: 'global' });
  assert.deepEqual(attributes.find(({ type }) => type === 4)?.value, Uint8Array.of(172, 17, 15, 255));
  assert.equal(addAddress(3, '10.0.0.1/31').attributes.some(({ type }) => type === 4), false);
  const told = ({ header: head, attributes: rest }: ReturnType<typeof setRoute>) => Buffer.concat([head, encodeAttributes(rest)]);
  const route = told(setRoute({ link: 3, destination: '::/0', gateway: 'fd00::1' }));
  assert.deepEqual(decodeRoute(route), { link: 3, destination: '::/0', gateway: 'fd00::1', table: 254, source: '', scope: 'global' });
  for (const [at, value] of [[0, 7], [4, 255], [7, 2], [9, 2]] as const) {
    const other = Buffer.from(route);
    other[at] = value;
    assert.equal(decodeRoute(other), undefined, `byte ${at} as ${value}`);
  }
});
