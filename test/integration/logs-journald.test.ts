// The log driver journald: its fields, its pieces, from whose process they come, across restarts, in a flood, and read back from Debian's journal.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBench, unframed, type Bench } from '../kit/engine.ts';
import { openReceivingJournal, openRealJournal } from '../kit/journal.ts';
import { until } from '../kit/poll.ts';
import { openTempRoot } from '../kit/temp.ts';

const JOURNALD = { Type: 'journald', Config: { labels: 'role,nosuch', env: 'LINES', tag: '{{.Name}}/{{.ID}}' } };

test('each line is an entry with the fields of its container, sent by the daemon itself, and not twice by the next daemon', async () => {
  await using root = openTempRoot();
  await using journal = await openReceivingJournal(join(root.path, 'j'));
  await using bench = await openBench({ wrap: journal.wrap });
  const entries = () => journal.received.messages.map(({ bytes }) => parseNative(bytes)).filter((fields) => fields.has('MESSAGE'));
  const said = () => entries().map((fields) => fields.get('MESSAGE')?.toString() ?? '');

  const id = await bench.run(['sh', '-c', 'echo out; echo err >&2; echo; head -c 40000 /dev/zero | tr "\\0" x; echo; printf "nul\\0\\n"; while [ ! -e /tmp/go ]; do sleep 0.05; done; for n in 1 2 3; do echo more $n; done; printf end'], {
    name: 'told', host: { LogConfig: JOURNALD }, body: { Labels: { role: 'one', other: 'x' }, Env: ['LINES=a\nb'] },
  });
  await until('the first entries', () => ['nul\0', 'err'].every((message) => said().includes(message)));
  const named = (message: string) => entries().find((fields) => fields.get('MESSAGE')?.toString() === message);
  const [out, err] = [named('out'), named('err')]; // the two streams have no order between them
  const pieces = entries().filter((fields) => !['out', 'err'].includes(fields.get('MESSAGE')?.toString() ?? ''));
  const fixed = {
    CONTAINER_ID: id.slice(0, 12), CONTAINER_ID_FULL: id, CONTAINER_NAME: 'told', CONTAINER_TAG: `told/${id.slice(0, 12)}`, SYSLOG_IDENTIFIER: `told/${id.slice(0, 12)}`,
    IMAGE_NAME: bench.image, ROLE: 'one', LINES: 'a\nb',
  };
  const fields = (entry: ReadonlyMap<string, Buffer> | undefined) => Object.fromEntries([...entry ?? []].filter(([name]) => name !== 'SYSLOG_TIMESTAMP').map(([name, value]) => [name, value.toString()]));
  assert.deepEqual(fields(out), { ...fixed, MESSAGE: 'out', PRIORITY: '6' });
  assert.deepEqual(fields(err), { ...fixed, MESSAGE: 'err', PRIORITY: '3' });
  assert.match(out?.get('SYSLOG_TIMESTAMP')?.toString() ?? '', /^20\d\d-\d\d-\d\dT.*Z$/);
  const partial = (name: string) => pieces.map((piece) => piece.get(`CONTAINER_PARTIAL_${name}`)?.toString());
  assert.deepEqual(pieces.map((piece) => piece.get('MESSAGE')?.length), [16_384, 16_384, 7232, 4], 'an empty line is no entry');
  assert.deepEqual([partial('MESSAGE'), partial('ORDINAL'), partial('LAST')], [['true', 'true', undefined, undefined], ['1', '2', '3', undefined], ['false', 'false', 'true', undefined]]);
  assert.equal(new Set(partial('ID').slice(0, 3)).size, 1);
  assert.deepEqual([...new Set(journal.received.messages.map(({ senderPid }) => senderPid))], [bench.daemon.pid], 'systemd counts an entry to the unit of its sender');

  // While no daemon is there, conmon writes on; the next one goes on where the last was, which is on file a moment after it was sent.
  const spool = join(bench.daemon.execRoot, 'logs', id);
  await until('all to be told as sent', () => Number(readFileSync(join(spool, 'position'), 'latin1').trim().split(' ')[1]) === statSync(join(spool, 'container.log')).size);
  await bench.restart('kill');
  const exec = (await bench.api('POST', `/containers/${id}/exec`, { body: { Cmd: ['touch', '/tmp/go'] }, status: 201 })).json<{ Id: string }>();
  await bench.api('POST', `/exec/${exec.Id}/start`, { body: { Detach: true }, status: 200 });
  assert.equal(await bench.end(id), 0);
  await until('the last entry', () => said().includes('end'));
  assert.deepEqual(said().filter((message) => message.length < 100 && message !== 'err'), ['out', 'nul\0', 'more 1', 'more 2', 'more 3', 'end']);
  assert.equal(said().length, 10);
  await until('the spool to be gone', () => readdirSync(join(bench.daemon.execRoot, 'logs')).length === 0);
});

