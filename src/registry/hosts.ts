// Where to call for a registry's images: mirrors first, HTTPS before HTTP, and whose certificates are believed.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inNetwork, isLoopback } from './addresses.ts';
import { DEFAULT_REGISTRY, registryHost, type Reference } from '../oci/reference.ts';
import { errnoOf, invalid } from '../lib/errors.ts';
import type { RegistryConfig } from './index.ts';

/** One server that may have an image. */
export interface Endpoint {
  /** Scheme, host and path prefix, without a slash at the end: to which `/v2/…` is added. One per scheme that may be spoken. */
  bases: readonly URL[];
  /** A mirror is no party to the user's credentials, and its failures are not the last word. */
  isMirror: boolean;
}

/** Whether plain HTTP and unverified certificates are allowed. Networks hold for addresses; names are not looked up. */
export function isInsecure(url: URL, insecure: readonly string[]): boolean {
  if (isLoopback(url.hostname)) return true;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return insecure.some((entry) => {
    const wanted = entry.toLowerCase().replace(/^https?:\/\//, '').replace(/\/+$/, '');
    return wanted === url.host || wanted === `${url.hostname}:${port}` || inNetwork(url.hostname, wanted);
  });
}

/** The servers to ask for an image of `ref`, in order. */
export function endpointsOf(ref: Pick<Reference, 'registry'>, config: RegistryConfig): Endpoint[] {
  const own = { bases: basesOf(registryHost(ref), config.insecureRegistries), isMirror: false };
  if (ref.registry !== DEFAULT_REGISTRY) return [own];
  return [...config.registryMirrors.map((text) => ({ bases: [parseMirror(text)], isMirror: true })), own];
}

function basesOf(host: string, insecure: readonly string[]): URL[] {
  const https = URL.parse(`https://${host}`);
  if (!https || https.pathname !== '/' || https.username !== '') throw invalid(`invalid registry host ${JSON.stringify(host)}`);
  return isInsecure(https, insecure) ? [https, new URL(`http://${host}`)] : [https];
}

function parseMirror(text: string): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.username !== '') {
    throw invalid(`registry mirror ${JSON.stringify(text)}: an http:// or https:// URL without credentials and query is needed`);
  }
  return url;
}

/** `path` (from '/v2/' on) at a base, which may have a path of its own. */
export const at = (base: URL, path: string): URL => new URL(base.pathname.replace(/\/+$/, '') + path, base);

export interface TlsMaterial {
  /** Authorities to believe besides the usual ones, PEM. */
  authorities: readonly string[];
  cert?: string;
  key?: string;
}

/** Certificates are small; what is larger is none. */
const MAX_PEM_FILES = 64;

/** What HOST/ in the certificates folder holds: *.crt to believe, NAME.cert with NAME.key to show. No folder, no material. */
export async function readTlsMaterial(certsDir: string, host: string): Promise<TlsMaterial> {
  const folder = join(certsDir, host);
  let names: string[];
  try {
    names = (await readdir(folder)).sort().slice(0, MAX_PEM_FILES);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return { authorities: [] };
    throw invalid(`read ${folder}: ${errnoOf(error)}`, { cause: error });
  }
  const read = (name: string) => readFile(join(folder, name), 'utf8');
  const authorities = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read));
  const cert = names.find((name) => name.endsWith('.cert'));
  if (cert === undefined) return { authorities };
  const key = cert.replace(/\.cert$/, '.key');
  if (!names.includes(key)) throw invalid(`${join(folder, cert)}: its key ${key} is missing`);
  return { authorities, cert: await read(cert), key: await read(key) };
}
