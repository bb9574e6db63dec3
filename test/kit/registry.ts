// Debian's docker-registry as a child on a loopback port, and images pushed to it through the registry API.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type Child } from './child.ts';
import { ask } from './http.ts';
import type { Blob, BuiltImage } from './image.ts';
import { freePort } from './net.ts';

export interface DebianRegistry extends Child {
  /** 127.0.0.1:PORT, as it stands in image names; engines take loopback registries without TLS. */
  readonly host: string;
}

/** A port that was free a moment ago may be somebody's by now: then another one is taken. */
export async function startRegistry({ root }: { root: string }): Promise<DebianRegistry> {
  for (let attempt = 1; ; attempt++) {
    try { return await serveRegistry(root); }
    catch (error) { if (attempt === 5 || !/address already in use/.test(String(error))) throw error; }
  }
}

async function serveRegistry(root: string): Promise<DebianRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  mkdirSync(root, { recursive: true });
  const configFile = join(root, 'registry.json');
  // Its configuration is YAML, of which JSON is a part.
  writeFileSync(configFile, JSON.stringify({
    version: 0.1, log: { level: 'warn' }, http: { addr: host },
    storage: { filesystem: { rootdirectory: join(root, 'registry-data') }, delete: { enabled: true }, maintenance: { uploadpurging: { enabled: false } } },
  }));
  const child = await startChild({
    command: ['/usr/bin/docker-registry', 'serve', configFile],
    ready: async () => (await ask(host, { path: '/v2/', timeoutMs: 5000 })).status === 200,
  });
  return Object.defineProperties({ host }, Object.getOwnPropertyDescriptors(child)) as { host: string } & Child;
}

/** Pushes to REPOSITORY:TAG (or by digest when `tag` is undefined); gives the full reference to pull. */
export async function pushImage(host: string, image: BuiltImage, { repository, tag }: { repository: string; tag?: string }): Promise<string> {
  for (const blob of [...image.layers, image.config]) await pushBlob(host, repository, blob);
  return pushManifest(host, image.manifest, { repository, ...(tag === undefined ? {} : { tag }) });
}

/** Pushes the images by digest and then the list of them. */
export async function pushIndex(host: string, list: { index: Blob; images: readonly BuiltImage[] }, name: { repository: string; tag: string }): Promise<string> {
  for (const image of list.images) await pushImage(host, image, { repository: name.repository });
  return pushManifest(host, list.index, name);
}

async function pushManifest(host: string, manifest: Blob, { repository, tag }: { repository: string; tag?: string }): Promise<string> {
  await expect(201, host, { method: 'PUT', path: `/v2/${repository}/manifests/${tag ?? manifest.digest}`, body: manifest.bytes, headers: { 'Content-Type': manifest.mediaType } });
  return `${host}/${repository}${tag === undefined ? `@${manifest.digest}` : `:${tag}`}`;
}

async function pushBlob(host: string, repository: string, blob: Blob): Promise<void> {
  const there = await ask(host, { method: 'HEAD', path: `/v2/${repository}/blobs/${blob.digest}` });
  if (there.status === 200) return;
  const upload = await expect(202, host, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` });
  const place = new URL(String(upload.headers['location']), `http://${host}`);
  place.searchParams.set('digest', blob.digest);
  await expect(201, host, { method: 'PUT', path: `${place.pathname}${place.search}`, body: blob.bytes, headers: { 'Content-Type': 'application/octet-stream' } });
}

async function expect(status: number, host: string, what: Parameters<typeof ask>[1]) {
  const answer = await ask(host, what);
  if (answer.status !== status) throw new Error(`${what.method} ${what.path}: ${answer.status} instead of ${status}\n${answer.text}`);
  return answer;
}
