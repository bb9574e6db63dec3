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
  let id = '';
  await withVaquita(ours, async (docker) => {
    await docker.ok(['pull', one]);
    id = await docker.ok(['image', 'inspect', '-f', '{{.Id}} {{json .RepoDigests}}', one]);
    assert.equal(await docker.run(['run', '--name', 'made-by-us', '--network', 'none', one, 'sh', '-c', 'echo kept > /kept; rm /etc/greeting; exit 3']).then(({ code }) => code), 3);
    await docker.ok(['commit', '-c', 'CMD ["cat","/kept"]', 'made-by-us', 'handed:1']);
  });
  await withDockerd(theirs, async (docker) => {
    assert.equal(await docker.ok(['image', 'inspect', '-f', '{{.Id}} {{json .RepoDigests}}', one]), id);
    assert.equal(await greeting(docker, one), 'hello from two layers');
    assert.equal(await docker.ok(['ps', '-a', '--format', '{{.Names}} {{.Status}}']).then((line) => line.split(' ').slice(0, 3).join(' ')), 'made-by-us Exited (3)');
    await docker.ok(['cp', 'made-by-us:/kept', join(root.path, 'kept')]);
    assert.equal(await docker.ok(['run', '--rm', '--network', 'none', 'handed:1']), 'kept');
    assert.notEqual((await docker.run(['run', '--rm', '--network', 'none', 'handed:1', 'cat', '/etc/greeting'])).code, 0);
    await assertExactLayers(docker, 'handed:1');
    const pulled = await docker.ok(['pull', two]);
    assert.match(pulled, /Already exists/, 'dockerd finds the layers that we committed');
    await docker.ok(['rm', 'made-by-us']);
    await docker.ok(['rmi', one, 'handed:1']);
  });
  await withVaquita(ours, async (docker) => {
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
