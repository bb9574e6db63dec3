// The engine, its images, volumes, networks and events through dockerode.
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { digestOf } from '../../../../src/oci/digest.ts';
import { treeTar } from '../../../kit/image.ts';
import { logsOf, readAll, shape, type NodeScene, type NodeStory, type Row } from './scene.ts';

export const systemStories: readonly NodeStory[] = [
  { name: 'images', tell: tellImages },
  { name: 'images filled from outside', tell: tellFilled },
  { name: 'volumes', tell: async (scene) => {
    const { docker } = scene;
    const one = await scene.say('create', () => docker.createVolume({ Name: scene.name('one'), Labels: { role: 'data' } }), (volume) => volume.inspect());
    if (!one) return;
    await scene.say('create again', () => docker.createVolume({ Name: scene.name('one') }), (volume) => volume.inspect());
    await scene.say('create what is none', () => docker.createVolume({ Name: 'a b' }));
    await scene.say('create with a wrong type', () => docker.createVolume({ Name: 5 }));
    await scene.say('list', () => docker.listVolumes({ filters: { name: [scene.stage.prefix] } }));
    await scene.say('list by what is none', () => docker.listVolumes({ filters: { nosuch: ['x'] } }));
    const box = await scene.create('a', ['true'], { HostConfig: { Binds: [`${scene.name('one')}:/data`], Mounts: [{ Type: 'volume', Source: scene.name('two'), Target: '/two', VolumeOptions: { Labels: { made: 'by mount' } } }] } });
    await scene.say('mounts', () => box.inspect(), ({ Mounts, HostConfig }) => [(Mounts as Row[]).toSorted((a, b) => (String(a['Destination']) < String(b['Destination']) ? -1 : 1)), HostConfig]);
    await scene.say('a volume made by a mount', () => docker.getVolume(scene.name('two')).inspect());
    await scene.say('remove what is used', () => docker.getVolume(scene.name('one')).remove());
    await box.remove({ v: true });
    await scene.say('prune', () => docker.pruneVolumes({ filters: { label: ['role=data'] } }));
    await scene.say('remove', () => docker.getVolume(scene.name('two')).remove());
    await scene.say('remove again', () => docker.getVolume(scene.name('two')).remove());
    await scene.say('inspect what is gone', () => docker.getVolume(scene.name('one')).inspect());
  } },
  { name: 'networks', tell: async (scene) => {
    const { docker } = scene;
    const meant = ({ Id: _id, Created: _created, Containers: _containers, ...network }: Row) => network;
    for (const name of ['none', 'host']) await scene.say(`inspect ${name}`, () => docker.getNetwork(name).inspect(), meant);
    await scene.say('list', () => docker.listNetworks({ filters: { name: ['none', 'host'] } }), (rows) => rows.map(meant).toSorted((a, b) => (String(a['Name']) < String(b['Name']) ? -1 : 1)));
    await scene.say('inspect what is not there', () => docker.getNetwork('nosuch').inspect());
    await scene.say('remove what is needed', () => docker.getNetwork('none').remove());
    await scene.say('list by what is none', () => docker.listNetworks({ filters: { nosuch: ['x'] } }));
  } },
  { name: 'engine', tell: async (scene) => {
    const { docker } = scene;
    await scene.say('ping', () => docker.ping());
    await scene.say('info', () => docker.info(), shape);
    await scene.say('version', () => docker.version(), ({ Os, Arch, Components }) => [Os, Arch, (Components as Row[]).slice(0, 1).map(shape)]);
    await scene.say('df', () => docker.df(), (told) => Object.keys(told).toSorted());
    await scene.say('no cluster', () => docker.listServices());
    await scene.say('no nodes', () => docker.listNodes());
    await scene.say('no swarm', () => docker.swarmInspect());
    await scene.say('login', () => docker.checkAuth({ username: 'u', password: 'p', serveraddress: '127.0.0.1:1' }));
  } },
  { name: 'events', tell: async (scene) => {
    const { docker } = scene;
    const begun = Math.floor(Date.now() / 1000);
    const box = await scene.run('a', ['sh', '-c', 'exit 2'], { Labels: { role: scene.name('x') } });
    await box.wait();
    await box.remove();
    const replay = (filters: object) => async () => eventsOf(await docker.getEvents({ since: begun, until: Math.floor(Date.now() / 1000) + 1, filters }));
    const meant = (rows: Row[]) => rows.map(({ time: _time, timeNano: _nanos, ...row }) => row);
    await scene.say('of a container', replay({ container: [box.id] }), (rows) => meant(rows).filter(({ Type }) => Type === 'container'));
    await scene.say('by label', replay({ label: [`role=${scene.name('x')}`] }), meant);
    await scene.say('by action', replay({ container: [box.id], event: ['die'] }), meant);
    await scene.say('by image', replay({ image: [scene.image], event: ['create'], container: [box.id] }), meant);
    await scene.say('by what is not there', replay({ container: ['nosuch'] }), meant);
  } },
];

