// The log driver syslog: over UDP, TCP, TLS and unix sockets, in its formats, refused where nobody listens, sent again where a connection broke, and read back.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { receiveDatagrams } from '../kit/datagrams.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

/** The two streams have no order between them. */
const SCRIPT = ['sh', '-c', 'echo out; echo; echo err >&2'];
const STAMP = String.raw`[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d`;

test('lines go to a syslog in its words, over each kind of socket, and can be read back', async () => {
  await using bench = await openBench();
  const udp = createSocket('udp4'), datagrams: string[] = [];
  udp.on('message', (message) => datagrams.push(message.toString())).bind(0, '127.0.0.1');
  using _udp = { [Symbol.dispose]: () => { udp.close(); } };
  await until('a port', () => portOf(udp));
  await using tcp = await listen({ port: 0, host: '127.0.0.1' });
  await using unix = await listen({ path: join(bench.path, 'stream') });
  await using gram = await receiveDatagrams(join(bench.path, 'gram'));
  const grams = () => gram.messages.map(({ bytes }) => bytes.toString()).filter((text) => text !== '');

  const id = await told(bench, { 'syslog-address': `udp://127.0.0.1:${portOf(udp)}` });
  await until('two datagrams', () => datagrams.length === 2);
  const tag = id.slice(0, 12), pid = bench.daemon.pid, host = hostname();
  assert.match(sorted(datagrams), new RegExp(`^<27>${STAMP} ${tag}\\[${pid}\\]: err\\n<30>${STAMP} ${tag}\\[${pid}\\]: out\\n$`));
  assert.deepEqual((await bench.logs(id)).split('\n').toSorted(), ['', '', 'err', 'out'], 'from what is kept beside it');

  await told(bench, { 'syslog-address': `tcp://127.0.0.1:${tcp.port}`, 'syslog-format': 'rfc3164', 'syslog-facility': 'local3', tag: '{{.Name}}' }, 'named');
  await until('two lines', () => tcp.text().split('\n').length === 3);
  assert.match(sorted(linesIn(tcp.text())), new RegExp(`^<155>${STAMP} ${host} named\\[${pid}\\]: err\\n<158>${STAMP} ${host} named\\[${pid}\\]: out\\n$`));

  await told(bench, { 'syslog-address': `unix://${join(bench.path, 'stream')}`, 'syslog-format': 'rfc5424', tag: 't' });
  await until('two lines', () => unix.text().split('\n').length === 3);
  assert.match(sorted(linesIn(unix.text())), new RegExp(`^<27>1 .* - err\\n<30>1 \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ ${host} t ${pid} t - out\\n$`));

  await told(bench, { 'syslog-address': `unixgram://${join(bench.path, 'gram')}`, 'syslog-format': 'rfc5424micro', tag: 't' });
  await until('two messages', () => grams().length === 2);
  assert.match(sorted(grams()), new RegExp(`^<27>1 .* - err\\n<30>1 \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z ${host} t ${pid} t - out\\n$`));
});

test('over TLS messages are counted, and a receiver that nobody vouches for is refused', async () => {
  await using bench = await openBench();
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: bench.path, stdio: 'pipe' });
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1');
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(bench.path, name)));
  await using server = await listen({ port: 0, host: '127.0.0.1' }, { key, cert });
  const address = { 'syslog-address': `tcp+tls://127.0.0.1:${server.port}`, 'syslog-format': 'rfc5424', tag: 't' };
  await told(bench, { ...address, 'syslog-tls-ca-cert': join(bench.path, 'cert.pem') });
  await until('two messages', () => server.text().split('\n').length === 3);
  const messages = [...server.text().matchAll(/(\d+) (<[^\n]*\n)/g)].map(([, length, message = '']) => [Number(length) === message.length, message.split(' - ')[1]]);
  assert.deepEqual(messages.toSorted(([, a = ''], [, b = '']) => (a < b ? -1 : 1)), [[true, 'err\n'], [true, 'out\n']]);
  await told(bench, { ...address, 'syslog-tls-skip-verify': '1' });
  const id = await bench.create(['true'], { host: { LogConfig: { Type: 'syslog', Config: address } } });
  const { status, text } = await bench.api('POST', `/containers/${id}/start`);
  assert.deepEqual([status, /failed to initialize logging driver: dial tcp 127.0.0.1:\d+: .*certificate/.test(text)], [500, true], text);
});

