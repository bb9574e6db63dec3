// A fleet at every version of an application comes to the newest by plain pulls: what that costs is read off the registry's socket.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseDeltaArtifact } from '../../src/oci/delta-artifact.ts';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { ask } from '../kit/http.ts';
import { buildImage, busyboxLayer, treeTar, type BuiltImage, type Entry } from '../kit/image.ts';
import { openMeter } from '../kit/meter.ts';
import { listTree, mustPull } from '../kit/pull.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';

/** Manifest, config, list of deltas, the delta's manifest, and what HTTP has around them. */
const OVERHEAD_BYTES = 24 << 10;

const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let registry: DebianRegistry;

before(async () => { registry = held.use(await startRegistry({ root: join(root.path, 'registry') })); });
after(() => held.disposeAsync());

const WORDS = 'const let return await async function import from if else for of new Map Set throw error this value index name path file read write open close state next first last'.split(' ');

const sources = new Map<string, string>();

/** Something like source code, the same for the same name. */
function source(name: string, sizeBytes: number): string {
  const known = sources.get(name);
  if (known !== undefined) return known;
  let text = '', state = createHash('sha256').update(name).digest();
  while (text.length < sizeBytes) {
    state = createHash('sha256').update(state).digest();
    text += `${[...state].slice(0, 12).map((byte) => WORDS[byte % WORDS.length]).join(' ')};\n`;
  }
  sources.set(name, text);
  return text;
}

const aged = (content: string | Uint8Array, day: number, mode = 0o644): Entry => ({ content, mode, mtimeNs: BigInt(1_600_000_000 + day * 86_400) * 1_000_000_000n });

/** A system with a real program in it, built on some day: another day changes every time in it. */
const system = (day: number) => treeTar({
  'bin/': null, 'bin/tool': aged(readFileSync('/bin/bash'), day, 0o755), 'etc/': null, 'etc/built': aged(`day ${day}\n`, day),
  ...Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`usr/share/doc-${n}`, aged(source(`doc ${n}`, 4000), day)])),
});

const RUNTIME = treeTar(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`runtime/part-${n}.js`, source(`runtime ${n}`, 20_000)])));

/** The application: what `changed` names is another text in this version. */
const app = (folder: string, version: number, changed: readonly number[]) => treeTar({
  [`${folder}/package.json`]: `{"version":"1.0.${version}"}\n`,
  ...Object.fromEntries(Array.from({ length: 120 }, (_, n) => [`${folder}/lib/module-${n}.js`, source(`module ${n}`, 6000) + (changed.includes(n) ? source(`change ${n} in ${version}`, 300) : '')])),
});

const VERSIONS: readonly BuiltImage[] = [
  [busyboxLayer(), system(1), RUNTIME, app('app', 1, [])],
  [busyboxLayer(), system(1), RUNTIME, app('app', 2, [3])],
  [busyboxLayer(), system(1), RUNTIME, app('srv/app', 3, [3, 4])], // moved to another folder
  [busyboxLayer(), system(9), RUNTIME, app('srv/app', 4, [3, 4, 50])], // the base was built anew
  [busyboxLayer(), system(9), app('srv/app', 5, [3, 4, 51]), RUNTIME], // layers in another order
].map((layers, n) => buildImage({ layers, config: { Cmd: ['sh'], Env: [`VERSION=${n + 1}`, 'PATH=/bin'] } }));
const NEWEST = VERSIONS.at(-1) ?? assert.fail();

interface Shown { Id: string; RootFS: { Layers: string[] }; GraphDriver: { Data: { LowerDir?: string; UpperDir: string } } }

async function contentOf(daemon: Daemon, name: string) {
  const { Id, RootFS, GraphDriver: { Data } } = (await ask(daemon.socket, { path: `/images/${name}/json` })).json<Shown>();
  const directories = [Data.UpperDir, ...Data.LowerDir?.split(':') ?? []].toReversed();
  const files = directories.map((directory) => {
    const hash = createHash('sha256');
    const tree = listTree(directory);
    for (const line of tree) if (!line.endsWith('/') && !line.includes(' -> ')) hash.update(readFileSync(join(directory, line.slice(0, line.lastIndexOf(' ')))));
    return { tree, content: hash.digest('hex') };
  });
  return { id: Id, layers: RootFS.Layers, files };
}

