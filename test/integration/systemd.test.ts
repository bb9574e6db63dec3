// systemd's side of the daemon, played by the test: sockets handed over, states told, the watchdog; and the units themselves.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDaemon } from '../kit/daemon.ts';
import { receiveDatagrams } from '../kit/datagrams.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { openBench } from '../kit/engine.ts';
import { ask } from '../kit/http.ts';
import { freePort } from '../kit/net.ts';
import { until } from '../kit/poll.ts';
import { openTempRoot } from '../kit/temp.ts';

/** Binds the sockets and becomes the daemon, as systemd's child does. Words: the paths, "--", the command. */
const ACTIVATE = `
import fcntl, os, socket, sys
paths, command = sys.argv[1:sys.argv.index('--')], sys.argv[sys.argv.index('--') + 1:]
fds = []
for path in paths:
    if os.path.exists(path): os.unlink(path)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(64)
    fds.append(fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 64))
    s.close()
for at, fd in enumerate(fds):
    os.dup2(fd, 3 + at, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES='api:second', WATCHDOG_PID=str(os.getpid()))
os.execv(command[0], command)
`;

test('sockets of systemd are listened on, its states are told, and no container inherits any of it', async () => {
  await using root = openTempRoot();
  const manager = join(root.path, 'notify');
  await using told = await receiveDatagrams(manager);
  const said = () => told.messages.map(({ bytes }) => bytes.toString());
  const first = join(root.path, 'first.sock'), second = join(root.path, 'second.sock');
  await using bench = await openBench({
    flags: ['-H', 'fd://'], env: { NOTIFY_SOCKET: manager, WATCHDOG_USEC: '400000' },
    wrap: ['/usr/bin/python3', '-c', ACTIVATE, first, second, '--'],
  });
  const { daemon } = bench;
  await until('READY=1', () => said().includes('READY=1'));
  for (const path of [first, second]) assert.equal((await ask(path, { path: '/_ping' })).text, 'OK');
  assert.equal(told.messages[0]?.senderPid, daemon.pid);
  await until('the watchdog to be fed three times', () => said().filter((line) => line === 'WATCHDOG=1').length >= 3);

  const sockets = new Set([3, 4].map((fd) => readlinkSync(`/proc/${daemon.pid}/fd/${fd}`)));
  assert.equal(sockets.size, 2);
  const id = await bench.run(['sleep', '1000']);
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== daemon.pid && textOf(name, 'cmdline').includes(id));
  assert.ok(children.length > 0, 'the monitor of the container is found by its command line');
  for (const pid of children) {
    const open = descriptorsOf(pid).map((fd) => { try { return readlinkSync(`/proc/${pid}/fd/${fd}`); } catch { return ''; } });
    assert.deepEqual(open.filter((name) => sockets.has(name)), []);
    assert.doesNotMatch(textOf(pid, 'environ'), /NOTIFY_SOCKET|LISTEN_|WATCHDOG_/);
  }
  await bench.remove(id);
  assert.equal(await daemon.stop(), 0);
  await until('STOPPING=1', () => said().includes('STOPPING=1'));
  assert.equal(said().findLastIndex((line) => line === 'WATCHDOG=1') < said().indexOf('STOPPING=1'), true);
});

test('-H fd:// without systemd is refused in words', async () => {
  await using root = openTempRoot();
  await assert.rejects(startDaemon({ root: root.path, flags: ['-H', 'fd://'] }), (error: Error) => /no sockets found via socket activation: make sure the service was started by systemd/.test(error.message));
});

