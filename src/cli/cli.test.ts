import assert from 'node:assert/strict';
import test from 'node:test';
import { containersAt, imagesAt, pullLines, webContainer } from '../../test/kit/canned-answers.ts';
import { openCannedDaemon, type Answer } from '../../test/kit/canned-daemon.ts';
import { openTestIo, type TestIoOptions } from '../../test/kit/cli-io.ts';
import { openClient, openClientFor, runCli } from './cli.ts';

const NOW = 1_795_200_000;
const routes: Record<string, Answer> = {
  'GET /containers/json': { json: containersAt(NOW) },
  'GET /images/json': { json: imagesAt(NOW) },
  'GET /containers/web/json': { json: webContainer },
  'GET /containers/web/top': { json: { Titles: ['PID', 'CMD'], Processes: [['1', 'a command line that is longer than its column']] } },
  'POST /images/create': { bytes: pullLines },
  'POST /containers/web/stop': { status: 204 },
  'DELETE /containers/web': { status: 204 },
  'DELETE /images/nginx': { json: [{ Untagged: 'nginx:latest' }, { Deleted: 'sha256:abc' }] },
  'POST /auth': { json: { Status: 'Login Succeeded', IdentityToken: '' } },
  'POST /containers/prune': { json: { ContainersDeleted: ['abc'], SpaceReclaimed: 1234567 } },
  'GET /events': { bytes: '{"status":"die","id":"ab","from":"nginx","Type":"container","Action":"die","Actor":{"ID":"ab","Attributes":{"name":"web","exitCode":"1"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}\n' },
};

async function cli(words: readonly string[], options: TestIoOptions = {}) {
  await using daemon = await openCannedDaemon(routes);
  const io = openTestIo({ nowMs: NOW * 1000, ...options });
  const code = await runCli(words, openClient({ host: daemon.host }), io);
  return { code, out: io.out(), err: io.err(), io, asked: daemon.asked };
}

test('ps lines its columns up', async () => {
  assert.deepEqual((await cli(['ps', '-a'])).out.split('\n'), [
    'CONTAINER ID   IMAGE                       COMMAND                    CREATED       STATUS                    PORTS                                                                      NAMES',
    'a1b2a1b2a1b2   nginx:1.25                  "/docker-entrypoint.…"     2 hours ago   Up 2 hours (healthy)      127.0.0.1:53->53/udp, 443-444/tcp, 0.0.0.0:8080->80/tcp, :::8080->80/tcp   web',
    'c3d4c3d4c3d4   2e2e2e2e2e2e                "sh -c \\"echo é; \\ttru…"   3 days ago    Exited (137) 3 days ago                                                                              job',
    'e5f6e5f6e5f6   r.example.com:5000/a/b:v1   "sleep 1"                  2 hours ago   Created                   9/sctp                                                                     pinned_by_digest',
    '',
  ]);
});

test('images has a line per name', async () => {
  assert.deepEqual((await cli(['images'])).out.split('\n'), [
    'REPOSITORY               TAG       IMAGE ID       CREATED             SIZE',
    'nginx                    1.25      1f1f1f1f1f1f   5 weeks ago         188MB',
    'nginx                    latest    1f1f1f1f1f1f   5 weeks ago         188MB',
    '<none>                   <none>    2e2e2e2e2e2e   13 months ago       1e+03kB',
    'r.example.com:5000/a/b   <none>    3d3d3d3d3d3d   About an hour ago   1.23kB',
    'r.example.com:5000/a/b   v1        4c4c4c4c4c4c   2 hours ago         1.99MB',
    'busybox                  uclibc    4c4c4c4c4c4c   2 hours ago         1.99MB',
    '',
  ]);
});

