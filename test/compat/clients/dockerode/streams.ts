// What programs write and read through dockerode: attach, exec and logs, framed, raw and both ways; and files as archives.
import { PassThrough } from 'node:stream';
import { until } from '../../../kit/poll.ts';
import { treeTar } from '../../../kit/image.ts';
import { logsOf, readAll, unframed, type Container, type Duplexed, type Exec, type NodeScene, type NodeStory, type Row } from './scene.ts';

export const streamStories: readonly NodeStory[] = [
  { name: 'attach', tell: async (scene) => {
    const box = await scene.create('a', ['sh', '-c', 'cat; echo end; sleep 0.3; echo err >&2'], { OpenStdin: true, StdinOnce: true });
    const stream = await box.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const [out, err] = apart(scene, stream);
    await box.start();
    stream.write('typed\n');
    stream.end();
    await scene.say('its end', () => box.wait());
    await until('the last word', () => err() !== '');
    scene.note('both ways, apart', [out(), err()]);
    const raw = await scene.create('b', ['sh', '-c', 'stty -echo; echo up; read x; stty size; echo got $x'], { OpenStdin: true, Tty: true });
    const terminal = await raw.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    await raw.start();
    await scene.logged({ ...raw, logs: async (options: object) => framed(await raw.logs(options) as Buffer) } as Container, 'up');
    await scene.say('resize', () => raw.resize({ h: 30, w: 90 }));
    terminal.write('line\n');
    scene.note('a terminal', (await readAll(terminal)).toString('utf8'));
    const plain = await scene.create('c', ['sh', '-c', 'echo out; sleep 0.3; echo err >&2']);
    const answered = await plain.attach({ stream: true, stdout: true, stderr: true });
    await plain.start();
    scene.note('without an upgrade', unframed(await readAll(answered)));
    await scene.say('what was written before', async () => unframed(await readAll(await plain.attach({ logs: true, stdout: true, stderr: true }))));
    await scene.say('attach to what is not there', () => scene.docker.getContainer('nosuch').attach({ stream: true, stdout: true }));
    const [told, made] = await scene.docker.run(scene.image, ['sh', '-c', 'echo ran; sleep 0.3; exit 4'], sink(), { name: scene.name('d'), HostConfig: { NetworkMode: 'none' }, Tty: true });
    scene.note('run', told);
    await made.remove();
  } },
  { name: 'exec', tell: async (scene) => {
    const box = await scene.run('a', undefined, { Env: ['FROM=container'] });
    for (const [label, options] of [
      ['plain', { Cmd: ['echo', 'hi'] }], ['both streams', { Cmd: ['sh', '-c', 'echo out; sleep 0.3; echo err >&2; exit 3'] }], ['environment', { Cmd: ['sh', '-c', 'echo $A $FROM'], Env: ['A=1'] }], ['user', { Cmd: ['id', '-u'], User: '1000' }], ['directory', { Cmd: ['pwd'], WorkingDir: '/etc' }], ['terminal', { Cmd: ['tty'], Tty: true }],
      ['what is not there', { Cmd: ['nosuch'] }], ['nothing', { Cmd: [] }],
    ] as const) await scene.say(label, () => executed(box, options));
    const exec = await box.exec({ Cmd: ['sh', '-c', 'cat; exit 2'], AttachStdin: true, AttachStdout: true, AttachStderr: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    stream.write('typed\n');
    stream.end();
    scene.note('both ways', unframed(await readAll(stream)));
    await scene.say('inspect', () => exec.inspect());
    await scene.say('start again', async () => (await readAll(await exec.start({}))).length > 0);
    const detached = await box.exec({ Cmd: ['sh', '-c', 'exit 6'] });
    await scene.say('detached', async () => { await readAll(await detached.start({ Detach: true })); });
    await scene.say('its end', () => until('its end', async () => { const told = await detached.inspect(); return told['Running'] === false && told; }), (told) => told['ExitCode']);
    await scene.say('inspect what is not there', () => scene.docker.getExec('nosuch').inspect());
    await scene.say('resize what is not there', () => scene.docker.getExec('nosuch').resize({ h: 1, w: 1 }));
  } },
  { name: 'logs', tell: async (scene) => {
    const box = await scene.run('a', ['sh', '-c', 'echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three; while [ ! -e /go ]; do sleep 0.05; done; echo four']);
    await scene.logged(box, 'three');
    const follow = await box.logs({ follow: true, stdout: true, stderr: true, tail: 1 }) as Duplexed;
    const end = readAll(follow);
    await executed(box, { Cmd: ['touch', '/go'] });
    scene.note('followed', unframed(await end));
    for (const [label, options] of [['all', {}], ['standard error', { stdout: false }], ['the last', { tail: 1 }], ['none', { tail: 0 }], ['neither', { stdout: false, stderr: false }], ['since the future', { since: 4_000_000_000 }], ['until long ago', { until: 1 }]] as const) await scene.say(label, () => logsOf(box, options));
    await scene.say('stamps', () => logsOf(box, { timestamps: true }), (text) => text.split('\n').map((line) => /^\d{4}-\d\d-\d\dT[\d:.]+Z /.test(line)));
    await scene.say('of what is not there', () => scene.docker.getContainer('nosuch').logs({ stdout: true }));
  } },
  { name: 'files', tell: tellFiles },
  { name: 'as a test library', tell: async (scene) => {
    const box = await scene.create('a', ['sh', '-c', 'echo starting; sleep 0.3; echo ready; cat /etc/app.conf; exec sleep 1000'], { Labels: { 'org.testcontainers': 'true' }, ExposedPorts: { '8080/tcp': {} } });
    await box.putArchive(treeTar({ 'etc/app.conf': { content: 'port = 8080\n', mode: 0o600 } }), { path: '/' });
    await box.start();
    const follow = await box.logs({ follow: true, stdout: true, stderr: true }) as Duplexed;
    const [out] = apart(scene, follow);
    await until('it to be ready', () => out().includes('8080'));
    follow.destroy();
    scene.note('what it said', out());
    await scene.say('its state', () => box.inspect(), ({ State, NetworkSettings }) => [(State as Row)['Running'], (NetworkSettings as Row)['Ports']]);
    await scene.say('a program in it', () => executed(box, { Cmd: ['cat', '/etc/app.conf'] }));
    await scene.say('remove', () => box.remove({ force: true, v: true }));
    await scene.gone(box);
  } },
];

/** stdout, stderr and the exit code. */
async function executed(box: Container, options: Row): Promise<unknown> {
  const exec: Exec = await box.exec({ AttachStdout: true, AttachStderr: true, ...options });
  const bytes = await readAll(await exec.start({ hijack: true, Tty: options['Tty'] ?? false }));
  const { ExitCode } = await exec.inspect();
  return [ExitCode, options['Tty'] ? bytes.toString('utf8') : unframed(bytes)];
}

function apart(scene: NodeScene, stream: Duplexed): [out: () => string, err: () => string] {
  const made = [new PassThrough(), new PassThrough()] as const;
  const texts = ['', ''];
  for (const [at, one] of made.entries()) one.on('data', (chunk: Buffer) => { texts[at] += chunk.toString('utf8'); });
  stream.on('error', () => {});
  scene.docker.modem.demuxStream(stream, made[0], made[1]);
  return [() => texts[0] ?? '', () => texts[1] ?? ''];
}

const framed = (bytes: Buffer): Buffer => { const head = Buffer.alloc(8); head.writeUInt32BE(bytes.length, 4); return Buffer.concat([head, bytes]); };
const sink = () => { const one = new PassThrough(); one.resume(); return one; };

async function tellFiles(scene: NodeScene): Promise<void> {
  const box = await scene.run('a');
  const tree = treeTar({ 'made/': null, 'made/file': 'text', 'made/program': { content: '#!/bin/sh\n', mode: 0o755 }, 'made/link': { type: 'symlink', linkName: 'file', mode: 0o777 } });
  await scene.say('put', () => box.putArchive(tree, { path: '/tmp' }), () => 'put');
  await scene.say('put as a stream', () => box.putArchive(PassThrough.from([treeTar({ streamed: 'text' })]), { path: '/tmp' }), () => 'put');
  await scene.say('what is there', () => executed(box, { Cmd: ['sh', '-c', 'cd /tmp; find . | sort; cat made/file streamed'] }));
  for (const path of ['/tmp/made', '/tmp/made/file', '/tmp/made/link', '/nosuch', '/tmp/made/file/x']) {
    await scene.say(`stat of ${path}`, () => box.infoArchive({ path }), ({ headers }) => statOf(headers['x-docker-container-path-stat'] ?? ''));
    await scene.say(`get ${path}`, async () => (await readAll(await box.getArchive({ path }))).length % 512);
  }
  await scene.say('put to nowhere', () => box.putArchive(tree, { path: '/nosuch' }));
  await scene.say('put what is no archive', () => box.putArchive(Buffer.alloc(2048, 'x'), { path: '/tmp' }));
  await scene.say('a folder over a file', () => box.putArchive(treeTar({ 'made/file/': null }), { path: '/tmp', noOverwriteDirNonDir: true }));
  await scene.say('changes', () => box.changes(), (rows) => (rows ?? []).map(({ Path, Kind }) => `${String(Kind)} ${String(Path)}`).toSorted());
  await scene.say('export', async () => (await readAll(await box.export())).includes('made/program'));
  await scene.say('commit', () => box.commit({ repo: scene.name('made'), tag: '1', comment: 'why', author: 'who', changes: 'ENV A=1' }), ({ Id }) => String(Id).length);
  await scene.say('its image', () => scene.docker.getImage(`${scene.name('made')}:1`).inspect(), ({ Comment, Author, Config, RepoTags }) => [Comment, Author, Config, RepoTags]);
  await scene.say('remove its image', () => scene.docker.getImage(`${scene.name('made')}:1`).remove(), (rows) => (rows as Row[]).map((row) => Object.keys(row)[0]));
  await box.remove({ force: true });
}

function statOf(header: string): unknown {
  const { mtime: _moment, ...stat } = JSON.parse(Buffer.from(header, 'base64').toString('utf8')) as Row;
  return stat;
}
