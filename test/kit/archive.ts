// Images as archives, in the layouts that tools write: Docker's old and new, OCI's, and whatever a test makes of them.
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { tarBytes, type TarItem } from '../../src/archive/tar-write.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import { ask } from './http.ts';
import type { BuiltImage } from './image.ts';

export type ArchiveItem = TarItem & { content?: string | Uint8Array };

export const fileItem = (name: string, content: string | Uint8Array): ArchiveItem => ({ name, type: 'file', mode: 0o644, content });

const hex = (digest: string) => digest.slice('sha256:'.length);
const unpacked = (bytes: Uint8Array, mediaType: string): Uint8Array => (/gzip/.test(mediaType) ? gunzipSync(bytes) : /zstd/.test(mediaType) ? zstdDecompressSync(bytes) : bytes);

/** The uncompressed tars of an image. */
export const tarsOf = (image: BuiltImage): Uint8Array[] => image.layers.map(({ bytes, mediaType }) => unpacked(bytes, mediaType));

/** Docker's layout, with plain names. `name` is asked for each layer. */
export function dockerItems(image: BuiltImage, { tags = [], name = (index: number) => `layer-${index}/layer.tar` }: { tags?: readonly string[]; name?: (index: number) => string } = {}): ArchiveItem[] {
  const layers = tarsOf(image).map((tar, index) => fileItem(name(index), tar));
  const config = `${hex(image.config.digest)}.json`;
  return [...layers, fileItem(config, image.config.bytes), fileItem('manifest.json', JSON.stringify([{ Config: config, RepoTags: tags, Layers: layers.map((layer) => layer.name) }]))];
}

/** An OCI layout of the image's blobs as they are; `annotations` stand in the index. */
export function ociItems(image: BuiltImage, annotations: Readonly<Record<string, string>>): ArchiveItem[] {
  const { mediaType, digest, size } = image.manifest;
  const blobs = [image.manifest, image.config, ...image.layers].map((blob) => fileItem(`blobs/sha256/${hex(blob.digest)}`, blob.bytes));
  return [
    ...blobs, fileItem('index.json', JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [{ mediaType, digest, size, annotations }] })),
    fileItem('oci-layout', '{"imageLayoutVersion":"1.0.0"}'),
  ];
}

/** The lines of a load, as texts: what it says, or `error: …`. */
export async function load(socket: string, archive: Uint8Array | readonly ArchiveItem[], query = ''): Promise<string[]> {
  const body = archive instanceof Uint8Array ? archive : tarBytes(archive);
  const { text } = await ask(socket, { method: 'POST', path: `/images/load${query}`, body, headers: { 'Content-Type': 'application/x-tar' } });
  return text.split('\r\n').filter((line) => line !== '').map((line) => {
    const said = JSON.parse(line) as { stream?: string; error?: string; status?: string; id?: string };
    return said.error !== undefined ? `error: ${said.error}` : said.stream?.trimEnd() ?? `${said.id}: ${said.status}`;
  });
}

export async function save(socket: string, ...names: string[]): Promise<Buffer> {
  const { status, body, text } = await ask(socket, { path: `/images/get?${names.map((name) => `names=${encodeURIComponent(name)}`).join('&')}` });
  if (status !== 200) throw new Error(`save ${names.join(' ')}: ${status} ${text}`);
  return body;
}
