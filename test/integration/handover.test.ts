// One data root, two engines in turn: what we pulled and made, dockerd goes on with; what it pulled and made, we go on with.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { startDaemon } from '../kit/daemon.ts';
import { CLIS, openDocker, type Docker } from '../kit/docker.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { busyboxImage, treeTar } from '../kit/image.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot, type TempRoot } from '../kit/temp.ts';


let root: TempRoot;
let registry: DebianRegistry;
let one: string;
let two: string;

before(async () => {
  root = openTempRoot();
  registry = await startRegistry({ root: join(root.path, 'registry') });
  const extra = treeTar({ 'etc/greeting': 'hello from two layers\n' });
  one = await pushImage(registry.host, busyboxImage({ extra: [extra] }), { repository: 'hand/over', tag: '1' });
  // Shares its first layer with the other one, so that the second engine has to find it.
  two = await pushImage(registry.host, busyboxImage({ extra: [treeTar({ 'etc/greeting': 'hello from the second image\n' })] }), { repository: 'hand/over', tag: '2' });
});

after(async () => {
  await registry.stop();
  await root[Symbol.asyncDispose]();
});

/** The two kits keep their data below their own roots: here both are one folder. */
function sharedRoot(name: string): { ours: string; theirs: string } {
  const [ours, theirs] = [join(root.path, `${name}-v`), join(root.path, `${name}-d`)];
  mkdirSync(join(ours, 'data'), { recursive: true });
  mkdirSync(theirs, { recursive: true });
  symlinkSync(join(ours, 'data'), join(theirs, 'docker-data'));
  return { ours, theirs };
}

async function withVaquita(folder: string, work: (docker: Docker) => Promise<void>): Promise<void> {
  await using daemon = await startDaemon({ root: folder });
  await work(openDocker({ host: daemon.host, configDir: join(root.path, 'client'), binary: CLIS.debian }));
  assert.equal(await daemon.stop(), 0, daemon.log());
}

async function withDockerd(folder: string, work: (docker: Docker) => Promise<void>): Promise<void> {
  await using dockerd = await startDockerd({ root: folder });
  await work(openDocker({ host: dockerd.host, configDir: join(root.path, 'client'), binary: CLIS.debian }));
}

/** Its layers, written out by the other engine, hash to what the image says. */
async function assertExactLayers(docker: Docker, image: string): Promise<void> {
  const archive = join(root.path, 'saved.tar');
  await docker.ok(['save', '-o', archive, image]);
  const [{ Layers: layers = [] } = {}] = JSON.parse(execFileSync('tar', ['-xOf', archive, 'manifest.json'], { encoding: 'utf8' })) as Array<{ Layers?: string[] }>;
  const digests = layers.map((layer) => digestOf(execFileSync('tar', ['-xOf', archive, layer], { maxBuffer: 64 << 20 })));
  assert.deepEqual(digests, JSON.parse(await docker.ok(['image', 'inspect', '-f', '{{json .RootFS.Layers}}', image])));
}

const greeting = (docker: Docker, image: string) => docker.ok(['run', '--rm', '--network', 'none', image, 'cat', '/etc/greeting']);

test('dockerd goes on with a root that this engine pulled into, and gives it back', async () => {
  const { ours, theirs } = sharedRoot('from-us');
  let id = '', tagged = '';
  const taggedOf = (docker: Docker) => docker.ok(['image', 'inspect', '-f', '{{.Metadata.LastTagTime}}', 'handed']);
  await withVaquita(ours, async (docker) => {
    await docker.ok(['pull', one]);
    id = await docker.ok(['image', 'inspect', '-f', '{{.Id}} {{json .RepoDigests}}', one]);
    assert.equal(await docker.run(['run', '--name', 'made-by-us', '--network', 'none', one, 'sh', '-c', 'echo kept > /kept; rm /etc/greeting; exit 3']).then(({ code }) => code), 3);
    await docker.ok(['commit', '-c', 'CMD ["cat","/kept"]', 'made-by-us', 'handed']);
    tagged = await taggedOf(docker);
    assert.doesNotMatch(tagged, /^0001/);
  });
  await withDockerd(theirs, async (docker) => {
    assert.equal(await taggedOf(docker), tagged);
    await docker.ok(['tag', 'handed', 'handed:2']);
    assert.notEqual(await taggedOf(docker), tagged);
    tagged = await taggedOf(docker);
    assert.equal(await docker.ok(['image', 'inspect', '-f', '{{.Id}} {{json .RepoDigests}}', one]), id);
    assert.equal(await greeting(docker, one), 'hello from two layers');
    assert.equal(await docker.ok(['ps', '-a', '--format', '{{.Names}} {{.Status}}']).then((line) => line.split(' ').slice(0, 3).join(' ')), 'made-by-us Exited (3)');
    await docker.ok(['cp', 'made-by-us:/kept', join(root.path, 'kept')]);
    assert.equal(await docker.ok(['run', '--rm', '--network', 'none', 'handed']), 'kept');
    assert.notEqual((await docker.run(['run', '--rm', '--network', 'none', 'handed', 'cat', '/etc/greeting'])).code, 0);
    await assertExactLayers(docker, 'handed');
    const pulled = await docker.ok(['pull', two]);
    assert.match(pulled, /Already exists/, 'dockerd finds the layers that we committed');
    await docker.ok(['rm', 'made-by-us']);
    await docker.ok(['rmi', one, 'handed:2']);
  });
  await withVaquita(ours, async (docker) => {
    assert.equal(await taggedOf(docker), tagged, 'written by dockerd, read by us');
    await docker.ok(['rmi', 'handed']);
    assert.equal(await docker.ok(['ps', '-aq']), '');
    assert.equal(await docker.ok(['images', '--format', '{{.Repository}}:{{.Tag}}']), two);
    assert.equal(await greeting(docker, two), 'hello from the second image');
    await docker.ok(['rmi', two]);
  });
});

