// What refers to a manifest: by the referrers API, or by the tag that stands for it where a registry has none.
import { RegistryFailure } from './errors.ts';
import { at } from './hosts.ts';
import { fetchManifest, manifestAt, nextPage } from './manifests.ts';
import { pullScope, type Place, type Reach } from './reach.ts';
import type { Response } from './transport.ts';
import { conflict, corrupt, kindOf, messageOf, unavailable } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import { digestOf, type Digest } from '../oci/digest.ts';
import { MEDIA } from '../oci/manifest.ts';
import { bareMediaType } from '../oci/parse-manifest.ts';
import type { Reference } from '../oci/reference.ts';
import { fallbackTag, parseReferrers, withReferrer, type Referrer } from '../oci/referrers.ts';
import type { ReferrerPut, RegistryCall, RegistryPush, RegistryReferrers } from './index.ts';

/** So many pages of a list are read, and of all of them together what one may have; a page has some hundred entries. */
const MAX_PAGES = 64;
/** That a registry has no such API is believed for so long: it may be renewed while we run. */
const FORGET_MS = 6 * 3600_000;
/** Of so many repositories; the oldest goes first. */
const MAX_LACKING = 1024;
/** Writers of one list that come in each other's way: each loses a round at most once per other one. */
const MAX_ROUNDS = 8;

type Asked = RegistryCall & { reference: Reference; subject: Digest; artifactType: string };

export function makeReferrers(reach: Reach, push: Pick<RegistryPush, 'putManifest'>): RegistryReferrers {
  /** By server and repository, since some have it for some of theirs alone: until when it need not be asked for the API. */
  const lacking = new Map<string, number>();
  const keyOf = ({ reference }: Asked, { base }: Place) => `${base.href} ${reference.path}`;
  const lacks = (key: string) => {
    lacking.delete(key);
    lacking.set(key, reach.clock.monotonicMs() + FORGET_MS);
    const oldest = lacking.keys().next();
    if (lacking.size > MAX_LACKING && !oldest.done) lacking.delete(oldest.value);
  };
  /** Deltas to one image are pushed at once: those of this process do not come in each other's way. */
  const lists = new KeyedLock();
  const found = async (asked: Asked, place: Place): Promise<Referrer[]> => {
    const key = keyOf(asked, place);
    const listed = (lacking.get(key) ?? 0) > reach.clock.monotonicMs() ? undefined : await byApi(reach, asked, place);
    if (listed === 'no such API') lacks(key);
    return Array.isArray(listed) ? listed : parsed(await fallbackList(reach, asked, place));
  };
  return {
    async referrers(reference, subject, call) {
      // What a mirror answers counts, also that there are none: who pulls through one may have no other way out.
      const all = await reach.ask(reference, call, (place) => found({ ...call, reference, subject }, place));
      return all.filter(({ artifactType }) => artifactType === call.artifactType);
    },
    async manifestBytes(reference, want, call) {
      const { manifestBytes } = reach.config.limits;
      if (want.size > manifestBytes) throw corrupt(`manifest ${want.digest}: ${want.size} bytes, at most ${manifestBytes} are read`);
      return (await fetchManifest(reach, { ...call, reference, at: want.digest })).bytes;
    },
    async putReferrer(reference, what, call) {
      const { digest, subjectTaken } = await push.putManifest(reference, { at: digestOf(what.bytes), mediaType: what.mediaType, bytes: what.bytes }, call)
        .catch((error: unknown) => { throw tooOld(error); });
      if (subjectTaken) return { digest };
      using _turn = await lists.hold(`${reference.registry}/${reference.path}@${what.subject}`, { signal: call.signal });
      await list({ reach, push }, { reference, what, call });
      return { digest };
    },
  };
}

