// Which image a word means: a name, a name with digest, an ID or the unique start of one.
import { notFound } from '../../lib/errors.ts';
import { isDigest, parseImageId, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { familiarString, parseReference, withDefaultTag, type Reference } from '../../oci/reference.ts';
import type { Store } from '../../store/index.ts';

/** Docker's order: full ID, name, start of an ID that no other has. Error: not-found, in the words clients match on, as a name that looks like an ID is pulled then. */
export function findImage(store: Pick<Store, 'images' | 'names'>, word: string): { config: ImageConfig; byName: string | undefined } {
  const full = /^[0-9a-f]{64}$/.test(word) ? `sha256:${word}` : word;
  if (isDigest(full)) {
    const config = store.images.get(parseImageId(full));
    if (config) return { config, byName: undefined };
    throw noSuchImage(full);
  }
  const reference = nameOf(word);
  const familiar = reference && (reference.digest === undefined ? familiarString(withDefaultTag(reference)) : familiarString({ ...reference, tag: undefined }));
  const named = familiar === undefined ? undefined : store.names.get(familiar);
  const config = named && store.images.get(named);
  if (config) return { config, byName: familiar };
  const id = byPrefix(store, word.startsWith('sha256:') ? word.slice(7) : word);
  const prefixed = id && store.images.get(id);
  if (prefixed) return { config: prefixed, byName: undefined };
  throw noSuchImage(familiar ?? word);
}

export const noSuchImage = (name: string) => notFound(`No such image: ${name}`);

function nameOf(word: string): Reference | undefined {
  try {
    return parseReference(word);
  } catch (error) {
    // What is no name may still be the start of an ID ("sha256:1234").
    if (/^(sha256:)?[0-9a-f]+$/.test(word)) return undefined;
    throw error;
  }
}

function byPrefix(store: Pick<Store, 'images'>, hex: string): ImageId | undefined {
  if (!/^[0-9a-f]{1,64}$/.test(hex)) return undefined;
  const [found, ...more] = store.images.withPrefix(hex);
  return more.length === 0 ? found : undefined;
}
