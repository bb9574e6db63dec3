// Images: parse the request, call one verb, present the result.
import type { Filters, ImagesFace } from '../engine/index.ts';
import { EngineError, invalid } from '../lib/errors.ts';
import { isDigest } from '../oci/digest.ts';
import type { Platform } from '../oci/manifest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { assertTag, familiarName, familiarString, familiarWithDigest, parseReference } from '../oci/reference.ts';
import { queryAndForm, readPushAuth, readRegistryAuth } from './body.ts';
import { presentDelta, presentHistory, presentImage, presentImageSummary } from './present-images.ts';
import { progressAnswer } from './progress.ts';
import type { Query } from './query.ts';
import { required, since, type Answer, type ApiRequest, type Route } from './routes.ts';

export const imageRoutes = (images: ImagesFace): readonly Route[] => [
  { method: 'GET', path: '/images/json', async handle({ query, version }) {
      const views = await images.list({
        all: query.flag('all'), sharedSize: query.flag('shared-size') && since(version, 42), filters: withLegacyName(query.filters(), since(version, 41) ? undefined : query.optional('filter')),
      });
      return { status: 200, json: views.map((view) => presentImageSummary(view, { version })) };
  } },
  { method: 'POST', path: '/images/create', handle: (request) => pull(images, request) },
  { method: 'POST', path: '/images/delta', handle: (request) => delta(images, request) },
  { method: 'GET', path: '/images/{name*}/deltas', async handle(request) {
      return { status: 200, json: images.deltas(required(request, 'name')).map(presentDelta) };
  } },
  { method: 'POST', path: '/images/{name*}/deltas/prune', async handle(request) {
      const removed = await images.removeDeltas(required(request, 'name'), { base: request.query.text('base') });
      return { status: 200, json: { DeltasDeleted: removed.map(presentDelta), SpaceReclaimed: removed.reduce((sum, record) => sum + presentDelta(record).Size, 0) } };
  } },
  { method: 'POST', path: '/images/{name*}/push', handle: (request) => push(images, request) },
  { method: 'POST', path: '/images/publish-deltas', handle: (request) => publishDeltas(images, request) },
  { method: 'POST', path: '/images/prune', async handle({ query }) {
      const { deleted, spaceReclaimedBytes } = await images.prune({ filters: query.filters() });
      return { status: 200, json: { ImagesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: spaceReclaimedBytes } };
  } },
  { method: 'GET', path: '/images/{name*}/json', async handle(request) {
      return { status: 200, json: presentImage(await images.inspect(required(request, 'name')), request.version) };
  } },
  { method: 'GET', path: '/images/{name*}/history', async handle(request) {
      return { status: 200, json: (await images.history(required(request, 'name'))).map(presentHistory) };
  } },
  { method: 'POST', path: '/images/{name*}/tag', async handle(request) {
      await images.tag(required(request, 'name'), { repo: request.query.text('repo'), tag: request.query.text('tag') });
      return { status: 201 };
  } },
  { method: 'DELETE', path: '/images/{name*}', async handle(request) {
      const { query } = request;
      return { status: 200, json: await images.remove(required(request, 'name'), { force: query.flag('force'), noPrune: query.flag('noprune') }) };
  } },
  { method: 'GET', path: '/distribution/{name*}/json', async handle(request) {
      const name = required(request, 'name');
      if (isDigest(name)) throw invalid('no manifest found for full image ID');
      const { descriptor, platforms } = await images.distribution(name, { auth: readRegistryAuth(request), signal: request.signal });
      return { status: 200, json: { Descriptor: { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size }, Platforms: platforms.map(presentPlatform) } };
  } },
];

/** The name that a pull asks for: a tag may be a digest, and stand in the query or in the name; that of the query counts. */
function pullReference(fromImage: string, tag: string): { reference: string; all: boolean } {
  const named = parseReference(fromImage);
  if (familiarName(named) === 'scratch') throw new EngineError('forbidden', "'scratch' is a reserved name");
  if (tag === '') return { reference: fromImage, all: named.tag === undefined && named.digest === undefined };
  if (isDigest(tag)) return { reference: familiarWithDigest(named, tag), all: false };
  assertTag(tag);
  return { reference: familiarString({ ...named, tag }), all: false };
}