/** The list as the API gives it; undefined when it did not answer, which says nothing about the next time. */
async function byApi({ authorizer, transport, config }: Reach, asked: Asked, { base, auth, connectMs }: Place): Promise<Referrer[] | 'no such API' | undefined> {
  const { reference, subject, artifactType, signal } = asked;
  const all: Referrer[] = [];
  let next: URL | undefined = at(base, `/v2/${reference.path}/referrers/${subject}?artifactType=${encodeURIComponent(artifactType)}`);
  const { manifestBytes } = config.limits;
  for (let pages = 0, readBytes = 0; next !== undefined && pages < MAX_PAGES && readBytes < manifestBytes; pages++) {
    const request = { method: 'GET' as const, url: next, headers: { Accept: MEDIA.ociIndex }, signal, ...(connectMs === undefined ? {} : { connectMs }) };
    const response: Response = await authorizer.send(request, { base, scope: pullScope(reference), auth });
    const type = bareMediaType(response.message.headers['content-type'] ?? '');
    const following: URL | undefined = response.status === 200 ? nextPage(response, next) : undefined;
    const bytes = await transport.bytes(response, { maxBytes: manifestBytes, signal });
    readBytes += bytes.length;
    if ([400, 404, 405, 501].includes(response.status)) return 'no such API';
    if (response.status !== 200) return undefined;
    if (type === 'text/html') return 'no such API'; // a page for people, from a server that answers anything so
    const named = namedBy(bytes);
    if (!named) return 'no such API';
    all.push(...named);
    next = following;
  }
  return all;
}

/** The bytes under the fallback tag; undefined when nothing is there. */
async function fallbackList(reach: Reach, asked: RegistryCall & { reference: Reference; subject: Digest }, place: Place): Promise<Uint8Array | undefined> {
  try {
    return (await manifestAt(reach, { ...asked, at: fallbackTag(asked.subject) }, place)).bytes;
  } catch (error) {
    if (error instanceof RegistryFailure && error.status === 404) return undefined;
    throw error;
  }
}

/** What a list names; undefined when it is none, because somebody has put something else under that tag. */
function namedBy(list: Uint8Array): Referrer[] | undefined {
  try {
    return parseReferrers(list);
  } catch (error) {
    if (kindOf(error) === 'invalid') return undefined;
    throw error;
  }
}

const parsed = (list: Uint8Array | undefined): Referrer[] => (list && namedBy(list)) ?? [];

/**
 * Writes ours into the list under the fallback tag. A registry has no lock: another machine may have read the list before ours stood there, and
 * write its own over it. So it is read again, at once and when such a writer is done, and written again until ours stays.
 */
async function list({ reach, push }: { reach: Reach; push: Pick<RegistryPush, 'putManifest'> }, { reference, what, call }: { reference: Reference; what: ReferrerPut; call: RegistryCall }): Promise<void> {
  const { subject, mediaType, artifactType, bytes, annotations, sameBy } = what;
  const ours: Referrer = { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, artifactType, annotations };
  const { clock, config: { limits }, log } = reach;
  const isThere = (bytes: Uint8Array | undefined) => parsed(bytes).some(({ descriptor }) => descriptor.digest === ours.descriptor.digest);
  // No two machines wait equally long, or they would meet again.
  const pause = (baseMs: number) => clock.sleep(baseMs * (1 + Number.parseInt(clock.randomHex(1), 16) / 255), { signal: call.signal });
  const read = () => reach.askOwn(reference, call, (place) => fallbackList(reach, { ...call, reference, subject }, place));
  for (let round = 1, before = await read(); round <= MAX_ROUNDS; round++) {
    const news = added(before, ours, { sameBy, tag: `${reference.path}:${fallbackTag(subject)}` });
    await push.putManifest(reference, { at: fallbackTag(subject), mediaType: MEDIA.ociIndex, bytes: news }, call);
    before = await read();
    await pause(limits.retryBaseMs / 8 * (isThere(before) ? 1 : round));
    before = await read();
    if (isThere(before)) return;
    log.info('another writer has changed the list of referrers: it is written again', { subject, round });
  }
  throw unavailable(`the list of referrers of ${subject} changes faster than it can be written`);
}

/** Registries of the time before OCI 1.1 refuse an artifact in words that do not say why. */
function tooOld(error: unknown): unknown {
  if (!(error instanceof RegistryFailure) || error.kind !== 'invalid' || error.status === undefined) return error;
  return new RegistryFailure(error.kind, `${error.message} (does this registry take artifacts of OCI 1.1?)`, { status: error.status, cause: error });
}

/** What is no list was put there by somebody who may need it: it is left. Source: OCI distribution spec 1.1, "Pushing Manifests with Subject". */
function added(before: Uint8Array | undefined, ours: Referrer, { sameBy, tag }: { sameBy: readonly string[]; tag: string }): Uint8Array {
  try {
    return withReferrer(before, ours, sameBy);
  } catch (error) { throw conflict(`what refers to the image is to be listed under ${tag}, which cannot be added to: ${messageOf(error)}; if nobody needs what is there, delete that tag in the registry and push again`, { cause: error }); }
}
