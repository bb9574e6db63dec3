import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { Limiter } from '../../lib/lock.ts';
import { hexOf, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import { commitChain, diffIdOf, openTestStore, temporary } from '../../../test/kit/store.ts';
import { openEvents } from '../events.ts';
import { matcherOf } from './match.ts';
import { pruneImages, removeImage } from './remove.ts';
import { historyOf, listImages } from './view.ts';

const DIGEST = `sha256:${'d'.repeat(64)}`;
const imageOf = (layers: readonly string[], { created = '2020-01-01T00:00:00Z', labels = {} }: { created?: string; labels?: Record<string, string> } = {}): ImageConfig => parseImageConfig(Buffer.from(JSON.stringify({
  architecture: 'amd64', os: 'linux', created, config: { Labels: labels }, rootfs: { type: 'layers', diff_ids: layers.map(diffIdOf) }, history: layers.map((layer) => ({ created, created_by: layer })),
})));

/** base (layer aa) ← kid (aa, bbbb) ← grandkid (aa, bbbb, c), and other (aa, dd), which is younger. */
async function openWorld() {
  const root = temporary();
  const store = await openTestStore(root.path);
  const images = { base: imageOf(['aa']), kid: imageOf(['aa', 'bbbb']), grandkid: imageOf(['aa', 'bbbb', 'c'], { labels: { l: 'g' } }), other: imageOf(['aa', 'dd'], { created: '2025-01-01T00:00:00Z', labels: { l: 'o' } }) };
  await commitChain(store, 'aa', 'bbbb', 'c');
  await commitChain(store, 'aa', 'dd');
  await store.images.add(images.base);
  await store.images.add(images.kid, { parent: images.base.id });
  await store.images.add(images.grandkid, { parent: images.kid.id });
  await store.images.add(images.other);
  const containers: Array<{ image: ImageId; id: string; running: boolean }> = [];
  const needs = { store, clock: systemClock, turn: new Limiter(1), events: openEvents(systemClock), users: (id: ImageId) => containers.filter(({ image }) => image === id) };
  const name = (set: Readonly<Record<string, ImageConfig>>) => store.names.update({ set: Object.entries(set).map(([familiar, { id }]) => [familiar, id] as const) });
  const nameOf = (id: string) => Object.entries(images).find(([, image]) => image.id as string === id)?.[0] ?? '<layer>';
  const told = (removals: ReadonlyArray<{ Untagged: string } | { Deleted: string }>) => removals.map((one) => ('Untagged' in one ? `-${one.Untagged.replace(DIGEST, 'DIGEST')}` : nameOf(one.Deleted)));
  const remove = (word: string, options: { force?: boolean; noPrune?: boolean } = {}) =>
    removeImage(needs, word, { force: false, noPrune: false, ...options }).then(told, (error: unknown) => messageOf(error).replace(/^conflict: |\b[0-9a-f]{12}\b/g, ''));
  const prune = (filters: Readonly<Record<string, string[]>> = {}) => pruneImages(needs, new Map(Object.entries(filters))).then(({ deleted }) => told(deleted), messageOf);
  const list = (filters: Readonly<Record<string, string[]>> = {}, all = false) => listImages(store, { all, sharedSize: true, filters: new Map(Object.entries(filters)), usersOf: () => 0, clock: systemClock });
  return {
    store, images, name, remove, prune, list, left: () => store.images.list().map(({ id }) => nameOf(id)).toSorted(), named: (views: ReturnType<typeof list>) => views.map(({ config }) => nameOf(config.id)).toSorted(),
    run: (image: ImageConfig, running: boolean) => containers.push({ image: image.id, id: 'cccccccccccc', running }),
    async [Symbol.asyncDispose]() { await store.close(); root[Symbol.dispose](); },
  };
}

test('an image is kept by what was made from it, and takes along parents that nobody names', async () => {
  await using world = await openWorld();
  const { images, remove } = world;
  await world.name({ 'base:1': images.base, 'grandkid:1': images.grandkid });
  assert.equal(await remove(images.base.id, { force: true }), 'unable to delete  (cannot be forced) - image has dependent child images');
  assert.equal(await remove(hexOf(images.kid.id).slice(0, 12), { force: true }), 'unable to delete  (cannot be forced) - image has dependent child images');
  assert.deepEqual(await remove('base:1', { force: true }), ['-base:1'], 'by name only the name goes');
  assert.deepEqual(await remove('grandkid:1', { noPrune: true }), ['-grandkid:1', 'grandkid', '<layer>']);
  assert.deepEqual(world.left(), ['base', 'kid', 'other']);
  assert.deepEqual(await remove(images.kid.id), ['kid', '<layer>', 'base']);
  assert.deepEqual(world.left(), ['other']);
  assert.equal(await remove(' '), 'image name cannot be blank');
});

test('names, containers and force decide what a removal takes', async () => {
  await using world = await openWorld();
  const { other } = world.images;
  await world.name({ 'r/a:1': other, 'r/a:2': other, [`r/a@${DIGEST}`]: other });
  assert.equal(await world.remove(other.id), 'unable to delete  (must be forced) - image is referenced in multiple repositories');
  assert.deepEqual(await world.remove('r/a:2'), ['-r/a:2']);
  world.run(other, false);
  assert.equal(await world.remove(other.id), 'unable to delete  (must be forced) - image is being used by stopped container ');
  assert.equal(await world.remove('r/a:1'), 'unable to remove repository reference "r/a:1" (must force) - container  is using its referenced image ');
  world.run(other, true);
  assert.equal(await world.remove(other.id, { force: true }), 'unable to delete  (cannot be forced) - image is being used by running container ');
  assert.deepEqual(await world.remove('r/a:1', { force: true }), ['-r/a:1', '-r/a@DIGEST']);
  assert.ok(world.left().includes('other'), 'a running container keeps it');
});

test('removals at the same time follow each other: one of them takes the image, and a name goes once', async () => {
  await using world = await openWorld();
  const { other } = world.images;
  await world.name({ 'one:1': other, 'two:1': other, [`two@${DIGEST}`]: other });
  assert.deepEqual(await Promise.all([world.remove('one:1'), world.remove('one:1'), world.remove('two:1'), world.prune({ dangling: ['false'] })]),
    [['-one:1'], 'No such image: one:1', ['-two:1', '-two@DIGEST', 'other', '<layer>'], ['grandkid', '<layer>', 'kid', '<layer>', 'base', '<layer>']]);
  assert.deepEqual(world.left(), []);
});

test('prune holds to its filters, and leaves what containers and other images need', async () => {
  await using world = await openWorld();
  const { images, prune } = world;
  await world.name({ 'base:1': images.base, 'o:1': images.other, 'o2:1': images.other, [`d@${DIGEST}`]: images.kid });
  assert.equal(await prune({ until: ['x'] }), 'failed to parse value as time or duration: "x"');
  assert.equal(await prune({ until: ['1h', '2h'] }), 'more than one until filter specified');
  for (const filters of [{ until: ['2019-01-01'] }, { until: ['2019-01-01'], 'label!': ['l'] }, { label: ['l=o'] }] as Array<Record<string, string[]>>) assert.deepEqual(await prune(filters), [], JSON.stringify(filters));
  assert.deepEqual(await prune({ dangling: ['false'], until: ['2024-01-01'], 'label!': ['l'] }), ['-base:1', '-d@DIGEST'], 'both have children, and keep them');
  world.run(images.other, false);
  assert.deepEqual(await prune({ dangling: ['false'], until: ['2030-01-01T00:00:00Z'] }), ['grandkid', '<layer>', 'kid', '<layer>', 'base', '-o2:1'], 'one name stays with the container');
  assert.deepEqual(world.left(), ['other']);
});

test('the list hides what was only made on the way, and tells what images share', async () => {
  await using world = await openWorld();
  const { images, list, named } = world;
  await world.name({ 'o:1': images.other, [`g@${DIGEST}`]: images.grandkid });
  const names = (filters: Record<string, string[]>, all = false) => named(list(filters, all));
  assert.deepEqual([names({}), names({}, true)], [['grandkid', 'other'], ['base', 'grandkid', 'kid', 'other']]);
  assert.deepEqual([names({ dangling: ['true'] }, true), names({ dangling: ['false'] }, true)], [['grandkid'], ['grandkid', 'other']], 'a digest alone is no name');
  assert.deepEqual([names({ until: ['2024-01-01'] }), names({ until: ['1h'] })], [['grandkid'], ['grandkid', 'other']]);
  assert.throws(() => names({ until: ['soon'] }), /invalid filter 'until=soon'/);
  const shared = (all: boolean) => Object.fromEntries(list({}, all).map((view) => [named([view])[0], view.sharedSizeBytes]));
  assert.deepEqual(shared(false), { grandkid: 2, other: 2 });
  assert.deepEqual(shared(true), { base: 2, kid: 6, grandkid: 6, other: 2 });
  assert.deepEqual(historyOf(world.store, images.grandkid).map(({ id, createdBy }) => [id, createdBy]), [[images.grandkid.id, 'c'], [images.kid.id, 'bbbb'], [images.base.id, 'aa']]);
  assert.deepEqual(historyOf(world.store, images.other).map(({ id, tags }) => [id, tags]), [[images.other.id, ['o:1']], ['<missing>', []]]);
});

test('patterns of names are those of a shell', () => {
  const rows = [
    ['c[a-h]ild', 'child:1', true], ['c[^a-h]ild', 'child:1', false], ['ch\\ild:*', 'child:1', true], ['\\*', 'a:1', false], ['[\\-a]b', 'ab:1', true], ['*', 'a/b:1', false], ['*/*', 'a/b:1', true],
    ['a.b', 'axb:1', false], ['a-b', 'a-b:1', true], ['r:5000/a', 'r:5000/a:1', true], ['?', 'a:1', true], ['a', `a@${DIGEST}`, true], ['', 'a:1', false],
  ] as const;
  for (const [pattern, name, fits] of rows) assert.equal(matcherOf(pattern)(name), fits, `${pattern} ${name}`);
  for (const pattern of ['[', '[]', '[z-a]', 'a\\']) assert.throws(() => matcherOf(pattern), /syntax error in pattern/, pattern);
});