async function pull(images: ImagesFace, request: ApiRequest): Promise<Answer> {
  const { query, signal } = request;
  const fromImage = query.text('fromImage');
  if (fromImage === '') {
    if (query.has('fromSrc')) throw new EngineError('not-implemented', 'importing an image from a tar archive is not part of this release: pull it from a registry');
    throw invalid('nothing to pull: fromImage is empty');
  }
  const { reference, all } = pullReference(fromImage, query.text('tag'));
  const auth = readRegistryAuth(request);
  const platform = platformOf(query);
  const [deltas, dryRun] = [query.flag('delta', true), query.flag('dryRun')];
  return await progressAnswer((onLine) => images.pull(reference, { platform, auth, all, deltas, dryRun, signal, onLine }));
}

/** A push without a tag is one of all tags: clients say which one they mean. */
async function push(images: ImagesFace, request: ApiRequest): Promise<Answer> {
  const { query, signal } = request;
  const [name, tag] = [required(request, 'name'), query.text('tag')];
  if (tag !== '') assertTag(tag);
  const auth = await readPushAuth(request);
  parseReference(name); // what is no name is an ordinary error, all else is told after the first line
  const deltas = query.flag('delta', true);
  return await progressAnswer((onLine) => images.push(tag === '' ? name : taggedWith(name, tag), { auth, all: tag === '', deltas, signal, onLine }));
}

/** The tag of the query counts, as with Docker. */
function taggedWith(name: string, tag: string): string {
  const { digest: _digest, ...reference } = parseReference(name);
  return familiarString({ ...reference, digest: undefined, tag });
}

async function publishDeltas(images: ImagesFace, request: ApiRequest): Promise<Answer> {
  const { query, signal } = request;
  const auth = readRegistryAuth(request);
  const from = query.all('from').flatMap(namesIn).filter((name) => name !== '');
  return await progressAnswer((onLine) => images.publishDeltas(query.text('target'), { from, force: query.flag('force'), auth, signal, onLine }));
}

/** One name, or as some clients write several: a JSON list of them. No name begins with a bracket. */
function namesIn(text: string): string[] {
  if (!text.startsWith('[')) return [text];
  let parsed: unknown;
  try { parsed = JSON.parse(text); } catch (cause) { throw invalid(`invalid value for from: ${JSON.stringify(text)} is no JSON`, { cause }); }
  if (!Array.isArray(parsed) || !parsed.every((name) => typeof name === 'string')) throw invalid(`invalid value for from: ${JSON.stringify(text)} is no list of names`);
  return parsed;
}

/** As with balenaEngine the words may stand in a form instead of behind the question mark. */
async function delta(images: ImagesFace, request: ApiRequest): Promise<Answer> {
  const query = await queryAndForm(request);
  const format = query.optional('format') ?? 'balena';
  if (format !== 'balena' && format !== 'vaquita') throw invalid(`unknown format of deltas: ${JSON.stringify(format)}: expected balena or vaquita`);
  const [base, target, tag] = [query.text('src'), query.text('dest'), query.text('t')];
  return await progressAnswer((onLine) => images.delta({ base, target, tag, format, signal: request.signal, onLine }));
}

/** `linux/arm/v7`, or the JSON that newer clients write. */
function platformOf(query: Query): Platform | undefined {
  const text = query.optional('platform');
  return text === undefined ? undefined : parsePlatform(text);
}

/** Before 1.41 a name to look for stood in `filter`. */
function withLegacyName(filters: Filters, name: string | undefined): Filters {
  return name === undefined ? filters : new Map([...filters, ['reference', [...(filters.get('reference') ?? []), name]]]);
}

const presentPlatform = (platform: Platform) => ({
  architecture: platform.architecture, os: platform.os, ...(platform.osVersion ? { 'os.version': platform.osVersion } : {}),
  ...(platform.variant ? { variant: platform.variant } : {}),
});
