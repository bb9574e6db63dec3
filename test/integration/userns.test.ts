// --userns-remap: root in a container is nobody on the host, and everything a container needs is still its own; beside dockerd, on one root.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { CLIS, openDocker, type Docker } from '../kit/docker.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { busyboxImage, treeTar } from '../kit/image.ts';
import { until } from '../kit/poll.ts';

/** Kept by every test on this machine: dockerd too makes it when it is missing, and never takes it away. */
const REMAP = 'default';

let bench: Bench;
let docker: Docker;
let image: string;
/** Numbers of the container's root on the host. */
let uid: number, gid: number;
let remapped: Daemon;
/** Of the remapped daemon's data. */
let root: string;
/** Never to be another's: a whole machine writes to it. */
const assertNull = () => { const { uid: user, gid: group, mode } = statSync('/dev/null'); assert.deepEqual([user, group, mode & 0o777], [0, 0, 0o666], 'the null device of the host'); };

before(async () => {
  bench = await openBench();
  chmodSync(bench.path, 0o711); // the remapped root must get through to its own
  chmodSync(join(bench.path, 'engine'), 0o711);
  const tree = treeTar({ 'srv/': { uid: 5, gid: 6 }, 'srv/owned': { content: 'x', uid: 5, gid: 6 }, 'srv/link': { type: 'symlink', linkName: 'owned', uid: 7, gid: 8 }, 'deep/er/file': 'parents are not in the layer' });
  image = await bench.add(busyboxImage({ extra: [tree] }), 'owned');
  remapped = await startDaemon({ root: join(bench.path, 'remapped'), flags: ['--userns-remap', REMAP] });
  chmodSync(remapped.root, 0o711);
  docker = dockerAt(remapped.host);
  const first = (file: string) => Number(/^dockremap:(\d+):\d+$/m.exec(readFileSync(file, 'utf8'))?.[1]);
  [uid, gid] = [first('/etc/subuid'), first('/etc/subgid')];
  root = join(remapped.dataRoot, `${uid}.${gid}`);
});
after(async () => {
  await remapped[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

const dockerAt = (host: string) => openDocker({ host, configDir: join(bench.path, 'client'), binary: CLIS.debian });
const owner = (path: string) => { const found = lstatSync(path); return [found.uid - uid, found.gid - gid]; };

test('info says so, and where everything is', async () => {
  assert.equal(await docker.ok(['info', '-f', '{{.DockerRootDir}}']), root);
  assert.match(await docker.ok(['info', '-f', '{{.SecurityOptions}}']), /name=userns/);
});

test('layers hold the host\'s numbers', async () => {
  await docker.ok(['pull', '-q', image]);
  const [top = ''] = (await docker.ok(['image', 'inspect', '-f', '{{.GraphDriver.Data.UpperDir}}', image])).split(':');
  const places = ['', 'srv', 'srv/owned', 'srv/link', 'deep', 'deep/er', 'deep/er/file'].map((name) => owner(join(top, name)).join(':'));
  assert.deepEqual(places, ['0:0', '5:6', '5:6', '7:8', '0:0', '0:0', '0:0']);
});

test('root writes as nobody that the host knows, users as their own numbers, and sees itself as root', async () => {
  const shared = join(bench.path, 'shared');
  mkdirSync(shared);
  chownSync(shared, uid, gid);
  const secrets = join(bench.path, 'secrets');
  mkdirSync(secrets);
  writeFileSync(join(secrets, 'secret'), 'of the host', { mode: 0o600 });
  const { stdout: said } = await docker.run(['run', '--rm', '-v', `${shared}:/shared`, '-v', 'kept:/kept', image, 'sh', '-c',
    'id -u; stat -c %u:%g /srv/owned / /etc/hosts /kept; echo x > /shared/by-root; echo x > /kept/by-root; touch /shared/by-user && chown 33:34 /shared/by-user; cat /proc/self/uid_map; mount -t tmpfs x /mnt 2>&1; chmod 666 /dev/null 2>&1']);
  assert.match(said, /^0\n5:6\n0:0\n0:0\n0:0\n +0 +\d+ +65536\n/);
  assert.match(said, new RegExp(`^ +0 +${uid} `, 'm'));
  assert.match(said, /mount: permission denied[^\n]*\nchmod: \/dev\/null: Operation not permitted\n$/);
  assert.deepEqual([owner(join(shared, 'by-root')), owner(join(shared, 'by-user')), owner(join(root, 'volumes/kept/_data/by-root'))], [[0, 0], [33, 34], [0, 0]]);
  assert.match((await docker.run(['run', '--rm', '-v', `${secrets}:/host`, image, 'sh', '-c', 'cat /host/secret; echo x > /host/new'])).stderr, /secret.*Permission denied[\s\S]*new: Permission denied/i);
});

test('the null device stays the host\'s, whoever runs and execs', async () => {
  await docker.ok(['run', '-d', '--name', 'one', image, 'sleep', '1000']);
  assertNull();
  assert.equal(await docker.ok(['exec', '-u', '33', 'one', 'id', '-u']), '33');
  assert.equal(await docker.ok(['exec', 'one', 'cat']), '', 'stdin is at its end');
  for (const words of [['run', '--rm', '-t', image, 'true'], ['run', '--rm', image, 'cat'], ['exec', '-t', '-u', '33', 'one', 'true'], ['exec', '-d', '-u', '33', 'one', 'true']]) {
    await docker.ok(words);
    assertNull();
  }
});

test('joined namespaces, shared memory, terminals, limits', async () => {
  await docker.ok(['run', '-d', '--name', 'donor', '--ipc', 'shareable', image, 'sh', '-c', 'echo told > /dev/shm/word; sleep 1000']);
  await until('the word', async () => (await docker.run(['exec', 'donor', 'cat', '/dev/shm/word'])).stdout === 'told\n');
  for (const join of [['--network', 'container:one'], ['--pid', 'container:one']]) assert.equal(await docker.ok(['run', '--rm', ...join, image, 'id', '-u']), '0', join.join(' '));
  assert.equal(await docker.ok(['run', '--rm', '--ipc', 'container:donor', image, 'sh', '-c', 'cat /dev/shm/word; stat -c %u:%g /dev/shm/word']), 'told\n0:0');
  assert.match(await docker.ok(['run', '--rm', '-t', '-m', '32m', '--pids-limit', '20', '--init', '--read-only', '--tmpfs', '/t', image, 'sh', '-c', 'touch /t/x; tty; stat -c %u /t/x']), /^\/dev\/pts\/0\r\n0\r?$/);
});

test('files are copied in and out with the numbers of the container', async () => {
  await docker.ok(['cp', '-a', `${import.meta.filename}`, 'one:/srv/copied']);
  assert.equal(await docker.ok(['exec', 'one', 'stat', '-c', '%u:%g', '/srv/copied']), '0:0');
});

test('what belongs to the host is refused, unless the container stays outside', async () => {
  for (const [words, said] of [
    [['--privileged'], 'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode'],
    [['--network', 'host'], "cannot share the host's network namespace when user namespaces are enabled"], [['--pid', 'host'], 'cannot share the host PID namespace when user namespaces are enabled'],
  ] as const) {
    assert.match((await docker.run(['run', '--rm', ...words, image, 'true'])).stderr, new RegExp(`: ${said.replace(/[.']/g, '.')}`));
    assert.match(await docker.ok(['run', '--rm', ...words, '--userns', 'host', image, 'cat', '/proc/self/uid_map']), /^ +0 +0 +4294967295$/);
  }
});

test('containers outlive the daemon as they are', async () => {
  await remapped.kill();
  await using next = await startDaemon({ root: remapped.root, flags: ['--userns-remap', REMAP] });
  const again = dockerAt(next.host);
  assert.equal(await again.ok(['exec', 'one', 'id', '-u']), '0');
  assert.equal(await again.ok(['run', '--rm', '--ipc', 'container:donor', image, 'cat', '/dev/shm/word']), 'told');
  await again.ok(['rm', '-f', 'one', 'donor']);
  await again.ok(['volume', 'rm', 'kept']);
  assert.deepEqual(readdirSync(join(root, 'containers')), []);
  await next.stop();
});

test('a root without remapping does not see one with it, and the other way round', async () => {
  await using plain = await startDaemon({ root: join(bench.path, 'remapped') });
  assert.equal(await dockerAt(plain.host).ok(['images', '-q']), '');
  assert.equal(await plain.stop(), 0);
});

test('dockerd goes on with a remapped root, and gives it back', async () => {
  const [ours, theirs] = [join(bench.path, 'hand-v'), join(bench.path, 'hand-d')];
  for (const path of [ours, join(ours, 'data'), theirs]) { mkdirSync(path); chmodSync(path, 0o711); }
  symlinkSync(join(ours, 'data'), join(theirs, 'docker-data'));
  const check = async (docker: Docker, name: string) => {
    assert.equal(await docker.ok(['run', '--name', name, '--network', 'none', image, 'sh', '-c', 'stat -c %u:%g /srv/owned; echo by root > /srv/new']), '5:6');
    assert.equal(await docker.ok(['ps', '-aq', '--filter', 'name=by', '--format', '{{.Names}}']), name === 'by-us' ? 'by-us' : 'by-them\nby-us');
  };
  {
    await using daemon = await startDaemon({ root: ours, flags: ['--userns-remap', REMAP] });
    await dockerAt(daemon.host).ok(['pull', '-q', image]);
    await check(dockerAt(daemon.host), 'by-us');
    await daemon.stop();
  }
  {
    await using dockerd = await startDockerd({ root: theirs, flags: ['--userns-remap', REMAP] });
    const docker = dockerAt(dockerd.host);
    await check(docker, 'by-them');
    assert.deepEqual([(await docker.run(['start', '-a', 'by-us'])).stdout], ['5:6\n'], 'what we made runs there');
  }
  {
    await using daemon = await startDaemon({ root: ours, flags: ['--userns-remap', REMAP] });
    const docker = dockerAt(daemon.host);
    assert.equal(await docker.ok(['start', '-a', 'by-them']), '5:6');
    await docker.ok(['rm', 'by-us', 'by-them']);
    await docker.ok(['rmi', image]);
    await daemon.stop();
  }
});
