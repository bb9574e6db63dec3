// A pull over the API as a client sees it: its lines as they come, its error wherever it stands, and a way to walk off in the middle.
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import type { ProgressLine } from '../../src/wire/types.ts';
import { ask } from './http.ts';
import { until } from './poll.ts';

export interface Pulled {
  status: number;
  lines: ProgressLine[];
  /** What went wrong, in the answer or in its last line; undefined when it was pulled. */
  error: string | undefined;
}

export interface Pulling {
  /** So far. */
  readonly lines: readonly ProgressLine[];
  /** Rejects when the client walked off, or the engine did. */
  readonly done: Promise<Pulled>;
  /** Until a line of this status (of this layer) has come. */
  sees(status: string | RegExp, id?: string): Promise<ProgressLine>;
  /** The client is gone: its connection is cut. */
  leave(): void;
}

export function startPull(socket: string, image: string, query: Readonly<Record<string, string>> = {}): Pulling {
  return startProgress(socket, `/images/create?${new URLSearchParams({ fromImage: image, ...query }).toString()}`);
}

/** Any POST that answers with such lines. */
export function startProgress(socket: string, path: string): Pulling {
  const lines: ProgressLine[] = [];
  const { promise: done, resolve, reject } = Promise.withResolvers<Pulled>();
  done.catch(() => {}); // told to whoever awaits it
  const sent = request({ socketPath: socket, method: 'POST', path, agent: false }, (response) => {
    let rest = '';
    response.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) if (part.trim() !== '') lines.push(JSON.parse(part) as ProgressLine);
    }).on('error', reject).on('end', () => {
      const status = response.statusCode ?? 0;
      const message = status === 200 ? lines.at(-1)?.error : (lines[0] as { message?: string } | undefined)?.message ?? rest;
      resolve({ status, lines, error: message });
    });
  });
  sent.on('error', reject).end();
  return {
    lines, done,
    leave: () => { sent.destroy(); },
    sees: (status, id) => until(`a line ${String(status)} of ${id ?? 'anything'}`, () => lines.find((line) =>
      (typeof status === 'string' ? line.status === status : status.test(line.status ?? '')) && (id === undefined || line.id === id))),
  };
}

export const pull = (socket: string, image: string, query?: Readonly<Record<string, string>>): Promise<Pulled> => startPull(socket, image, query).done;

/** Pulls or throws with what the engine said. */
export async function mustPull(socket: string, image: string, query?: Readonly<Record<string, string>>): Promise<ProgressLine[]> {
  const { status, lines, error } = await pull(socket, image, query);
  if (status !== 200 || error !== undefined) throw new Error(`pull ${image}: ${status} ${error}\n${lines.map((line) => JSON.stringify(line)).join('\n')}`);
  return lines;
}

/** IDs of the images there are. */
export async function imageIds(socket: string): Promise<string[]> {
  return (await ask(socket, { path: '/images/json' })).json<Array<{ Id: string }>>().map(({ Id }) => Id).sort();
}

/** Everything below a data root: names, types, sizes of files, targets of symlinks. Equal lists: the same store. */
export function listTree(root: string, below = ''): string[] {
  return readdirSync(join(root, below)).sort().flatMap((name) => {
    const path = join(below, name);
    const stat = lstatSync(join(root, path));
    if (stat.isDirectory()) return [`${path}/`, ...listTree(root, path)];
    return [stat.isSymbolicLink() ? `${path} -> ${readlinkSync(join(root, path))}` : `${path} ${stat.size}`];
  });
}

/** The diffIDs of the layers that wait in staging as whole ones, for the layer below them or for another pull. */
export function keptLayers(dataRoot: string): string[] {
  const staging = join(dataRoot, 'image/overlay2/layerdb/tmp');
  const read = (name: string, file: string) => { try { return readFileSync(join(staging, name, file), 'utf8'); } catch { return ''; } };
  return readdirSync(staging).filter((name) => read(name, 'size').length === 16).map((name) => read(name, 'diff')).toSorted();
}

/** Nothing staged, nothing being removed, and as many snapshots and links as committed layers. For a root without containers. */
export function assertNoResidue(dataRoot: string): void {
  const image = join(dataRoot, 'image/overlay2');
  const committed = readdirSync(join(image, 'layerdb/sha256')).length;
  assert.deepEqual(readdirSync(join(image, 'layerdb/tmp')), []);
  assert.deepEqual(readdirSync(join(dataRoot, 'vaquita/removed')), []);
  assert.deepEqual(readdirSync(join(dataRoot, 'vaquita/quarantine')), []);
  assert.equal(readdirSync(join(dataRoot, 'overlay2/l')).length, committed);
  assert.equal(readdirSync(join(dataRoot, 'overlay2')).length, committed + 1, 'snapshots and l');
  assert.deepEqual(listTree(dataRoot).filter((line) => line.includes('.staged-')), []);
}

/** 12 digits, as layers are called in progress lines. */
export const shortOf = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + 12);