test('lists are quiet, filtered and formatted on demand', async () => {
  const quiet = await cli(['container', 'ls', '-q', '-f', 'status=running', '-n', '2']);
  assert.deepEqual([quiet.out, quiet.asked[0]?.query.toString()], ['a1b2a1b2a1b2\nc3d4c3d4c3d4\ne5f6e5f6e5f6\n', 'limit=2&filters=%7B%22status%22%3A%7B%22running%22%3Atrue%7D%7D']);
  assert.equal((await cli(['ps', '--format', 'table {{.Names}}\t{{upper .State}}'])).out, 'NAMES              STATE\nweb                RUNNING\njob                EXITED\npinned_by_digest   CREATED\n');
  const row = JSON.parse((await cli(['ps', '--format', '{{json .}}'])).out.split('\n')[0] ?? '') as Record<string, string>;
  assert.deepEqual([row['ID'], row['Size'], row['Labels'], row['LocalVolumes'], row['Mounts']], ['a1b2a1b2a1b2', '1.09kB (virtual 188MB)', 'a=<1>', '1', 'a-volume-with-…']);
  const bad = await cli(['ps', '--format', '{{.Foo}}']);
  assert.deepEqual([bad.code, bad.err], [1, 'failed to execute template: template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type *formatter.ContainerContext\n']);
});

test('inspect shows what it finds and then says what it did not', async () => {
  const both = await cli(['inspect', 'nosuch', 'web']);
  assert.deepEqual([both.code, JSON.parse(both.out), both.err], [1, [webContainer], 'Error: No such object: nosuch\n']);
  assert.ok(both.out.startsWith(`[\n    {\n        "Id": "${webContainer.Id}",\n`));
  assert.equal((await cli(['inspect', '-f', '{{.State.Pid}} {{.Config.Labels}}', 'web'])).out, '1270 map[a:1 b:2]\n');
});

test('a word for many goes through all of them', async () => {
  const stopped = await cli(['stop', '-t', '3', 'web', 'nosuch']);
  assert.deepEqual([stopped.code, stopped.out, stopped.err, stopped.asked[0]?.query.get('t')], [1, 'web\n', 'Error response from daemon: No such container: nosuch\n', '3']);
  const removed = await cli(['rm', '-fv', 'web', 'nosuch']);
  assert.deepEqual([removed.code, removed.out, removed.err, removed.asked[0]?.query.toString()], [0, 'web\n', 'Error: No such container: nosuch\n', 'v=1&force=1']);
  const images = await cli(['rmi', 'nginx', 'nosuch']);
  assert.deepEqual([images.code, images.out, images.err], [1, 'Untagged: nginx:latest\nDeleted: sha256:abc\n', 'Error: No such image: nosuch\n']);
});

test('what is typed wrong is answered as Docker does', async () => {
  const cases: Array<[string[], number, string]> = [
    [['nosuch'], 1, "vaquita: 'nosuch' is not a vaquita command.\nSee 'vaquita --help'\n"],
    [['run'], 1, '"vaquita run" requires at least 1 argument.\nSee \'vaquita run --help\'.\n\nUsage:  vaquita run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun a command in a new container\n'],
    [['ps', 'x'], 1, '"vaquita ps" accepts no arguments.\nSee \'vaquita ps --help\'.\n\nUsage:  vaquita ps [OPTIONS]\n\nList containers\n'],
    [['container', 'rename', 'x'], 1, '"vaquita container rename" requires exactly 2 arguments.\nSee \'vaquita container rename --help\'.\n\nUsage:  vaquita container rename CONTAINER NEW_NAME\n\nRename a container\n'],
    [['run', '--nosuch', 'x'], 125, "unknown flag: --nosuch\nSee 'vaquita run --help'.\n"],
    [['pull', 'Xx'], 1, 'invalid reference format: repository name must be lowercase\n'],
    [['search', 'x'], 1, "vaquita: this version does not have 'search' yet: searching a registry comes with a later release.\n"],
    [['push', '-a', 'x:1'], 1, 'tag can\'t be used with --all-tags/-a\n'],
    [['push', `x@sha256:${'ab'.repeat(32)}`], 1, 'cannot push a digest reference\n'],
    [['image', 'delta', 'x:1', 'x:2', '-t', 'Bad:Tag'], 1, 'invalid reference format: repository name must be lowercase\n'],
    [['image', 'publish-deltas', 'x:2'], 1, '--from is needed: the image to make a delta from\n'],
    [['image', 'build', '--help'], 1, "vaquita: this version does not have 'image build' yet: building images comes with a later release.\nMeanwhile: build elsewhere, push to a registry, and pull here.\n"],
    [['help', 'swarm'], 1, "vaquita: there is no 'swarm', and there will be none: it belongs to Swarm, which this engine leaves out.\n"],
    [['prune'], 1, "vaquita: 'prune' is not a vaquita command.\nSee 'vaquita --help'\n"],
    [['help', 'nosuch'], 1, 'unknown help topic: nosuch\n'],
  ];
  for (const [words, code, err] of cases) {
    const answer = await cli(words);
    assert.deepEqual([answer.code, answer.err, answer.out], [code, err, ''], words.join(' '));
  }
});

