// Digests of the image formats: what was transferred, what it unpacks to, and what lies below it.
import { createHash } from 'node:crypto';
import type { Brand } from '../lib/brand.ts';
import { EngineError } from '../lib/errors.ts';

export type Digest = Brand<string, 'Digest'>;    // of the bytes as transferred
export type DiffId = Brand<string, 'DiffId'>;    // of the uncompressed layer tar
export type ChainId = Brand<string, 'ChainId'>;  // of a layer and everything below it
export type ImageId = Brand<string, 'ImageId'>;  // of the image config's bytes

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** Accepts `sha256:` and 64 lower-case hex digits, nothing else. */
export function parseDigest(text: string): Digest { return checked(text, 'digest') as Digest; }
export function parseDiffId(text: string): DiffId { return checked(text, 'diffID') as DiffId; }
export function parseChainId(text: string): ChainId { return checked(text, 'chainID') as ChainId; }
export function parseImageId(text: string): ImageId { return checked(text, 'image ID') as ImageId; }
export const isDigest = (text: string): text is Digest => SHA256.test(text);

function checked(text: unknown, what: string): string {
  if (typeof text !== 'string' || !SHA256.test(text)) throw new EngineError('invalid', `invalid ${what}: ${JSON.stringify(text)}`);
  return text;
}

/** The 64 hex digits behind the colon. */
export const hexOf = (digest: Digest | DiffId | ChainId | ImageId): string => digest.slice('sha256:'.length);

export const digestOf = (bytes: Uint8Array | string): Digest => `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;

/**
 * The chainID of each layer, bottom first: the first one's diffID, then sha256(chainID below + " " + diffID).
 * Source: OCI image spec, config.md, "Layer ChainID".
 */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push((below === undefined ? diffId : digestOf(`${below} ${diffId}`)) as string as ChainId);
  }
  return chain;
}