test('metrics have the names and labels of dockerd', async () => {
  await using root = openTempRoot();
  await using bench = await openBench({ flags: ['--metrics-addr', '127.0.0.1:0'] });
  const ours = await until('the address of the metrics', () => /metrics are served.*?"address":"([^"]+)"/.exec(bench.daemon.log())?.[1]);
  const { text: idle } = await ask(ours, { path: '/metrics' });
  const id = await bench.run(['true']);
  await bench.end(id);
  await bench.api('GET', `/containers/${id}/changes`, { status: 200 });
  const { text, status, headers } = await ask(ours, { path: '/metrics' });
  assert.deepEqual([status, headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8']);
  assert.match(text, /^engine_daemon_container_actions_seconds_count\{action="start"\} 1$/m);
  assert.match(text, /^engine_daemon_container_actions_seconds_bucket\{action="create",le="\+Inf"\} 1$/m);
  assert.match(text, /^engine_daemon_container_actions_seconds_count\{action="changes"\} 1$/m);
  assert.match(text, /^engine_daemon_network_actions_seconds_count\{action="allocate"\} 1$/m);
  assert.match(text, /^engine_daemon_container_states_containers\{state="running"\} 0$/m);
  assert.ok(Number(/^engine_daemon_events_total (\d+)$/m.exec(text)?.[1]) >= 4);
  assert.equal((await ask(ours, { path: '/' })).status, 404);

  const theirs = `127.0.0.1:${await freePort()}`;
  await using _dockerd = await startDockerd({ root: join(root.path, 'theirs'), flags: ['--experimental', '--metrics-addr', theirs] });
  const samples = (metrics: string) => new Set(metrics.split('\n').filter((line) => /^(engine_daemon|process)_/.test(line) && !line.includes('host_info_functions'))
    .map((line) => line.replace(/ \S+$/, '').replace(/="[^"]*"(?=[,}])/g, (value) => (/^="(\+Inf|[\d.]+|[a-z]+)"$/.test(value) && !line.includes('engine_info') ? value : '=""'))));
  assert.deepEqual([...samples(idle)].toSorted(), [...samples((await ask(theirs, { path: '/metrics' })).text)].toSorted());
});

test('SIGHUP reads the configuration again: what can change does, the rest is named, and one that cannot be read changes nothing', async () => {
  await using bench = await openBench({ config: { labels: ['a=1'] } });
  const { daemon } = bench;
  const events = await bench.events('?filters={"type":["daemon"]}');
  const info = async () => (await bench.api('GET', '/info', { status: 200 })).json<{ Labels: string[]; Debug: boolean; RegistryConfig: { IndexConfigs: Record<string, unknown> } }>();
  const reload = async (text: string, sign: RegExp) => {
    writeFileSync(join(daemon.root, 'daemon.json'), text);
    const seen = daemon.log().length;
    process.kill(daemon.pid, 'SIGHUP');
    await until(`${sign.source} in the log`, () => sign.test(daemon.log().slice(seen)));
  };
  await reload('{"labels":["b=2"],"debug":true,"insecure-registries":["reg.example:5000"],"metrics-addr":"127.0.0.1:1"}', /configuration reloaded/);
  const changed = await info();
  assert.deepEqual([changed.Labels, changed.Debug, Object.keys(changed.RegistryConfig.IndexConfigs)], [['b=2'], true, ['docker.io', 'reg.example:5000']]);
  assert.match(daemon.log(), /need a restart of the daemon","settings":\["metricsAddress"\]/);
  const { Attributes: told } = (await events.sees('reload')).Actor;
  assert.deepEqual([told['labels'], told['debug'], told['insecure-registries'], told['shutdown-timeout']], ['["b=2"]', 'true', '["reg.example:5000"]', '15']);
  await reload('{"labels":3}', /could not be reloaded/);
  assert.deepEqual((await info()).Labels, ['b=2']);
  events.leave();
});

test('the units name what the daemon has: its flags, its ways to be told, its words to systemd', () => {
  const unit = (name: string) => readFileSync(join(import.meta.dirname, '../../packaging/systemd', name), 'utf8');
  const service = unit('vaquita.service'), socket = unit('vaquita.socket');
  assert.match(service, /^ExecStart=\S+ daemon -H fd:\/\/$/m);
  for (const line of ['Type=notify', 'KillMode=process', 'Delegate=yes', 'Requires=vaquita.socket']) assert.ok(service.split('\n').includes(line), line);
  assert.match(socket, /^ListenStream=\/run\/vaquita\.sock$/m);
  for (const text of [service, socket]) for (const line of text.split('\n')) assert.match(line, /^(|#.*|\[(Unit|Service|Socket|Install)\]|[A-Z][A-Za-z]+=.+)$/);
});

/** Nothing of one that has just ended. */
function textOf(pid: string, file: string): string {
  try { return readFileSync(`/proc/${pid}/${file}`, 'utf8'); } catch { return ''; }
}

function descriptorsOf(pid: string): string[] {
  try { return readdirSync(`/proc/${pid}/fd`); } catch { return []; }
}
