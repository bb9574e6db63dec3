// Inside a guest with another processor: what is done by calls to the kernel whose numbers, flags and structures differ between processors.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { openFiles } from '../../../src/kernel/index.ts';
import { openFakeRegistry } from '../../kit/fake-registry.ts';
import { ask } from '../../kit/http.ts';
import { treeTar } from '../../kit/image.ts';
import { mustPull } from '../../kit/pull.ts';
import type { Offered } from '../offered.ts';
import { SOCKET, startEngine, type Engine } from './engine.ts';
import { askPublished, leftovers, publish } from './networks.ts';
import { program, tell } from './tell.ts';

const M = 1 << 20;
const XATTR = 'user.note';
/** What stands in the registry, made outside. */
const OFFERED = JSON.parse(readFileSync('/bench/offered.json', 'utf8')) as Offered;

interface Shown { Id: string; Architecture: string; Os: string; GraphDriver: { Data: { UpperDir: string; LowerDir?: string } } }
const shown = (engine: Engine, name: string) => engine.api<Shown>('GET', `/images/${name}/json`);

/** Everything of each entry that a layer says. */
function listed(folder: string): string[] {
  const files = openFiles();
  return readdirSync(folder).sort().map((name) => {
    const path = join(folder, name), stat = lstatSync(path, { bigint: true });
    const target = stat.isSymbolicLink() ? ` -> ${readlinkSync(path)}` : '';
    const note = stat.isFile() ? files.getXattr(path, XATTR) : undefined;
    return `${name}${target} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.isDirectory() ? '' : `${stat.size} ${stat.nlink} `}${stat.rdev} ${stat.mtimeNs}${note ? ` ${Buffer.from(note).toString()}` : ''}`;
  });
}

async function pulls(engine: Engine, host: string): Promise<void> {
  await mustPull(SOCKET, `${host}/own:1`);
  const first = await shown(engine, `${host}/own:1`);
  tell('image', [first.Id === OFFERED.ids.first, first.Os, first.Architecture]);
  tell('kinds', listed(join(first.GraphDriver.Data.LowerDir?.split(':')[0] ?? '', 'kinds')));
  const lines = await mustPull(SOCKET, `${host}/own:2`);
  tell('by delta', [(await shown(engine, `${host}/own:2`)).Id === OFFERED.ids.second, lines.some(({ status }) => status?.startsWith('Delta: downloaded '))]);
  await mustPull(SOCKET, `${host}/plain:1`);
  const plain = await shown(engine, `${host}/plain:1`);
  tell('plain', [plain.Id === OFFERED.ids.plain, lstatSync(join(plain.GraphDriver.Data.UpperDir, 'kinds'), { bigint: true }).rdev === 0n]);
}

async function files(engine: Engine, image: string): Promise<void> {
  const script = 'uname -m; cat /version; cmp -s /program /program && ls /kinds | tr "\\n" " "; rm /kinds/soft; echo new > /made; chown 7:8 /made; mkdir /kinds/under; exit 3';
  const id = await engine.run(['sh', '-c', script], {}, { Image: image });
  tell('ran', [await engine.wait(id), await engine.logs(id)]);
  tell('changes', (await engine.api<Array<{ Kind: number; Path: string }>>('GET', `/containers/${id}/changes`)).map(({ Kind, Path }) => `${'CAD'.charAt(Kind)} ${Path}`));
  const put = await ask(SOCKET, { method: 'PUT', path: `/containers/${id}/archive?path=/kinds`, body: treeTar({ 'sent': { content: 'sent in', uid: 9, gid: 10, mode: 0o640 } }), headers: { 'Content-Type': 'application/x-tar' } });
  const got = await ask(SOCKET, { path: `/containers/${id}/archive?path=/kinds/sent` });
  tell('archive', [put.status, got.status, got.body.includes('sent in')]);
  const committed = await engine.api<{ Id: string }>('POST', `/commit?container=${id}&repo=committed&tag=1`, { body: {}, status: 201 });
  const again = await engine.run(['sh', '-c', 'cat /made; ls /kinds/soft 2>/dev/null; stat -c %u:%g:%a /made /kinds/sent'], {}, { Image: committed.Id });
  tell('committed', [await engine.wait(again), await engine.logs(again)]);
  for (const each of [id, again]) await engine.api('DELETE', `/containers/${each}?force=1`, { status: 204 });
}

await program(async () => {
  await using registry = await openFakeRegistry();
  for (const { mediaType, bytes } of OFFERED.blobs) registry.addBlob(Buffer.from(bytes, 'base64'), mediaType);
  for (const { name, tag, mediaType, bytes } of OFFERED.manifests) registry.addManifest(name, tag, { mediaType, bytes: Buffer.from(bytes, 'base64') });
  const image = `${registry.host}/own:2`;
  const first = await startEngine(image);
  const { Architecture, OSType, CgroupVersion } = await first.api<Record<string, unknown>>('GET', '/info');
  tell('info', [Architecture, OSType, CgroupVersion]);
  await pulls(first, registry.host);
  await files(first, image);
  const published = await publish(first, ['tcp', 'udp']);
  tell('published', await askPublished(first, published, ['tcp', 'udp']));
  const limited = await first.run(['sh', '-c', 'trap "exit 5" TERM; while :; do sleep 0.2; done'], { Memory: 64 * M, PidsLimit: 40 });
  const stats = JSON.parse((await first.raw('GET', `/containers/${limited}/stats?stream=0&one-shot=1`)).text) as { memory_stats: { limit: number }; pids_stats: { limit: number } };
  tell('limits', [stats.memory_stats.limit, stats.pids_stats.limit]);
  await first.kill();
  const second = await startEngine(image);
  tell('still', [await askPublished(second, published, ['tcp', 'udp']), await second.exec(limited, ['sh', '-c', 'exit 7'])]);
  await second.api('POST', `/containers/${limited}/stop?t=60`, { status: 204 });
  for (const id of [limited, published.id]) await second.api('DELETE', `/containers/${id}?force=1`, { status: 204 });
  tell('networks left', await leftovers());
});