test('every word has a help text that fits 80 columns', async () => {
  const { commands, groups } = await import('./commands/index.ts');
  const words = [[], ...commands.map((one) => [one.name]), ...groups.map((one) => [one.name]), ...groups.flatMap((group) => group.commands.map((one) => [group.name, one.name]))];
  for (const one of words) {
    const help = await cli([...one, '--help']);
    assert.deepEqual([help.code, help.err], [0, ''], one.join(' '));
    assert.ok(help.out.startsWith(`\nUsage:  ${['vaquita', ...one].join(' ')}`), one.join(' '));
    for (const line of help.out.split('\n').slice(2)) assert.ok(line.length <= 90, `${one.join(' ')}: ${line}`);
    if (one.length > 0) assert.equal((await cli(['help', ...one])).out, help.out);
  }
  assert.equal((await cli(['--version'])).out, 'Vaquita version 0.1.0, build unknown\n');
});

test('pull prints one line per change, and nothing but the name with -q', async () => {
  assert.equal((await cli(['pull', 'missing'])).out, 'Using default tag: latest\nlatest: Pulling from library/missing\naaaabbbbcccc: Pulling fs layer\naaaabbbbcccc: Download complete\naaaabbbbcccc: Pull complete\nDigest: sha256:abc\nStatus: Downloaded newer image for missing:latest\ndocker.io/library/missing:latest\n');
  const quiet = await cli(['pull', '-q', 'r.example.com/a:1'], { files: { '/user/.vaquita/config.json': '{"auths":{"r.example.com":{"auth":"YTpiOmM="}}}' } });
  assert.equal(quiet.out, 'r.example.com/a:1\n');
  const auth = JSON.parse(Buffer.from(String(quiet.asked[0]?.headers['x-registry-auth']), 'base64url').toString()) as Record<string, string>;
  assert.deepEqual([auth['username'], auth['password']], ['a', 'b:c']);
});

test('pull asks without deltas or for a dry run only when it is told to', async () => {
  const asked = async (...words: string[]) => (await cli(['pull', ...words, 'a:1'])).asked.at(-1)?.query.toString();
  assert.deepEqual([await asked(), await asked('--no-delta'), await asked('--dry-run'), await asked('--no-delta', '--dry-run')],
    ['fromImage=a&tag=1', 'fromImage=a&tag=1&delta=0', 'fromImage=a&tag=1&dryRun=1', 'fromImage=a&tag=1&delta=0&dryRun=1']);
});

test('on a terminal each layer keeps its line', async () => {
  const { out } = await cli(['pull', 'missing'], { tty: true, columns: 120 });
  assert.ok(out.includes('\n\x1b[1A\x1b[2K\raaaabbbbcccc: Pulling fs layer \r\x1b[1B'), JSON.stringify(out));
  assert.ok(out.includes('\x1b[1A\x1b[2K\raaaabbbbcccc: Downloading [>                                                  ]      1kB/2MB\r\x1b[1B'), JSON.stringify(out));
});