test('a program that writes as fast as it can fills neither memory nor disk, and the daemon answers', async () => {
  await using root = openTempRoot();
  await using journal = await openReceivingJournal(join(root.path, 'j'));
  await using bench = await openBench({ wrap: journal.wrap });
  const id = await bench.run(['sh', '-c', 'yes "a line of a flood"'], { host: { LogConfig: JOURNALD } });
  const spool = join(bench.daemon.execRoot, 'logs', id);
  await until('some to be passed on', () => journal.received.messages.length > 1000);
  const cpuBefore = cpuSeconds(bench.daemon.pid), from = performance.now();
  let mostSpool = 0, mostMemory = 0;
  for (let n = 0; n < 15; n++) {
    await bench.inspect(id); // an answer, while it goes on
    mostSpool = Math.max(mostSpool, folderBytes(spool));
    mostMemory = Math.max(mostMemory, residentBytes(bench.daemon.pid));
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  const share = (cpuSeconds(bench.daemon.pid) - cpuBefore) * 1000 / (performance.now() - from);
  // Files of 4 MiB wait, and what conmon writes before the daemon comes round: twice 2 MiB. They move while they are counted.
  assert.ok(mostSpool < 12 << 20, `${mostSpool} bytes wait to be passed on`);
  assert.ok(mostMemory < 200 << 20, `the daemon holds ${mostMemory} bytes`);
  assert.ok(share < 0.75, `the daemon uses ${share.toFixed(2)} of a core`);
  await bench.remove(id);
  await until('the loss to be told', () => /writes faster than its output can be passed on/.test(bench.daemon.log()));
  assert.ok(!existsSync(spool));
});

test('what Debian’s journal keeps is read back: whole, from its end, by time, and while it grows', async () => {
  await using root = openTempRoot();
  await using journal = await openRealJournal(join(root.path, 'j'));
  await using bench = await openBench({ wrap: journal.wrap, flags: ['--log-driver', 'journald', '--log-opt', 'labels=role'] });
  const id = await bench.run(['sh', '-c', 'echo err >&2; echo out; head -c 20000 /dev/zero | tr "\\0" x; echo; printf "nul\\0\\n"; sleep 0.5; echo late'], { body: { Labels: { role: 'one' } } });
  const following = await bench.open('GET', `/containers/${id}/logs?stdout=1&follow=1`);
  await following.ended;
  assert.deepEqual(unframed(Buffer.from(following.text())).split('\n').slice(0, -1), ['out', 'x'.repeat(20_000), 'nul\0', 'late'], 'a follower sees all to the end of the program');
  // The two streams have no order between them: of one alone there is one.
  const lines = async (query = '') => unframed((await bench.api('GET', `/containers/${id}/logs?stdout=1${query}`)).body).split('\n').slice(0, -1).map((line) => line.replace(/x+/, (xs) => `x${xs.length}`));
  assert.deepEqual(await lines(), ['out', 'x20000', 'nul\0', 'late']);
  assert.deepEqual((await bench.logs(id)).split('\n').filter((line) => line === 'err'), ['err']);
  assert.deepEqual(await lines('&tail=2'), ['nul\0', 'late']);
  const times = (await lines('&timestamps=1')).map((line) => line.split(' ')[0] ?? '');
  assert.deepEqual(await lines(`&since=${times.at(-1)}`), ['late']);
  assert.deepEqual(await lines(`&until=${times[0]}`), ['out']);
  assert.match((await lines('&details=1'))[0] ?? '', /^IMAGE_NAME=[^ ]+,ROLE=one out$/);
  assert.deepEqual((await bench.inspect(id)).HostConfig['LogConfig'], { Type: 'journald', Config: { labels: 'role' } });
  assert.equal((await bench.api('GET', '/info')).json<{ LoggingDriver: string }>().LoggingDriver, 'journald');
});

test('without a journal a container is refused, in Docker’s words', async () => {
  await using root = openTempRoot();
  await using journal = await openReceivingJournal(join(root.path, 'j'));
  await using bench = await openBench({ wrap: journal.wrap });
  await journal.received[Symbol.asyncDispose]();
  await assertRefused(bench);
});

async function assertRefused(bench: Bench): Promise<void> {
  const id = await bench.create(['true'], { host: { LogConfig: JOURNALD } });
  const { status, text } = await bench.api('POST', `/containers/${id}/start`);
  assert.deepEqual([status, text], [500, '{"message":"failed to initialize logging driver: journald is not enabled on this host"}\n']);
  const { State: state } = await bench.inspect(id);
  assert.deepEqual([state.Status, state.ExitCode, state.Error], ['created', 128, 'failed to initialize logging driver: journald is not enabled on this host']);
}

function parseNative(bytes: Buffer): Map<string, Buffer> {
  const fields = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0x0a, at);
    const line = bytes.subarray(at, end), equals = line.indexOf(0x3d);
    if (equals >= 0) {
      fields.set(line.subarray(0, equals).toString(), line.subarray(equals + 1));
      at = end + 1;
      continue;
    }
    const length = Number(bytes.readBigUInt64LE(end + 1));
    fields.set(line.toString(), bytes.subarray(end + 9, end + 9 + length));
    at = end + 9 + length + 1;
  }
  return fields;
}

const residentBytes = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

/** All threads of it. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function folderBytes(folder: string): number {
  const seen = new Map<number, number>();
  for (const name of readdirSync(folder)) {
    const found = statSync(join(folder, name), { throwIfNoEntry: false });
    if (found) seen.set(found.ino, found.size);
  }
  return [...seen.values()].reduce((sum, size) => sum + size, 0);
}
