import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeReply, encodeName, encodeQuery, encodeReply, TYPES } from '../../../test/kit/dns.ts';
import { rng } from '../../../test/kit/random.ts';
import { fullIpv6, readAnswer, readQuery, reverseAddress, withId, writeAnswer, writeFailure, writeTruncated, MAX_MESSAGE_BYTES, MAX_UDP_BYTES, type Query } from './message.ts';

function queryOf(message: Buffer): Query {
  const { query } = readQuery(message);
  assert.ok(query, message.toString('hex'));
  return query;
}

const raw = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

test('a question is read without regard to case, and repeated as it was written', () => {
  const message = encodeQuery({ name: 'Web.Net1', type: 'AAAA', id: 7, ednsBytes: 1232 });
  const query = queryOf(message);
  assert.deepEqual([query.id, query.question.name, query.question.type, query.question.internet, query.answerLimitBytes], [7, 'web.net1', TYPES.AAAA, true, 1232]);
  const reply = decodeReply(writeAnswer(message, query, { finding: { addresses: ['fd00::1', '::ffff:10.1.2.3'] }, ttlSeconds: 600, limitBytes: MAX_UDP_BYTES }));
  assert.deepEqual(reply, {
    id: 7, flags: 0x8180, rcode: 0, truncated: false, bytes: 12 + 14 + 2 * 28, questions: [{ name: 'Web.Net1', type: TYPES.AAAA }],
    answers: ['fd00:0000:0000:0000:0000:0000:0000:0001', '0000:0000:0000:0000:0000:ffff:0a01:0203'].map((data) => ({ name: 'Web.Net1', type: TYPES.AAAA, ttl: 600, data })),
  });
  assert.equal(queryOf(encodeQuery({ name: 'a', ednsBytes: 100 })).answerLimitBytes, MAX_UDP_BYTES);
  assert.equal(queryOf(encodeQuery({ name: 'a', class: 3 })).question.internet, false);
  assert.equal(queryOf(encodeQuery({ name: '' })).question.name, '');
  assert.equal(decodeReply(writeFailure(message, query, 2)).flags, 0x8182);
  assert.equal(decodeReply(writeFailure(encodeQuery({ name: 'a', flags: 0x0010 }), query, 2)).flags, 0x8092, 'checking disabled is repeated, recursion was not desired');
});

test('bytes that are no host name cannot be taken for one', () => {
  const name = (label: Buffer) => queryOf(Buffer.concat([raw('4242 0100 0001 0000 0000 0000'), Buffer.from([label.length]), label, raw('00 0001 0001')])).question.name;
  assert.equal(name(Buffer.from('a.b')), 'a\\046b');
  assert.equal(name(Buffer.from('a\\b\0')), 'a\\092b\\000');
  assert.equal(name(Buffer.from('x+/_-Ü', 'latin1')), 'x+/_-\\220');
});

test('what is no query gets an error, or nothing when it is an answer or too short', () => {
  const nameless = '4242 0100 0001 0000 0000 0000';
  const code = (hex: string) => { const reading = readQuery(raw(hex)); assert.equal(reading.query, undefined); return 'reply' in reading ? reading.reply?.toString('hex') : 'a query'; };
  assert.equal(code('4242'), undefined);
  assert.equal(code('4242 8180 0001 0000 0000 0000 03666f6f00 0001 0001'), undefined);
  assert.equal(code('4242 2900 0001 0000 0000 0000 03666f6f00 0001 0001'), '4242a9040000000000000000');
  for (const [what, hex] of Object.entries({
    'no question': '4242 0100 0000 0000 0000 0000', 'two questions': '4242 0100 0002 0000 0000 0000 0161000001000101610000010001', 'no name': nameless, 'a name cut short': `${nameless} 0377`,
    'no type': `${nameless} 0161 00 0001`, 'a pointer to itself': `${nameless} c00c 0001 0001`, 'a pointer ahead': `${nameless} 0161 c010 00 0001 0001`, 'a pointer into the header': `${nameless} c000 0001 0001`,
    'half a pointer': `${nameless} c0`, 'a label of a kind unknown': `${nameless} 40 61 00 0001 0001`, 'a name of 256 bytes': `${nameless} ${'3f'.padEnd(128, '61').repeat(4)}00 0001 0001`,
    'more records than a query has': '4242 0100 0001 0002 0000 0000 0161 00 0001 0001', 'a record cut short': '4242 0100 0001 0000 0000 0001 0161 00 0001 0001 00 0029 04d0',
    'data cut short': '4242 0100 0001 0000 0000 0001 0161 00 0001 0001 00 0029 04d0 00000000 0001',
  })) assert.equal(code(hex), '424281010000000000000000', what);
  const longest = `${nameless} ${'3f'.padEnd(128, '61').repeat(3)}${'3d'.padEnd(124, '61')}00 0001 0001`;
  assert.equal(queryOf(raw(longest)).question.name.length, 253);
});

