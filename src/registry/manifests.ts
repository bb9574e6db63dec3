// Manifests as bytes: fetched by tag or digest and held to what they are called, and the pages of lists.
import { RegistryFailure, imageFailure, shownUrl } from './errors.ts';
import { at } from './hosts.ts';
import { pullScope, type Place, type Reach } from './reach.ts';
import type { Response } from './transport.ts';
import { corrupt } from '../lib/errors.ts';
import { digestOf, isDigest, type Digest } from '../oci/digest.ts';
import { MANIFEST_TYPES } from '../oci/parse-manifest.ts';
import type { Reference } from '../oci/reference.ts';
import type { RegistryCall } from './index.ts';

export interface ManifestCall extends RegistryCall {
  reference: Reference;
  /** A tag or a digest. */
  at: string;
}

export interface FetchedManifest { bytes: Uint8Array; contentType: string; digest: Digest }

/** The verbatim bytes of a manifest or index, at most limits.manifestBytes; held to the digest when it is asked for by digest. */
export const fetchManifest = (reach: Reach, call: ManifestCall): Promise<FetchedManifest> => reach.ask(call.reference, call, (place) => manifestAt(reach, call, place));

/** The same of one server. */
export async function manifestAt(reach: Reach, call: ManifestCall, { base, auth, connectMs }: Place): Promise<FetchedManifest> {
  const { reference, signal } = call;
  const { transport, authorizer, config, log } = reach;
  const wanted = isDigest(call.at) ? call.at : undefined;
  const url = at(base, `/v2/${reference.path}/manifests/${call.at}`);
  const request = { method: 'GET' as const, url, headers: { Accept: MANIFEST_TYPES.join(', ') }, signal, ...(connectMs === undefined ? {} : { connectMs }) };
  const response = await authorizer.send(request, { base, scope: pullScope(reference), auth });
  if (response.status !== 200) {
    throw imageFailure(await transport.text(response, signal), { reference: wanted ? { ...reference, digest: wanted } : reference, what: 'manifest', auth });
  }
  const bytes = await transport.bytes(response, { maxBytes: config.limits.manifestBytes, signal });
  const digest = digestOf(bytes);
  if (wanted !== undefined && digest !== wanted) throw corrupt(`manifest verification failed for digest ${wanted}: content hashes to ${digest}`);
  const told = response.message.headers['docker-content-digest'];
  if (told !== undefined && told !== digest) log.warn('registry names another digest than its manifest has', { url: shownUrl(url), told: String(told).slice(0, 100), got: digest });
  return { bytes, contentType: response.message.headers['content-type'] ?? '', digest };
}

/** The page behind this one, as the Link header names it (RFC 8288). Another host's is refused: what is asked there is asked with our token. */
export function nextPage(response: Response, here: URL): URL | undefined {
  const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(response.message.headers.link ?? ''))?.[1];
  if (link === undefined) return undefined;
  const next = URL.parse(link, here);
  if (next?.host !== here.host) {
    response.message.destroy(); // nobody is going to read it
    throw new RegistryFailure('unavailable', `Get "${shownUrl(here)}": its next page is on another host`);
  }
  next.protocol = here.protocol; // behind a proxy that ends TLS, registries name themselves as they see themselves
  return next;
}