test('nobody there is an error of the start; a connection that breaks is made again, and nothing is sent twice', async () => {
  await using bench = await openBench();
  const path = join(bench.path, 'stream');
  const start = async (config: Record<string, string>) => {
    const id = await bench.create(['true'], { host: { LogConfig: { Type: 'syslog', Config: config } } });
    const { status, text } = await bench.api('POST', `/containers/${id}/start`);
    return [status, (JSON.parse(text) as { message: string }).message.replace('failed to initialize logging driver: ', '')];
  };
  assert.deepEqual(await start({ 'syslog-address': 'tcp://127.0.0.1:1' }), [500, 'dial tcp 127.0.0.1:1: connect: connection refused']);
  assert.deepEqual(await start({ 'syslog-address': 'udp://127.0.0.1:99999' }), [500, 'dial udp: address 99999: invalid port']);
  assert.deepEqual(await start({ 'syslog-address': 'tcp+tls://127.0.0.1:1', 'syslog-tls-ca-cert': '/nope' }), [500, 'could not read CA certificate "/nope": open /nope: no such file or directory']);

  await using first = await listen({ path });
  const id = await bench.run(['sh', '-c', 'i=0; while [ ! -e /tmp/end ]; do echo line $i; i=$((i+1)); sleep 0.05; done; echo over'], {
    host: { LogConfig: { Type: 'syslog', Config: { 'syslog-address': `unix://${path}`, 'cache-disabled': 'true' } } },
  });
  await until('some lines', () => numbersIn(first.text()).length > 3);
  assert.equal((await bench.api('GET', `/containers/${id}/logs?stdout=1`)).status, 501);
  await first[Symbol.asyncDispose]();
  rmSync(path, { force: true });
  await until('the break to be told', () => /syslog cannot be reached/.test(bench.daemon.log()));
  await using second = await listen({ path });
  await until('more lines', () => numbersIn(second.text()).length > 3);
  await bench.restart();
  const exec = (await bench.api('POST', `/containers/${id}/exec`, { body: { Cmd: ['touch', '/tmp/end'] }, status: 201 })).json<{ Id: string }>();
  await bench.api('POST', `/exec/${exec.Id}/start`, { body: { Detach: true }, status: 200 });
  await bench.end(id);
  await until('the last line', () => second.text().includes(': over\n'));
  const numbers = numbersIn(second.text());
  assert.deepEqual(numbers, Array.from({ length: numbers.length }, (_, n) => (numbers[0] ?? 0) + n), 'each once, in order');
});

async function told(bench: Bench, config: Record<string, string>, name?: string): Promise<string> {
  const id = await bench.run(SCRIPT, { host: { LogConfig: { Type: 'syslog', Config: config } }, ...(name === undefined ? {} : { name }) });
  await bench.end(id);
  return id;
}

interface Listening extends AsyncDisposable { readonly port: number; text(): string }

async function listen(place: { path: string } | { port: number; host: string }, tls?: { key: Buffer | undefined; cert: Buffer | undefined }): Promise<Listening> {
  const sockets = new Set<Socket>();
  let text = '';
  const take = (socket: Socket) => {
    sockets.add(socket);
    socket.setEncoding('utf8').on('data', (part: string) => { text += part; }).on('error', () => {});
  };
  const server: Server = tls ? createTlsServer({ ...tls }, take).on('tlsClientError', () => {}) : createServer(take);
  await new Promise<void>((resolve) => { server.listen(place, resolve); });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0, text: () => text,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      if (server.listening) await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

function portOf(socket: ReturnType<typeof createSocket>): number | undefined {
  try { return socket.address().port; } catch { return undefined; }
}

const sorted = (messages: readonly string[]): string => messages.toSorted().join('');
const linesIn = (text: string): string[] => text.split(/(?<=\n)/);
const numbersIn = (text: string): number[] => [...text.matchAll(/: line (\d+)\n/g)].map(([, number]) => Number(number));