test('an answer is taken only for the question that was asked', () => {
  const asked = queryOf(encodeQuery({ name: 'example.test', id: 99 }));
  const reply = (name: string, { id = 99, flags = 0x8180, type = 'A' as const, klass = 1 } = {}) => readAnswer(encodeReply(encodeQuery({ name, id, type, class: klass }), { flags, data: [raw('01020304')] }), asked);
  assert.deepEqual(reply('example.test'), { rcode: 0, authoritative: false });
  assert.deepEqual(reply('EXAMPLE.test', { flags: 0x8583 }), { rcode: 3, authoritative: true });
  assert.equal(reply('example.test', { id: 98 }), undefined);
  assert.equal(reply('example.tes'), undefined);
  assert.equal(reply('example.test', { klass: 3 }), undefined);
  assert.equal(reply('example.test', { flags: 0x0180 }), undefined, 'a query is no answer');
  assert.equal(readAnswer(raw('0063 8182 0000 0000 0000 0000'), asked)?.rcode, 2, 'a refusal need not repeat the question');
  assert.equal(readAnswer(raw('0063 8180 0000 0000 0000 0000'), asked), undefined);
  assert.equal(readAnswer(raw('0063 8180'), asked), undefined);
  assert.equal(withId(encodeQuery({ name: 'a', id: 1 }), 0xfffe).readUInt16BE(0), 0xfffe);
});

test('more addresses than fit are cut off between records, and the client is told', () => {
  const message = encodeQuery({ name: 'all.net' });
  const query = queryOf(message);
  const addresses = Array.from({ length: 200 }, (_, i) => `10.0.0.${i}`);
  const short = decodeReply(writeAnswer(message, query, { finding: { addresses }, ttlSeconds: 600, limitBytes: MAX_UDP_BYTES }));
  assert.deepEqual([short.truncated, short.answers.length, short.bytes <= MAX_UDP_BYTES, short.answers[29]?.data], [true, 30, true, '10.0.0.29']);
  const whole = writeAnswer(message, query, { finding: { addresses }, ttlSeconds: 600, limitBytes: MAX_MESSAGE_BYTES });
  assert.deepEqual([decodeReply(whole).truncated, decodeReply(whole).answers.map(({ data }) => data)], [false, addresses]);
  const cut = decodeReply(writeTruncated(whole, query));
  assert.deepEqual([cut.truncated, cut.answers, cut.questions, cut.id], [true, [], [{ name: 'all.net', type: TYPES.A }], 0x4242]);
});

test('addresses are read out of names, and names written whatever they are made of', () => {
  assert.equal(reverseAddress('2.0.18.172.in-addr.arpa'), '172.18.0.2');
  assert.equal(reverseAddress('0.18.172.in-addr.arpa'), undefined);
  assert.equal(reverseAddress('2.0.18.172.in-addr.arpa.example'), undefined);
  const nibbles = '2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.5.d.f.ip6.arpa';
  assert.equal(reverseAddress(nibbles), fullIpv6('fd55::2'));
  const message = encodeQuery({ name: nibbles, type: 'PTR' });
  const written = (name: string) => decodeReply(writeAnswer(message, queryOf(message), { finding: { name }, ttlSeconds: 600, limitBytes: MAX_UDP_BYTES })).answers[0]?.data;
  assert.equal(written('web_1.my-net'), 'web_1.my-net');
  assert.equal(written(`${'x'.repeat(80)}.net`), `${'x'.repeat(63)}.net`);
  assert.ok((written(Array.from({ length: 60 }, () => 'abcdefg').join('.'))?.length ?? 999) < 255);
});

test('any bytes get a reading, and any reply can be read', () => {
  const first = Number(process.env['FUZZ_SEED'] ?? 1);
  const runs = process.env['FUZZ_SEED'] === undefined ? 20_000 : 1;
  const met = { query: 0, error: 0, nothing: 0 };
  for (let seed = first; seed < first + runs; seed++) {
    const random = rng(seed);
    const message = mutated(random);
    try {
      const { query, ...rest } = readQuery(message);
      const reply = query ? writeAnswer(message, query, { finding: { addresses: query.question.type === TYPES.AAAA ? ['fd00::1'] : ['10.0.0.1'] }, ttlSeconds: 1, limitBytes: 512 }) : 'reply' in rest ? rest.reply : undefined;
      met[query ? 'query' : reply ? 'error' : 'nothing']++;
      if (query) assert.equal(decodeReply(reply ?? Buffer.alloc(0)).questions.length, 1);
      if (reply) assert.equal(reply.readUInt16BE(2) & 0x8000, 0x8000);
      readAnswer(message, { id: message.length > 1 ? message.readUInt16BE(0) : 0, question: queryOf(encodeQuery({ name: 'web' })).question });
    } catch (cause) { throw new Error(`FUZZ_SEED=${seed} ${message.toString('hex')}`, { cause }); }
  }
  if (runs > 1) assert.ok(Math.min(...Object.values(met)) > runs / 50, `every kind is met: ${JSON.stringify(met)}`);
});

/** Three of four begin as a right message. */
function mutated(random: () => number): Buffer {
  const below = (n: number) => Math.floor(random() * n);
  if (below(4) === 0) return Buffer.from(Array.from({ length: below(40) }, () => below(256)));
  const name = Array.from({ length: below(5) }, () => 'abcdefghij'.slice(0, 1 + below(9))).join('.');
  let message = encodeQuery({ name, type: (['A', 'AAAA', 'PTR'] as const)[below(3)] ?? 'A', ednsBytes: below(2) * 4096, flags: below(8) === 0 ? 0x8180 : 0x0100 });
  if (below(3) === 0) message = encodeReply(message, { data: [Buffer.from([1, 2, 3, 4]), encodeName('a.b')] });
  for (let n = below(4); n > 0 && message.length > 0; n--) message.writeUInt8(below(3) === 0 ? 0xc0 : below(256), below(message.length));
  return below(4) === 0 ? message.subarray(0, below(message.length + 1)) : message;
}
