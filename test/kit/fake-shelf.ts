// What the fake registry keeps of pushes: uploads on their way, blobs by repository, manifests, and what refers to them.
import { digestOf, isDigest } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import type { Answer, Seen } from './fake-registry.ts';

interface Stored { bytes: Uint8Array; mediaType: string }
interface Needs { blobs: Map<string, Uint8Array>; manifests: Map<string, Stored>; url: () => string }

const EMPTY = Buffer.alloc(0);
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const refusal = (status: number, code: string): Answer => ({ status, headers: {}, body: json({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }) });

export class FakeShelf {
  readonly #needs: Needs;
  /** By ID: the repository and the bytes so far. */
  readonly #uploads = new Map<string, { name: string; bytes: Buffer }>();
  /** `NAME DIGEST` of blobs that were pushed; others are in every repository. */
  readonly #pushed = new Map<string, Uint8Array>();
  #begun = 0;
  /** How an upload's place is told. */
  location: (path: string) => string = (path) => path;
  /** Whether there is the referrers API; entries on each of its pages; whether it filters, and says so. */
  api: { has: boolean; pageEntries: number; filters: boolean } = { has: false, pageEntries: Infinity, filters: false };
  /** Told of each manifest that was put, after it. */
  onPut: (name: string, reference: string) => void = () => {};

  constructor(needs: Needs) { this.#needs = needs; }

  get openUploads(): number { return this.#uploads.size; }
  blob(name: string, digest: string): Uint8Array | undefined { return this.#pushed.get(`${name} ${digest}`); }
  manifest(name: string, reference: string): Stored | undefined { return this.#needs.manifests.get(`${name}@${reference}`); }
  put(name: string, reference: string, stored: Stored): void {
    this.#needs.manifests.set(`${name}@${digestOf(stored.bytes)}`, stored);
    this.#needs.manifests.set(`${name}@${reference}`, stored);
  }

  /** undefined for what is no matter of pushes. */
  answer(seen: Seen, body: Buffer): Answer | undefined {
    const [, name = '', last = ''] = /^\/v2\/(.+)\/(?:manifests|blobs(?:\/uploads)?|referrers)\/([^/]*)$/.exec(seen.path) ?? [];
    if (seen.kind === 'upload') return this.#upload(seen, { name, id: last, body });
    if (seen.kind === 'referrers') return this.#referrers(seen, name, last);
    if (seen.kind === 'manifest' && seen.method === 'PUT') return this.#putManifest(name, last, { bytes: body, mediaType: seen.headers['content-type'] ?? '' });
    const pushed = seen.kind === 'blob' ? this.#pushed.get(`${name} ${last}`) : undefined;
    return pushed && { status: 200, headers: { 'Content-Type': 'application/octet-stream' }, body: pushed };
  }

  #upload(seen: Seen, { name, id, body }: { name: string; id: string; body: Buffer }): Answer {
    if (seen.method === 'POST') {
      const [mount, from] = [seen.form.get('mount'), seen.form.get('from')];
      const lent = mount === null || from === null ? undefined : this.#pushed.get(`${from} ${mount}`);
      if (lent && mount !== null) {
        this.#pushed.set(`${name} ${mount}`, lent);
        return { status: 201, headers: { Location: `/v2/${name}/blobs/${mount}` }, body: EMPTY };
      }
      const fresh = `upload-${++this.#begun}`;
      this.#uploads.set(fresh, { name, bytes: EMPTY });
      return this.#accepted(name, fresh);
    }
    const upload = this.#uploads.get(id);
    if (upload?.name !== name) return refusal(404, 'BLOB_UPLOAD_UNKNOWN');
    if (seen.method === 'DELETE') {
      this.#uploads.delete(id);
      return { status: 204, headers: {}, body: EMPTY };
    }
    upload.bytes = Buffer.concat([upload.bytes, body]);
    if (seen.method === 'PATCH') return this.#accepted(name, id);
    const digest = digestOf(upload.bytes);
    if (seen.form.get('digest') !== digest) return refusal(400, 'DIGEST_INVALID');
    this.#uploads.delete(id);
    this.#pushed.set(`${name} ${digest}`, upload.bytes);
    return { status: 201, headers: { Location: `/v2/${name}/blobs/${digest}` }, body: EMPTY };
  }

  #accepted(name: string, id: string): Answer {
    return { status: 202, headers: { Location: this.location(`/v2/${name}/blobs/uploads/${id}`) }, body: EMPTY };
  }

  #putManifest(name: string, reference: string, stored: Stored): Answer {
    const digest = digestOf(stored.bytes);
    if (isDigest(reference) && reference !== digest) return refusal(400, 'DIGEST_INVALID');
    this.put(name, reference, stored);
    this.onPut(name, reference);
    const subject = this.api.has ? subjectOf(stored.bytes) : undefined;
    return { status: 201, headers: { 'Docker-Content-Digest': digest, ...(subject === undefined ? {} : { 'OCI-Subject': subject }) }, body: EMPTY };
  }

  #referrers(seen: Seen, name: string, subject: string): Answer {
    if (!this.api.has) return { status: 404, headers: { 'Content-Type': 'text/plain' }, body: Buffer.from('404 page not found\n') };
    const wanted = seen.form.get('artifactType');
    const own = [...this.#needs.manifests].filter(([key, { bytes }]) => key === `${name}@${digestOf(bytes)}` && subjectOf(bytes) === subject);
    const all = own.map(([, { bytes, mediaType }]) => {
      const { artifactType, annotations } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { artifactType?: string; annotations?: object };
      return { mediaType, digest: digestOf(bytes), size: bytes.length, artifactType, annotations };
    }).filter(({ artifactType }) => !this.api.filters || wanted === null || wanted === artifactType);
    const first = Number(seen.form.get('first') ?? 0), behind = first + this.api.pageEntries;
    const link = behind < all.length ? { Link: `</v2/${name}/referrers/${subject}?artifactType=${encodeURIComponent(wanted ?? '')}&first=${behind}>; rel="next"` } : {};
    const filtered = this.api.filters && wanted !== null ? { 'OCI-Filters-Applied': 'artifactType' } : {};
    return { status: 200, headers: { 'Content-Type': MEDIA.ociIndex, ...link, ...filtered }, body: json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: all.slice(first, behind) }) };
  }
}

function subjectOf(bytes: Uint8Array): string | undefined {
  return (JSON.parse(Buffer.from(bytes).toString('utf8')) as { subject?: { digest: string } }).subject?.digest;
}
