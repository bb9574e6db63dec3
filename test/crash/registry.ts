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
  push(name: string, tag: string, layers: ReadonlyArray<readonly Entry[]>): Promise<{ tarBytes: number; blobBytes: number }>;
}

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
    await eventually('end of docker-registry', 10_000, () => !isAlive(pid));
    rmSync(directory, { recursive: true, force: true });
  });
  await eventually(`docker-registry answers on ${host}`, 10_000, () => ask(host, 'GET', '/v2/').then((reply) => reply.status === 200, () => false));
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
      await pushManifest(host, { name, tag }, blobs);
      return { tarBytes: sum(blobs.map((blob) => blob.tarBytes)), blobBytes: sum(blobs.map((blob) => blob.size)) };
    },
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

async function pushManifest(host: string, image: { name: string; tag: string }, blobs: readonly Blob[]): Promise<void> {
  const config = Buffer.from(JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux', created: '2026-01-01T00:00:00Z', config: { Cmd: ['/base/d0/f0'] },
    rootfs: { type: 'layers', diff_ids: blobs.map((blob) => blob.diffId) },
    history: blobs.map((_blob, n) => ({ created: '2026-01-01T00:00:00Z', created_by: `layer ${n}` })),
  }));
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  await pushBlob(host, image.name, { digest, size: config.length, source: Readable.from([config]) });
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
  const manifest = JSON.stringify({
    schemaVersion: 2, mediaType, config: { mediaType: 'application/vnd.docker.container.image.v1+json', size: config.length, digest },
    layers: blobs.map((blob) => ({ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', size: blob.size, digest: blob.digest })),
  });
  const reply = await ask(host, 'PUT', `/v2/${image.name}/manifests/${image.tag}`, { type: mediaType, size: manifest.length, source: Readable.from([Buffer.from(manifest)]) });
  if (reply.status !== 201) throw new Error(`push of manifest ${image.name}:${image.tag}: HTTP ${reply.status}`);
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