/** Bytes of the published deltas to the newest version, by base. */
async function publishedBytes(digest: string): Promise<Map<string, number>> {
  const manifest = (at: string, accept: string) => ask(registry.host, { path: `/v2/fleet/app/manifests/${at}`, headers: { Accept: accept } });
  const list = (await manifest(digest.replace(':', '-'), 'application/vnd.oci.image.index.v1+json')).json<{ manifests: Array<{ digest: string }> }>();
  const bytes = new Map<string, number>();
  for (const { digest: at } of list.manifests) {
    const artifact = parseDeltaArtifact((await manifest(at, 'application/vnd.oci.image.manifest.v1+json')).body);
    bytes.set(artifact.base, artifact.layers.reduce((sum, { size }) => sum + size, 0));
  }
  return bytes;
}

test('devices at each version update by a plain pull for the bytes of their delta', async () => {
  const names: string[] = [];
  for (const [n, image] of VERSIONS.entries()) names.push(await pushImage(registry.host, image, { repository: 'fleet/app', tag: `v${n + 1}` }));
  const newest = names.at(-1) ?? '';
  await using builder = await startDaemon({ root: join(root.path, 'builder') });
  const published = await ask(builder.socket, { method: 'POST', path: `/images/publish-deltas?${new URLSearchParams([['target', newest], ...names.slice(0, -1).map((name) => ['from', name])] as [string, string][]).toString()}`, timeoutMs: 120_000 });
  assert.deepEqual([published.status, /"error"/.test(published.text)], [200, false], published.text);
  await mustPull(builder.socket, `${registry.host}/fleet/app`); // every tag, of which one is the list of deltas
  const { Descriptor } = (await ask(builder.socket, { path: `/distribution/${newest}/json` })).json<{ Descriptor: { digest: string } }>();
  const deltas = await publishedBytes(Descriptor.digest);
  assert.equal(deltas.size, names.length - 1);
  const wanted = await contentOf(builder, newest);
  assert.deepEqual([wanted.id, wanted.layers], [NEWEST.config.digest, NEWEST.diffIds]);

  const costs = await Promise.all(names.slice(0, -1).map(async (name, n) => {
    const image = VERSIONS[n] ?? assert.fail();
    await using device = await startDaemon({ root: join(root.path, `device-${n + 1}`) });
    await mustPull(device.socket, name);
    await using meter = await openMeter(registry.host);
    const metered = `${meter.host}/fleet/app:v5`;
    const lines = await mustPull(device.socket, metered);
    const { receivedBytes } = meter;
    assert.deepEqual(await contentOf(device, metered), wanted, `v${n + 1}`);
    const whole = NEWEST.layers.filter((_layer, index) => !image.diffIds.includes(NEWEST.diffIds[index] ?? '')).reduce((sum, { size }) => sum + size, 0);
    const delta = deltas.get(image.config.digest) ?? assert.fail(`no delta from v${n + 1}`);
    assert.ok(receivedBytes >= delta && receivedBytes <= delta + OVERHEAD_BYTES, `v${n + 1}: ${receivedBytes} bytes for a delta of ${delta}`);
    assert.ok(receivedBytes * 20 < whole, `v${n + 1}: ${receivedBytes} bytes instead of ${whole}`);
    assert.ok(lines.some(({ status }) => /^Delta: downloaded \S+B instead of \S+B \(\d+(\.\d)?x less\)$/.test(status ?? '')), JSON.stringify(lines.slice(-4)));
    return `v${n + 1}: ${receivedBytes} bytes on the wire, delta ${delta}, whole layers ${whole}`;
  }));
  process.stdout.write(`# ${costs.join('\n# ')}\n`);
});
