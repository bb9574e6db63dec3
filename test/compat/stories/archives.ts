// Images as archives: saved, loaded, and what both refuse.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tarBytes } from '../../../src/archive/tar-write.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { dockerItems, fileItem, type ArchiveItem } from '../../kit/archive.ts';
import { buildImage, treeTar } from '../../kit/image.ts';
import type { Scene, Story } from '../scene.ts';

export const archiveStories: readonly Story[] = [
  { name: 'archives', once: true, tell: async (scene) => {
    const own = ownImage('own', scene), other = ownImage('other', scene);
    const items = dockerItems(own, { tags: [scene.name('own:a'), scene.name('own:b')] });
    await scene.say('load', { input: tarBytes(items) });
    await scene.say('load -q', { input: tarBytes(items) });
    await scene.say('load', { input: tarBytes(dockerItems(other)) });
    const otherId = other.config.digest;
    await scene.sayAll('inspect -f "{{.Id}} {{json .RepoTags}} {{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Labels}} {{json .RootFS.Layers}} {{.Size}}" @own:b', 'history -q @own:a', `inspect -f "{{.Id}} {{json .RepoTags}} {{.Created}}" ${otherId}`);
    // Both write the same bytes.
    for (const [words, file] of [['@own', 'all'], ['@own:b', 'one'], [own.config.digest, 'id'], [own.config.digest.slice(7, 20), 'short']] as const) {
      await scene.say(`save -o FOLDER/${file}.tar ${words}`);
      scene.note(`${file}.tar`, digestOf(readFileSync(join(scene.folder, `${file}.tar`))));
    }
    scene.note('save to stdout', digestOf((await scene.say('save @own:a')).stdoutBytes));
    await scene.sayAll('save', 'save @nosuch', 'save @nosuch:1', 'save @own:nosuch', 'save Upper', 'save @own @nosuch', 'save sha256:12ab', `save ${'0'.repeat(64)}`, `save @own@sha256:${'0'.repeat(64)}`, 'save -o FOLDER/no/x.tar @own', 'save --nosuch');
    await scene.sayAll('rmi @own:a', `tag ${otherId} @own:a`, 'load -i FOLDER/all.tar', 'image load -q -i FOLDER/id.tar', `rmi @own:b @own:a`, 'load -i FOLDER/short.tar', `inspect -f "{{json .RepoTags}}" ${own.config.digest}`, 'load -i FOLDER/nosuch.tar', 'load words', 'load --input FOLDER/one.tar', 'run --rm --network none @own:b cat /own');
    for (const [what, archive] of refused(items)) {
      writeFileSync(join(scene.folder, `${what}.tar`), archive);
      await scene.say(`load -i FOLDER/${what}.tar`);
    }
    await scene.say(`rmi -f ${own.config.digest} ${otherId}`);
  } },
];

/** Small, of its teller's own. */
const ownImage = (kind: string, scene: Scene) => buildImage({ layers: [treeTar({ 'bin/': null, 'bin/cat': { content: readFileSync('/bin/busybox'), mode: 0o755 }, [kind]: `${kind}\n` }), treeTar({ 'etc/': null, 'etc/name': scene.name(kind) }), Buffer.alloc(1024)], config: { Labels: { kind }, Env: ['A=<b>', 'PATH=/bin'], Cmd: ['cat', '/own'] } });

function* refused(items: readonly ArchiveItem[]): Generator<[string, Uint8Array]> {
  const manifest = JSON.parse(String(items.at(-1)?.content)) as [{ Config: string; RepoTags: string[]; Layers: string[] }];
  const [image] = manifest;
  const changed = (change: object) => tarBytes([...items.slice(0, -1), fileItem('manifest.json', JSON.stringify([{ ...image, ...change }]))]);
  yield ['no-archive', Buffer.from('no archive at all'.repeat(100))];
  yield ['a-word', Buffer.from('word')];
  yield ['half', tarBytes(items).subarray(0, 5000)];
  yield ['no-manifest', tarBytes(items.slice(0, -1))];
  yield ['no-config', changed({ Config: 'nosuch.json' })];
  yield ['no-layer', tarBytes([...items.filter(({ name }) => name !== image.Layers[1]), fileItem('unused', 'x')])];
  yield ['few-layers', changed({ Layers: image.Layers.slice(1) })];
  yield ['no-tag', changed({ RepoTags: ['notag'] })];
  yield ['bad-tag', changed({ RepoTags: ['Bad:1'] })];
}
