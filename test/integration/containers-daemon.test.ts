// The daemon around the engine: inherited and several sockets, TLS from end to end, and its end while clients wait.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { answersPing, EXECUTABLE, startDaemon } from '../kit/daemon.ts';
import { openBench } from '../kit/engine.ts';
import { ask } from '../kit/http.ts';
import { freePort } from '../kit/net.ts';
import { until } from '../kit/poll.ts';
import { openTempRoot } from '../kit/temp.ts';

const ping = async (where: string) => (await ask(where, { path: '/_ping' })).text;

test('it listens on an inherited socket, a unix socket and TCP at once, and takes its PID file away', async () => {
  await using root = openTempRoot();
  const path = join(root.path, 'inherited.sock');
  const listening = createServer();
  await new Promise<void>((resolve) => { listening.listen(path, resolve); });
  const { fd } = (listening as unknown as { _handle: { fd: number } })._handle;
  const second = join(root.path, 'second.sock'), port = await freePort();
  const place = (name: string) => join(root.path, name);
  const child = spawn('sh', ['-c', 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"', EXECUTABLE, 'daemon', '--bridge=none', '--data-root', place('d'), '--exec-root', place('r'), '--pidfile', place('p'), '-H', 'fd://', '-H', `unix://${second}`, '-H', `tcp://127.0.0.1:${port}`, '--allow-plain-tcp'],
    { stdio: ['ignore', 'ignore', 'pipe', fd] });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const ended = new Promise<number | null>((resolve) => { child.once('exit', resolve); });
  try {
    await until('it to answer everywhere', async () => (await Promise.all([second, `127.0.0.1:${port}`].map(answersPing))).every(Boolean));
    renameSync(path, `${path}.kept`); // closing ours takes the name away
    listening.close();
    assert.deepEqual([await ping(`${path}.kept`), await ping(second), await ping(`127.0.0.1:${port}`)], ['OK', 'OK', 'OK']);
    for (const words of [/fd:\/\/3/, /TCP without TLS/]) await until(`${words.source} to be said`, () => words.test(said));
  } finally { child.kill('SIGTERM'); }
  assert.equal(await ended, 0);
  assert.equal(existsSync(place('p')), false);
});

test('a PID file that names a process of another program keeps no daemon from starting; one that names a daemon does', async () => {
  await using root = openTempRoot();
  const other = spawn('sleep', ['1000'], { stdio: 'ignore' });
  try {
    writeFileSync(join(root.path, 'vaquita.pid'), String(other.pid));
    await using daemon = await startDaemon({ root: root.path });
    assert.equal(readFileSync(join(root.path, 'vaquita.pid'), 'utf8'), String(daemon.pid));
    const second = spawnSync(EXECUTABLE, ['daemon', '--bridge=none', '--data-root', join(root.path, 'else'), '--exec-root', join(root.path, 'r2'), '--pidfile', join(root.path, 'vaquita.pid'), '-H', `unix://${root.path}/s2`], { encoding: 'utf8', timeout: 60_000 });
    assert.deepEqual([second.status, /pid file found, ensure the daemon is not running/.test(second.stderr)], [1, true]);
  } finally { other.kill('SIGKILL'); }
});

test('TLS with client certificates: through our own client and docker\'s, and nobody else', async () => {
  await using root = openTempRoot();
  const certs = join(root.path, 'certs');
  mkdirSync(certs);
  makeCertificates(certs);
  const port = await freePort();
  const tls = ['--tlsverify', '--tlscacert', `${certs}/ca.pem`, '--tlscert', `${certs}/server-cert.pem`, '--tlskey', `${certs}/server-key.pem`];
  await using daemon = await startDaemon({ root: join(root.path, 'engine'), flags: ['-H', `tcp://127.0.0.1:${port}`, ...tls] });
  const client = (own: string) => ['--tlsverify', '--tlscacert', `${certs}/ca.pem`, '--tlscert', `${certs}/${own}-cert.pem`, '--tlskey', `${certs}/${own}-key.pem`];
  const env = { ...process.env, DOCKER_HOST: `tcp://127.0.0.1:${port}`, HOME: root.path, DOCKER_CONFIG: root.path };
  for (const program of [EXECUTABLE, '/usr/local/bin/docker']) {
    assert.match(execFileSync(program, [...client('cert'), 'version'], { env, encoding: 'utf8' }), /Server/);
    assert.throws(() => execFileSync(program, [...client('stranger'), 'version'], { env, encoding: 'utf8', stdio: 'pipe' }), program);
    assert.throws(() => execFileSync(program, ['ps'], { env, encoding: 'utf8', stdio: 'pipe' }), program);
  }
  assert.equal(await ping(daemon.socket), 'OK');
});

test('SIGTERM: no new connections, endless answers end, others finish, and the containers run on', async () => {
  await using bench = await openBench({ flags: ['--shutdown-timeout', '2'] });
  const id = await bench.run(['sleep', '1000'], { body: { OpenStdin: true } });
  const { Pid: pid } = (await bench.inspect(id)).State;
  const endless = await Promise.all([bench.events(), bench.open('GET', `/containers/${id}/logs?follow=1&stdout=1`), bench.open('POST', `/containers/${id}/wait`)]);
  const attached = await bench.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
  const stopping = bench.api('POST', `/containers/${id}/stop?t=60`).then(({ status }) => status, () => 0);
  const events = endless[0];
  await events.sees('kill', id);
  const begun = Date.now();
  await bench.restart('stop');
  assert.ok(Date.now() - begun < 40_000, `${Date.now() - begun} ms, of the 60 s of the stop`);
  await Promise.all([...endless.map((each) => each.ended), attached.ended]);
  assert.equal(await stopping, 0, 'it was cut off at the end of the grace period');
  const { State: state } = await bench.inspect(id);
  assert.deepEqual([state.Running, state.Pid], [true, pid]);
});

function makeCertificates(folder: string): void {
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
  writeFileSync(join(folder, 'ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const ca of ['ca', 'other-ca']) openssl('req', '-x509', ...key, '-keyout', `${ca}-key.pem`, '-out', `${ca}.pem`, '-days', '2', '-subj', `/CN=${ca}`);
  for (const [name, ca] of [['server', 'ca'], ['cert', 'ca'], ['stranger', 'other-ca']] as const) {
    openssl('req', ...key, '-keyout', `${name}-key.pem`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${ca}.pem`, '-CAkey', `${ca}-key.pem`, '-CAcreateserial', '-out', `${name}-cert.pem`, '-days', '2', '-extfile', 'ext');
  }
}
