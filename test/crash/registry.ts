// Debian's docker-registry on a loopback port, and images put into it over its own API.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { tarOf, type Entry } from './tar.ts';
import { eventually, isAlive, signal } from './system.ts';

export interface TestRegistry extends AsyncDisposable {
  /** Such as 127.0.0.1:40123. */
  readonly host: string;
  /** Pushes an image; a layer that was pushed to this repository before is not sent again. Returns what it weighs. */
  push(name: string, tag: string, layers: ReadonlyArray<readonly Entry[]>): Promise<Pushed>;
  /** Puts a blob into a repository. */
  addBlob(name: string, bytes: Uint8Array): Promise<{ digest: string; size: number }>;
  /** Puts a manifest there, under a tag or its own digest. */
  addManifest(name: string, reference: string, what: { bytes: Uint8Array; mediaType: string }): Promise<void>;
}

export interface Pushed { tarBytes: number; blobBytes: number; manifest: { bytes: Uint8Array; mediaType: string } }

interface Blob { digest: string; diffId: string; size: number; tarBytes: number }

export async function openRegistry(directory: string): Promise<TestRegistry> {
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const config = `${directory}/config.yml`;
  writeFileSync(config, [
    'version: 0.1', 'log: {level: error}', `storage: {filesystem: {rootdirectory: ${directory}/data}}`, `http: {addr: '${host}'}`, '',
  ].join('\n'));
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore', detached: true }); // A Ctrl-C is for us alone: we end it in order.
  const { pid } = child;
  if (pid === undefined) throw new Error('docker-registry does not start: run scripts/setup');
  await using undo = new AsyncDisposableStack();
  undo.defer(async () => {
    signal(pid, 'SIGTERM');
    await eventually('end of docker-registry', 60_000, () => !isAlive(pid));
    rmSync(directory, { recursive: true, force: true });
  });
  await eventually(`docker-registry answers on ${host}`, 60_000, () => ask(host, 'GET', '/v2/').then((reply) => reply.status === 200, () => false));
  const held = undo.move();
  const known = new Map<readonly Entry[], Blob>();
  return {
    host,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
    async push(name, tag, layers) {
      const blobs: Blob[] = [];
      for (const layer of layers) {
        const blob = known.get(layer) ?? await pushLayer(host, name, { layer, scratch: directory });
        known.set(layer, blob);
        blobs.push(blob);
      }
      return { tarBytes: sum(blobs.map((blob) => blob.tarBytes)), blobBytes: sum(blobs.map((blob) => blob.size)), ...await pushImage(host, { name, tag }, blobs) };
    },
    async addBlob(name, bytes) {
      const blob = { digest: digestOf(bytes), size: bytes.length };
      await pushBlob(host, name, { ...blob, source: Readable.from([bytes]) });
      return blob;
    },
    addManifest: (name, reference, what) => pushManifest(host, { name, reference }, what),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

async function pushLayer(host: string, name: string, what: { layer: readonly Entry[]; scratch: string }): Promise<Blob> {
  const file = `${what.scratch}/layer.tgz`;
  const [plain, packed] = [counter(), counter()];
  await pipeline(Readable.from(tarOf(what.layer), { objectMode: true }), plain.stream, createGzip({ level: 6 }), packed.stream, createWriteStream(file));
  const blob = { digest: packed.digest(), diffId: plain.digest(), size: packed.bytes(), tarBytes: plain.bytes() };
  await pushBlob(host, name, { digest: blob.digest, size: blob.size, source: createReadStream(file) });
  rmSync(file);
  return blob;
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Of the image that has these layers. */
export function configOf(diffIds: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux', created: '2026-01-01T00:00:00Z', config: { Cmd: ['/base/d0/f0'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map((_diffId, n) => ({ created: '2026-01-01T00:00:00Z', created_by: `layer ${n}` })),
  }));
}

async function pushImage(host: string, image: { name: string; tag: string }, blobs: readonly Blob[]): Promise<Pick<Pushed, 'manifest'>> {
  const config = configOf(blobs.map(({ diffId }) => diffId));
  const digest = digestOf(config);
  await pushBlob(host, image.name, { digest, size: config.length, source: Readable.from([config]) });
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
  const bytes = Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType, config: { mediaType: 'application/vnd.docker.container.image.v1+json', size: config.length, digest },
    layers: blobs.map((blob) => ({ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', size: blob.size, digest: blob.digest })),
  }));
  await pushManifest(host, { name: image.name, reference: image.tag }, { bytes, mediaType });
  return { manifest: { bytes, mediaType } };
}

async function pushManifest(host: string, { name, reference }: { name: string; reference: string }, { bytes, mediaType }: Pushed['manifest']): Promise<void> {
  const reply = await ask(host, 'PUT', `/v2/${name}/manifests/${reference}`, { type: mediaType, size: bytes.length, source: Readable.from([bytes]) });
  if (reply.status !== 201) throw new Error(`push of manifest ${name}:${reference}: HTTP ${reply.status}`);
}

async function pushBlob(host: string, name: string, blob: { digest: string; size: number; source: Readable }): Promise<void> {
  const opened = await ask(host, 'POST', `/v2/${name}/blobs/uploads/`);
  const to = new URL(opened.location, `http://${host}`);
  to.searchParams.set('digest', blob.digest);
  const reply = await ask(host, 'PUT', to.pathname + to.search, { type: 'application/octet-stream', size: blob.size, source: blob.source });
  if (reply.status !== 201) throw new Error(`push of blob ${blob.digest}: HTTP ${reply.status}`);
}

interface Body { type: string; size: number; source: Readable }

async function ask(host: string, method: string, path: string, body?: Body): Promise<{ status: number; location: string }> {
  const headers = body ? { 'content-type': body.type, 'content-length': body.size } : { 'content-length': 0 };
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; location: string }>();
  const sent = request(`http://${host}${path}`, { method, headers, agent: false }, (reply) => {
    reply.resume().on('end', () => resolve({ status: reply.statusCode ?? 0, location: reply.headers.location ?? '/' })).on('error', reject);
  }).on('error', reject);
  if (body) await pipeline(body.source, sent).catch(reject);
  else sent.end();
  return promise;
}

function counter(): { stream: Transform; digest(): string; bytes(): number } {
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = new Transform({ transform(chunk: Buffer, _encoding, done) { hash.update(chunk); bytes += chunk.length; done(null, chunk); } });
  return { stream, digest: () => `sha256:${hash.digest('hex')}`, bytes: () => bytes };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const address = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
