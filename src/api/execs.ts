// Execs: further processes in a container. Creating one stands with the containers' paths, as in Docker.
import type { ExecsFace } from '../engine/index.ts';
import { invalid } from '../lib/errors.ts';
import type { ExecCreateBody } from '../wire/types.ts';
import { readJson } from './body.ts';
import { presentExec } from './present-containers.ts';
import { required, since, streamType, type Route } from './routes.ts';
import { execCreateBody, execStartBody, type ExecStartBody } from './shapes.ts';

export const execRoutes = (execs: ExecsFace): readonly Route[] => [
  { method: 'POST', path: '/containers/{name}/exec', async handle(request) {
      const body = await readJson<ExecCreateBody>(request, execCreateBody, { required: true });
      if (!body?.Cmd?.length) throw invalid('No exec command specified');
      const { id } = await execs.create(required(request, 'name'), body);
      return { status: 201, json: { Id: id } };
  } },
  { method: 'GET', path: '/exec/{id}/json', async handle(request) {
      return { status: 200, json: presentExec(await execs.inspect(required(request, 'id'))) };
  } },
  { method: 'POST', path: '/exec/{id}/resize', async handle(request) {
      await execs.resize(required(request, 'id'), request.query.size());
      return { status: 200 };
  } },
  { method: 'POST', path: '/exec/{id}/start', upgrade: 'tcp', endless: true, async takeover(request) {
      const body = await readJson<ExecStartBody>(request, execStartBody, { required: false });
      const [height, width] = body?.ConsoleSize ?? [];
      const consoleSize = height !== undefined && width !== undefined ? { width, height } : undefined;
      if (consoleSize && !body?.Tty) throw invalid('console size is only supported when TTY is enabled');
      const session = await execs.start(required(request, 'id'), { detach: body?.Detach ?? false, tty: body?.Tty ?? false, consoleSize, signal: request.signal });
      if (session === undefined) return { status: 200 };
      const framed = !session.tty;
      return { session, framed, stdin: true, contentType: streamType(framed && since(request.version, 42)) };
  } },
];
