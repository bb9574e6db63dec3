// Names of images as people write them, made complete and taken apart: Docker's grammar and Docker's refusals.
import { isDigest, type Digest } from './digest.ts';
import { invalid } from '../lib/errors.ts';

/** A complete name: `docker.io`, `library/busybox`, and what follows it. */
export interface Reference {
  /** The domain as it is part of the name, with its port: 'docker.io', 'localhost:5000'. See registryHost() for whom to call. */
  registry: string;
  path: string;
  tag: string | undefined;
  digest: Digest | undefined;
}

export const DEFAULT_REGISTRY = 'docker.io';
export const DEFAULT_TAG = 'latest';

const OFFICIAL = 'library';
/** Docker's limit on domain and path together, in characters. */
const MAX_NAME_CHARS = 255;
/** Nothing longer can be a reference: name, tag of 128, digest of 71. It bounds the work of the expressions below. */
const MAX_TEXT_CHARS = MAX_NAME_CHARS + 128 + 71 + 2;

const DOMAIN = /^(?:(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?$/;
const PATH = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const ANY_DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const BARE_ID = /^[0-9a-f]{64}$/;

const malformed = () => invalid('invalid reference format');

/** Completes and checks a name; a missing tag stays missing (see withDefaultTag). */
export function parseReference(text: string): Reference {
  if (BARE_ID.test(text)) throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  const { registry, rest } = splitDomain(text);
  const colon = rest.indexOf(':');
  const nameOnly = colon < 0 ? rest : rest.slice(0, colon);
  if (nameOnly.toLowerCase() !== nameOnly) throw invalid('invalid reference format: repository name must be lowercase');

  const { path, tag, digest } = splitSuffixes(rest);
  if (registry.length + 1 + path.length > MAX_NAME_CHARS) {
    throw invalid(`invalid reference format: repository name must not be more than ${MAX_NAME_CHARS} characters`);
  }
  if (text.length > MAX_TEXT_CHARS) throw malformed();
  if (!DOMAIN.test(registry) || !PATH.test(path)) throw malformed();
  if (tag !== undefined && !TAG.test(tag)) throw malformed();
  return { registry, path, tag, digest: digest === undefined ? undefined : parsedDigest(digest) };
}

/** The same reference; with the tag `latest` when it has neither tag nor digest. */
export function withDefaultTag(ref: Reference): Reference {
  return ref.tag === undefined && ref.digest === undefined ? { ...ref, tag: DEFAULT_TAG } : ref;
}

/** `docker.io/library/busybox`: the whole name without tag and digest. */
export const canonicalName = (ref: Reference): string => `${ref.registry}/${ref.path}`;

/** The name as Docker shows it, without tag and digest: `busybox`, `localhost:5000/a/b`. Parses to the same name again. */
export function familiarName(ref: Reference): string {
  if (ref.registry !== DEFAULT_REGISTRY) return canonicalName(ref);
  const parts = ref.path.split('/');
  if (parts.length === 2 && parts[0] === OFFICIAL && parts[1] !== undefined) return BARE_ID.test(parts[1]) ? ref.path : parts[1];
  // A first part that looks like a host would be read as one; Docker shows it short all the same and loses the name.
  return parts.length > 1 && looksLikeHost(parts[0] ?? '') ? canonicalName(ref) : ref.path;
}

/** `busybox:latest`, `busybox@sha256:…`, `busybox:1@sha256:…`. */
export function familiarString(ref: Reference): string {
  return familiarName(ref) + (ref.tag === undefined ? '' : `:${ref.tag}`) + (ref.digest === undefined ? '' : `@${ref.digest}`);
}

/** Error: invalid, in Docker's words, for what can be no tag. */
export function assertTag(tag: string): void {
  if (!TAG.test(tag)) throw invalid('invalid tag format');
}

/** What an image is called when it is tagged, in full; a `tag` counts before one that stands in `repo`. */
export function nameToTag(repo: string, tag: string): string {
  const target = parseReference(repo);
  if (target.digest !== undefined) throw invalid('refusing to create a tag with a digest reference');
  if (tag !== '') assertTag(tag);
  const name = familiarString({ ...target, tag: tag === '' ? target.tag ?? DEFAULT_TAG : tag });
  if (name.startsWith('sha256:')) throw invalid('refusing to create an ambiguous tag using digest algorithm as name');
  return name;
}

/** An entry of RepoDigests: the name with `digest` and without a tag. */
export const familiarWithDigest = (ref: Reference, digest: Digest): string => `${familiarName(ref)}@${digest}`;

/** Host and port to speak to; the hub answers under another name than the one its images carry. */
export const registryHost = (ref: Pick<Reference, 'registry'>): string =>
  (ref.registry === DEFAULT_REGISTRY ? 'registry-1.docker.io' : ref.registry);

/** What stands before the first slash is a registry only if it looks like a host; `a/b` is a name on the hub. */
function splitDomain(text: string): { registry: string; rest: string } {
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(slash, 0));
  const named = slash >= 0 && looksLikeHost(first);
  let registry = named ? first : DEFAULT_REGISTRY;
  if (registry === 'index.docker.io') registry = DEFAULT_REGISTRY;
  const rest = named ? text.slice(slash + 1) : text;
  return { registry, rest: registry === DEFAULT_REGISTRY && !rest.includes('/') ? `${OFFICIAL}/${rest}` : rest };
}

const looksLikeHost = (part: string): boolean => /[.:]/.test(part) || part === 'localhost';

function splitSuffixes(rest: string): { path: string; tag: string | undefined; digest: string | undefined } {
  const at = rest.indexOf('@');
  const digest = at < 0 ? undefined : rest.slice(at + 1);
  const named = at < 0 ? rest : rest.slice(0, at);
  const colon = named.indexOf(':');
  return { path: colon < 0 ? named : named.slice(0, colon), tag: colon < 0 ? undefined : named.slice(colon + 1), digest };
}

function parsedDigest(text: string): Digest {
  if (isDigest(text)) return text;
  if (!ANY_DIGEST.test(text)) throw malformed();
  throw text.startsWith('sha256:') ? invalid('invalid checksum digest length') : invalid('unsupported digest algorithm');
}
