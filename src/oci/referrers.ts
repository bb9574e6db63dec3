// Lists of what refers to a manifest: an OCI index whose entries say of each what it is, from the referrers API or under the fallback tag.
import { hexOf, type Digest } from './digest.ts';
import { MEDIA, type Descriptor } from './manifest.ts';
import { MAX_INDEX_ENTRIES, descriptorFrom } from './parse-manifest.ts';
import { asArray, asObject, optionalString, optionalStringMap, parseJsonObject, type JsonObject } from './shape.ts';
import { invalid, kindOf } from '../lib/errors.ts';

export interface Referrer { descriptor: Descriptor; artifactType: string; annotations: Readonly<Record<string, string>> }

/** The tag that stands for the referrers API where a registry has none. Source: OCI distribution spec 1.1, "Referrers Tag Schema". */
export const fallbackTag = (subject: Digest): string => `sha256-${hexOf(subject)}`;

/** Whether a tag can only be such a list: what is pulled or looked for among tags is none. */
export const isFallbackTag = (tag: string): boolean => /^sha256-[0-9a-f]{64}$/.test(tag);

/** What a list names, as far as it can be read: others write there too, and may know digests that we do not. Error: invalid, when it is no index. */
export function parseReferrers(bytes: Uint8Array): Referrer[] {
  return entriesOf(indexFrom(bytes), Infinity).slice(0, MAX_INDEX_ENTRIES).flatMap((entry) => readable(entry) ?? []);
}

/**
 * The list with one more entry, at its end; those of its type that have the same values for the annotations `sameBy` give way to it. All other
 * entries, and what else stands there, stay as they are.
 */
export function withReferrer(list: Uint8Array | undefined, added: Referrer, sameBy: readonly string[]): Uint8Array {
  const index = list === undefined ? { schemaVersion: 2, mediaType: MEDIA.ociIndex } : indexFrom(list);
  const stays = (entry: unknown) => {
    const known = readable(entry);
    return known === undefined || (known.descriptor.digest !== added.descriptor.digest
      && (known.artifactType !== added.artifactType || sameBy.some((name) => known.annotations[name] !== added.annotations[name])));
  };
  const kept = list === undefined ? [] : entriesOf(index).filter(stays);
  if (kept.length >= MAX_INDEX_ENTRIES) throw invalid(`the list of referrers is full: it has ${kept.length} entries`);
  const { mediaType, digest, size } = added.descriptor;
  return Buffer.from(JSON.stringify({ ...index, manifests: [...kept, { mediaType, digest, size, annotations: added.annotations, artifactType: added.artifactType }] }));
}

function indexFrom(bytes: Uint8Array): JsonObject {
  const json = parseJsonObject(bytes, 'list of referrers');
  const mediaType = optionalString(json['mediaType'], 'mediaType') || MEDIA.ociIndex;
  const isImage = json['config'] !== undefined || json['layers'] !== undefined;
  if (json['schemaVersion'] !== 2 || mediaType !== MEDIA.ociIndex || isImage) throw invalid(`list of referrers: it is no ${MEDIA.ociIndex}`);
  return json;
}

const entriesOf = (index: JsonObject, maxEntries = MAX_INDEX_ENTRIES): readonly unknown[] => asArray(index['manifests'] ?? [], 'index.manifests', maxEntries);

function readable(entry: unknown): Referrer | undefined {
  try { return referrerFrom(entry, 'entry'); } catch (error) {
    if (kindOf(error) !== 'invalid') throw error;
    return undefined;
  }
}

function referrerFrom(value: unknown, where: string): Referrer {
  const json = asObject(value, where);
  return { descriptor: descriptorFrom(json, where), artifactType: optionalString(json['artifactType'], `${where}.artifactType`), annotations: optionalStringMap(json['annotations'], `${where}.annotations`) ?? {} };
}
