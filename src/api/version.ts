// The version in a path: which ones are served, and the texts that clients look for when theirs is not.
import { invalid } from '../lib/errors.ts';
import type { ApiVersion } from './routes.ts';

/**
 * What is said where clients compare versions, in /version, /info and the Server header: the release of balenaEngine whose place this engine takes.
 * The engine's own version stands in the Components. See docs/decisions/0008-version-to-compare.md.
 */
export const DOCKER_VERSION = '20.10.44';

export const MAX_MINOR = 51;
export const MIN_MINOR = 24;
export const MAX_VERSION = `1.${MAX_MINOR}`;
export const MIN_VERSION = `1.${MIN_MINOR}`;

/** Splits `/v1.41/info` into its version, not judged yet, and `/info`. */
export function splitVersion(path: string): { version: string | undefined; path: string } {
  const match = /^\/v(\d{1,4}\.\d{1,4})(\/.*)$/.exec(path);
  return match ? { version: match[1], path: match[2] ?? '/' } : { version: undefined, path };
}

/** The version to answer in, or a refusal; `tooOld` tells the one that is not JSON, because such clients cannot read it. */
export function decideVersion(version: string | undefined): ApiVersion | { refusal: Error; tooOld: boolean } {
  if (version === undefined) return { minor: MAX_MINOR, superset: true };
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 1 || (major === 1 && minor < MIN_MINOR))
    return { tooOld: true, refusal: invalid(`client version ${version} is too old. Minimum supported API version is ${MIN_VERSION}, please upgrade your client to a newer version`) };
  if (major > 1 || minor > MAX_MINOR)
    return { tooOld: false, refusal: invalid(`client version ${version} is too new. Maximum supported API version is ${MAX_VERSION}`) };
  return { minor, superset: false };
}
