// Files of containers, and images made of them: archives in and out, changes, export, commit.
import type { FilesFace, CommitOptions } from '../engine/index.ts';
import type { PathStat } from '../rootfs/index.ts';
import { formatNanos } from '../lib/clock.ts';
import { invalid } from '../lib/errors.ts';
import type { CreateBody } from '../wire/types.ts';
import { readJson } from './body.ts';
import { required, type ApiRequest, type Route } from './routes.ts';
import { createBody } from './shapes.ts';

export const fileRoutes = (files: FilesFace): readonly Route[] => [
  { method: 'HEAD', path: '/containers/{name}/archive', async handle(request) {
      return { status: 200, headers: statHeader(await files.stat(required(request, 'name'), pathOf(request), signalled(request))) };
  } },
  { method: 'GET', path: '/containers/{name}/archive', async handle(request) {
      const { stat, tar } = await files.read(required(request, 'name'), pathOf(request), signalled(request));
      return { status: 200, contentType: 'application/x-tar', headers: statHeader(stat), stream: tar };
  } },
  { method: 'PUT', path: '/containers/{name}/archive', async handle(request) {
      const { query, signal, body } = request;
      await files.write(required(request, 'name'), pathOf(request), body, { signal, keepKinds: query.flag('noOverwriteDirNonDir'), ownUser: query.flag('copyUIDGID') });
      return { status: 200 };
  } },
  { method: 'GET', path: '/containers/{name}/changes', async handle(request) {
      return { status: 200, contentType: 'application/json', stream: await files.changes(required(request, 'name'), signalled(request)) };
  } },
  { method: 'GET', path: '/containers/{name}/export', async handle(request) {
      return { status: 200, contentType: 'application/octet-stream', stream: await files.export(required(request, 'name'), signalled(request)) };
  } },
  { method: 'POST', path: '/commit', async handle(request) {
      const { id } = await files.commit(request.query.text('container'), await commitOptions(request));
      return { status: 201, json: { Id: id } };
  } },
];

const signalled = ({ signal }: ApiRequest) => ({ signal });

function pathOf({ query }: ApiRequest): string {
  const path = query.text('path');
  if (path === '') throw invalid('bad parameter: path cannot be empty');
  return path;
}

/** Docker's client reads what it will get, or where it will put something, from this header alone. */
function statHeader({ name, sizeBytes, mode, mtimeNs, linkTarget }: PathStat): Record<string, string> {
  const json = JSON.stringify({ name, size: sizeBytes, mode, mtime: formatNanos(mtimeNs), linkTarget });
  return { 'X-Docker-Container-Path-Stat': Buffer.from(json, 'utf8').toString('base64') };
}

async function commitOptions(request: ApiRequest): Promise<CommitOptions & { signal: AbortSignal }> {
  const { query, signal } = request;
  const body = await readJson<CreateBody>(request, createBody, { required: false });
  // dockerode sends its query once more as a body: without any field of a configuration it is none.
  const config = Object.keys(body ?? {}).some((key) => key !== 'HostConfig' && key !== 'NetworkingConfig') ? body : undefined;
  return {
    repo: query.text('repo'), tag: query.text('tag'), comment: query.text('comment'), author: query.text('author'), changes: query.all('changes'),
    pause: query.flag('pause', true) || query.text('pause') === '', config: config ?? undefined, signal,
  };
}
