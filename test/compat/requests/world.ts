// Two engines, this one and Debian's dockerd, with the same images, and one request told to both.
import { join } from 'node:path';
import { startDaemon } from '../../kit/daemon.ts';
import { startDockerd } from '../../kit/dockerd.ts';
import { ask } from '../../kit/http.ts';
import { busyboxImage } from '../../kit/image.ts';
import { mustPull } from '../../kit/pull.ts';
import { pushImage, startRegistry } from '../../kit/registry.ts';
import { openTempRoot } from '../../kit/temp.ts';

/** What dockerd 20.10 speaks; what is newer is tested without it. */
export const COMMON_VERSION = '1.41';

export interface Reply { status: number; text: string }
/** `version` '' names none, as dockerode and balena-supervisor do. */
export interface Request { method: string; path: string; body?: unknown; headers?: Readonly<Record<string, string>> | undefined; version?: string | undefined }

export interface World extends AsyncDisposable {
  /** This engine's answer, then dockerd's. Names in capitals are replaced in path and body. */
  both(request: Request): Promise<[Reply, Reply]>;
  /** One engine's answer: 0 is this one. */
  one(engine: 0 | 1, request: Request): Promise<Reply>;
  readonly image: string;
}

/** Images and a stopped container BASE on both. */
export async function openWorld(): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const root = undo.use(openTempRoot());
  const registry = undo.use(await startRegistry({ root: join(root.path, 'registry') }));
  const engines = await Promise.all([startDaemon({ root: join(root.path, 'ours') }), startDockerd({ root: join(root.path, 'theirs') })]);
  for (const engine of engines) undo.use(engine);
  const full = busyboxImage({ config: { Entrypoint: ['echo', 'entry'], Cmd: ['and', 'words'], Env: ['PATH=/usr/bin:/bin', 'GREETING=hello'], WorkingDir: '/tmp/work', User: '1000:1000', Labels: { from: 'image' }, StopSignal: 'SIGHUP', ExposedPorts: { '80/tcp': {} } } });
  const names = { IMAGE: await pushImage(registry.host, busyboxImage(), { repository: 'requests/busybox', tag: '1' }), FULLIMAGE: await pushImage(registry.host, full, { repository: 'requests/full', tag: '1' }), IMAGEID: busyboxImage().config.digest };
  for (const { socket } of engines) for (const image of [names.IMAGE, names.FULLIMAGE]) await mustPull(socket, image);
  const filled = (text: string) => text.replace(/\b(IMAGEID|FULLIMAGE|IMAGE)\b/g, (name) => names[name as keyof typeof names]);
  const one: World['one'] = async (engine, { method, path, body, headers, version = COMMON_VERSION }) => {
    const socket = engines[engine]?.socket ?? '';
    const json = body !== undefined && typeof body !== 'string';
    const sent = body === undefined ? undefined : filled(json ? JSON.stringify(body) : body);
    const answer = await ask(socket, { method, path: `${version === '' ? '' : `/v${version}`}${filled(decodeURIComponent(path)) === decodeURIComponent(path) ? path : encodeURI(filled(decodeURIComponent(path)))}`, body: sent, headers: headers ?? (json ? { 'Content-Type': 'application/json' } : {}), timeoutMs: 60_000 });
    return { status: answer.status, text: answer.text };
  };
  const both: World['both'] = async (request) => await Promise.all([one(0, request), one(1, request)]);
  for (const reply of await both({ method: 'POST', path: '/containers/create?name=BASE', body: { Image: 'IMAGE', Cmd: ['sleep', '1000'], HostConfig: { NetworkMode: 'none' } } })) if (reply.status !== 201) throw new Error(reply.text);
  undo.defer(async () => {
    for (const engine of [0, 1] as const) {
      const all = JSON.parse((await one(engine, { method: 'GET', path: '/containers/json?all=1' })).text) as Array<{ Id: string }>;
      for (const { Id } of all) await one(engine, { method: 'DELETE', path: `/containers/${Id}?force=1&v=1` });
    }
  });
  const held = undo.move();
  return { both, one, image: names.IMAGE, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