test('login keeps what the daemon accepted, logout forgets it', async () => {
  async function* password() { yield Buffer.from('secret\n'); }
  const login = await cli(['login', '-u', 'me', '--password-stdin', 'r.example.com'], { input: password() });
  assert.deepEqual([login.code, JSON.parse(login.asked[0]?.body ?? '')], [0, { username: 'me', password: 'secret', serveraddress: 'r.example.com' }]);
  const file = login.io.files.get('/user/.vaquita/config.json') ?? '';
  assert.deepEqual(JSON.parse(file), { auths: { 'r.example.com': { auth: Buffer.from('me:secret').toString('base64') } } });
  const logout = await cli(['logout', 'r.example.com'], { files: { '/user/.vaquita/config.json': file } });
  assert.deepEqual(JSON.parse(logout.io.files.get('/user/.vaquita/config.json') ?? ''), { auths: {} });
  const mute = await cli(['login']);
  assert.deepEqual([mute.code, mute.err], [1, 'Error: Cannot perform an interactive login from a non TTY device\n']);
});

test('events keep all their digits', async () => {
  assert.match((await cli(['events', '--until', '1'])).out, /\.123456789\S* container die ab \(exitCode=1, name=web\)\n$/);
  assert.match((await cli(['events', '--until', '1', '--format', '{{json .}}'])).out, /"timeNano":1700000000123456789}\n$/);
  assert.equal((await cli(['events', '--until', '1', '--format', '{{.Time}} {{.Actor.Attributes.name}}'])).out, '1700000000 web\n');
});

test('prune asks first', async () => {
  async function* answer(text: string) { yield Buffer.from(text); }
  const no = await cli(['container', 'prune'], { input: answer('n\n') });
  assert.deepEqual([no.asked.length, no.out], [0, 'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] Total reclaimed space: 0B\n']);
  const yes = await cli(['container', 'prune'], { input: answer('y\n') });
  assert.ok(yes.out.endsWith('Deleted Containers:\nabc\n\nTotal reclaimed space: 1.235MB\n'));
});

test('the daemon is found by flag, then environment, then at its own socket', async () => {
  const host = async (words: string[], env: Record<string, string> = {}) => (await openClientFor(words, openTestIo({ env }))).host;
  assert.equal(await host(['-H', 'tcp://a:1', 'ps'], { DOCKER_HOST: 'tcp://b:2' }), 'tcp://a:1');
  assert.equal(await host(['ps', '-H', 'tcp://a:1'], { DOCKER_HOST: 'tcp://b:2' }), 'tcp://b:2');
  assert.equal(await host(['ps']), 'unix:///var/run/vaquita.sock');
  await assert.rejects(openClientFor(['--tlscacert', '/nosuch', '--tlsverify', 'ps'], openTestIo()), { code: 'ENOENT' });
});

test('templates take what those of Docker take', async () => {
  const cases: Array<[string[], string]> = [
    [['inspect', '-f', '{{.Config.Labels.nosuch}}|{{.Config.Labels.a}}', 'web'], '<no value>|1\n'],
    [['version', '-f', '{{.Client.APIVersion}} {{.Client.ApiVersion}}'], '1.41 1.41\n'],
    [['events', '--format', '{{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.nosuch}}'], 'die 1 <no value>\n'],
    [['images', '-q', '--format', 'raw'], ['1f', '1f', '2e', '3d', '4c', '4c'].map((id) => `image_id: ${id.repeat(6)}\n`).join('')],
  ];
  for (const [words, out] of cases) assert.equal((await cli(words)).out, out, words.join(' '));
  assert.match((await cli(['ps', '--format', 'raw'])).out, /^container_id: a1b2a1b2a1b2\nimage: nginx:1.25\n[\s\S]*\nstate: running\nstatus: Up 2 hours \(healthy\)\nnames: web\nlabels: a=<1>\nports: [^\n]+\n\ncontainer_id: /);
  assert.deepEqual((await cli(['events', '--format', '{{.Nope}}'])).code, 64);
  assert.equal((await cli(['ps', '--format', '{{json .}}'])).asked[0]?.query.get('size'), '1');
});