test('this engine goes on with a root that dockerd pulled into, and gives it back', async () => {
  const { ours, theirs } = sharedRoot('from-docker');
  await withDockerd(theirs, async (docker) => {
    await docker.ok(['pull', one]);
    await docker.run(['run', '--name', 'made-by-docker', '--network', 'none', '-e', 'A=1', '--hostname', 'boxy', one, 'sh', '-c', 'hostname; echo $A; echo kept > /kept']);
  });
  await withVaquita(ours, async (docker) => {
    assert.equal(await greeting(docker, one), 'hello from two layers');
    assert.equal(await docker.ok(['start', '-a', 'made-by-docker']), 'boxy\n1');
    assert.match(await docker.ok(['pull', two]), /Already exists/);
    assert.equal(await greeting(docker, two), 'hello from the second image');
  });
  await withDockerd(theirs, async (docker) => {
    assert.equal(await greeting(docker, two), 'hello from the second image');
    await docker.ok(['cp', 'made-by-docker:/kept', join(root.path, 'kept-too')]);
    await docker.ok(['rm', 'made-by-docker']);
    await docker.ok(['rmi', one, two]);
  });
});

test('volumes and the containers that have them go from engine to engine and back', async () => {
  const { ours, theirs } = sharedRoot('volumes');
  const make = async (docker: Docker, name: string) => {
    await docker.ok(['volume', 'create', '--label', `of=${name}`, `${name}-bare`]);
    await docker.ok(['volume', 'create', '-o', 'type=tmpfs', '-o', 'device=tmpfs', '-o', 'o=size=1m', `${name}-mem`]);
    await docker.ok(['create', '--name', name, '--network', 'none', '-v', `${name}-data:/data`, '-v', `${name}-data:/again:ro`, '-v', '/anon', '-v', `${name}-mem:/mem`, '--mount', `type=volume,src=${name}-etc,dst=/etc`, '--tmpfs', '/t', one,
      'sh', '-c', 'cat /data/seen /anon/seen 2>/dev/null; echo seen >> /data/seen; echo hidden >> /anon/seen; cat /etc/greeting; grep -c "/mem tmpfs" /proc/mounts; touch /again/x 2>/dev/null || echo read-only']);
  };
  const look = async (docker: Docker, name: string) => JSON.parse(await docker.ok(['inspect', '-f', '{{json .Mounts}}', name])) as Array<{ Destination: string; Source: string }>;
  const byPlace = (mounts: Array<{ Destination: string }>) => mounts.toSorted((a, b) => (a.Destination < b.Destination ? -1 : 1));
  const greeting = 'hello from two layers\n1\nread-only';
  /** Everything is there and used; removing a container takes what has no name. */
  const takeOver = async (docker: Docker, name: string, before: Awaited<ReturnType<typeof look>>) => {
    const same = ({ Source: source, ...mount }: { Source: string; Destination: string }) => ({ ...mount, Source: source.replace(/^.*\/volumes\//, 'volumes/') });
    assert.deepEqual(byPlace(await look(docker, name)).map((mount) => same(mount as { Source: string; Destination: string })), byPlace(before).map((mount) => same(mount as { Source: string; Destination: string })));
    assert.equal(await docker.ok(['start', '-a', name]), `seen\nhidden\n${greeting}`);
    const names = (await docker.ok(['volume', 'ls', '-q'])).split('\n').filter((volume) => volume.startsWith(name));
    assert.deepEqual(names.toSorted(), [`${name}-bare`, `${name}-data`, `${name}-etc`, `${name}-mem`]);
    assert.match(await docker.run(['volume', 'rm', `${name}-data`]).then(({ stderr }) => stderr), /volume is in use/);
    const anonymous = (await look(docker, name)).find(({ Destination }) => Destination === '/anon')?.Source.split('/').at(-2) ?? '';
    await docker.ok(['rm', '-v', name]);
    assert.equal(await docker.run(['volume', 'inspect', anonymous]).then(({ code }) => code), 1);
    await docker.ok(['volume', 'rm', ...names]);
  };
  let before: Awaited<ReturnType<typeof look>> = [];
  await withVaquita(ours, async (docker) => {
    await docker.ok(['pull', one]);
    await make(docker, 'ours');
    assert.equal(await docker.ok(['start', '-a', 'ours']), greeting);
    before = await look(docker, 'ours');
  });
  await withDockerd(theirs, async (docker) => {
    await takeOver(docker, 'ours', before);
    await make(docker, 'theirs');
    assert.equal(await docker.ok(['start', '-a', 'theirs']), greeting);
    before = await look(docker, 'theirs');
  });
  await withVaquita(ours, async (docker) => {
    await takeOver(docker, 'theirs', before);
    assert.equal(await docker.ok(['volume', 'ls', '-q']), '');
  });
  await withDockerd(theirs, async (docker) => { assert.equal(await docker.ok(['volume', 'ls', '-q']), ''); });
});