async function tellImages(scene: NodeScene): Promise<void> {
  const { docker } = scene;
  const image = scene.imageOf('PULLNODE'), other = scene.imageOf('PULLNODE2');
  await scene.say('pull', async () => progress(scene, await docker.pull(image)), stepsOf);
  await scene.say('pull again', async () => progress(scene, await docker.pull(image)), stepsOf);
  await scene.say('pull what is not there', () => docker.pull(scene.imageOf('PULLNOTHING')));
  await scene.say('pull what is none', () => docker.pull('No Such'));
  await scene.say('pull another', async () => progress(scene, await docker.pull(other, { authconfig: { username: 'u', password: 'p' } })), stepsOf);
  const found = docker.getImage(image);
  await scene.say('inspect', () => found.inspect());
  await scene.say('history', () => found.history());
  await scene.say('list', () => docker.listImages({ filters: { reference: [image] } }));
  await scene.say('list with digests', () => docker.listImages({ digests: true, filters: { reference: [image] } }));
  await scene.say('list by what is none', () => docker.listImages({ filters: { nosuch: ['x'] } }));
  await scene.say('tag', () => found.tag({ repo: scene.name('copy'), tag: 'x' }), () => 'tagged');
  await scene.say('tag as what is none', () => found.tag({ repo: 'No Such' }));
  await scene.say('inspect what is not there', () => docker.getImage('nosuch').inspect());
  await scene.say('remove a tag', () => docker.getImage(`${scene.name('copy')}:x`).remove());
  await scene.say('remove', () => found.remove({ force: true }), (rows) => (rows as Row[]).map((row) => Object.keys(row)[0]));
  await scene.say('remove again', () => found.remove());
  await scene.say('remove the other', () => docker.getImage(other).remove({ noprune: false }), (rows) => (rows as Row[]).map((row) => Object.keys(row)[0]));
  await scene.say('prune', () => docker.pruneImages({ filters: { label: ['nosuch'] } }));
}

/** As docker-delta applies the older deltas of balena-supervisor: an image of nothing is loaded, and its layer's directory, which inspect names, filled with what the base has and more. */
async function tellFilled(scene: NodeScene): Promise<void> {
  const { docker } = scene;
  const layer = treeTar({ seed: '1732183200000.5' });
  const config = JSON.stringify({ config: { Cmd: ['/bin/busybox', 'cat', '/filled'], Labels: { made: scene.name('x') } }, created: '2020-01-01T00:00:00.000Z', rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } });
  const archive = treeTar({ 'manifest.json': JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: ['0000/layer.tar'] }]), 'config.json': config, '0000/VERSION': '1.0', '0000/json': '{}', '0000/layer.tar': layer });
  await scene.say('load', async () => progress(scene, await docker.loadImage(Readable.from([archive]))), (lines) => lines.flatMap(({ stream }) => stream ?? []));
  const made = docker.getImage(digestOf(Buffer.from(config)).slice('sha256:'.length));
  await scene.say('sizes', () => made.inspect(), ({ Size, VirtualSize, Os, RepoTags }) => [Number(Size) < 40, Number(VirtualSize) < 40, Os, RepoTags]);
  const [base, filled] = (await Promise.all([docker.getImage(scene.image), made].map((image) => image.inspect()))).map((image) => ((image['GraphDriver'] as Row)['Data'] as Row)['UpperDir'] as string) as [string, string];
  mkdirSync(join(filled, 'bin'));
  linkSync(join(base, 'bin/busybox'), join(filled, 'bin/busybox'));
  writeFileSync(join(filled, 'filled'), 'from outside\n');
  await made.tag({ repo: scene.name('filled'), tag: '1' });
  const box = await docker.createContainer({ name: scene.name('a'), Image: `${scene.name('filled')}:1`, HostConfig: { NetworkMode: 'none' } });
  await box.start();
  await scene.say('its end', () => box.wait());
  await scene.say('what it read', () => logsOf(box));
  await box.remove();
  await scene.say('remove', () => made.remove(), (rows) => (rows as Row[]).map((row) => Object.keys(row)[0]));
}

function progress(scene: NodeScene, stream: Readable): Promise<Row[]> {
  return new Promise((resolve, reject) => { scene.docker.modem.followProgress(stream, (error, lines) => { if (error) reject(error); else resolve(lines); }); });
}

/** Layers come in any order, and how much of each is seen depends on haste. */
function stepsOf(lines: readonly Row[]): unknown {
  const steps = new Map<unknown, unknown[]>();
  for (const { id, status } of lines) {
    if (id !== 'Total' && !['Waiting', 'Downloading', 'Verifying Checksum', 'Extracting', 'Download complete'].includes(String(status))) steps.set(id, [...steps.get(id) ?? [], status]);
  }
  return [...steps.values()].map((one) => one.join(', ')).toSorted();
}

async function eventsOf(stream: Readable): Promise<Row[]> {
  return (await readAll(stream)).toString('utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Row);
}
