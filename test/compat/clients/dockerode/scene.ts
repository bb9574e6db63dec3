// One telling of a story through dockerode, unmodified from npm: whatever the engine answers, or the library makes of it, is kept.
import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import { until } from '../../../kit/poll.ts';
import type { Said } from '../answers.ts';

/** What the stories use of the library, which has no types of its own. */
export interface Dockerode {
  createContainer(options: object): Promise<Container>;
  getContainer(id: string): Container;
  getExec(id: string): Exec;
  getImage(name: string): Image;
  getVolume(name: string): Thing;
  getNetwork(name: string): Thing & { connect(options: object): Promise<unknown>; disconnect(options: object): Promise<unknown> };
  listContainers(options?: object): Promise<Row[]>;
  listImages(options?: object): Promise<Row[]>;
  listVolumes(options?: object): Promise<{ Volumes: Row[]; Warnings: unknown }>;
  listNetworks(options?: object): Promise<Row[]>;
  listServices(): Promise<unknown>;
  listNodes(): Promise<unknown>;
  swarmInspect(): Promise<unknown>;
  createVolume(options?: object): Promise<Thing & { name: string }>;
  createNetwork(options: object): Promise<unknown>;
  pruneContainers(options?: object): Promise<Row>;
  pruneImages(options?: object): Promise<Row>;
  pruneVolumes(options?: object): Promise<Row>;
  checkAuth(options: object): Promise<unknown>;
  info(): Promise<Row>;
  version(): Promise<Row>;
  ping(): Promise<Buffer>;
  df(): Promise<Row>;
  getEvents(options?: object): Promise<Readable>;
  pull(name: string, options?: object): Promise<Readable>;
  loadImage(file: Readable): Promise<Readable>;
  run(image: string, cmd: readonly string[] | null, output: unknown, createOptions: object, startOptions?: object): Promise<[Row, Container]>;
  readonly modem: {
    demuxStream(stream: Readable, stdout: NodeJS.WritableStream, stderr: NodeJS.WritableStream): void;
    followProgress(stream: Readable, finished: (error: Error | null, lines: Row[]) => void, line?: (line: Row) => void): void;
  };
}

export type Row = Record<string, unknown>;
export interface Thing { inspect(options?: object): Promise<Row>; remove(options?: object): Promise<unknown> }
export interface Image extends Thing { history(): Promise<Row[]>; tag(options: object): Promise<unknown> }
export interface Exec { readonly id: string; start(options: object): Promise<Duplexed>; inspect(): Promise<Row>; resize(options: object): Promise<unknown> }
export type Duplexed = Readable & NodeJS.WritableStream;

export interface Container extends Thing {
  readonly id: string;
  start(options?: object): Promise<unknown>;
  stop(options?: object): Promise<unknown>;
  restart(options?: object): Promise<unknown>;
  kill(options?: object): Promise<unknown>;
  pause(): Promise<unknown>;
  unpause(): Promise<unknown>;
  rename(options: object): Promise<unknown>;
  update(options: object): Promise<unknown>;
  resize(options: object): Promise<unknown>;
  wait(options?: object): Promise<Row>;
  top(options?: object): Promise<Row>;
  stats(options: object): Promise<Row>;
  changes(): Promise<Row[] | null>;
  export(): Promise<Readable>;
  commit(options?: object): Promise<Row>;
  getArchive(options: object): Promise<Readable>;
  infoArchive(options: object): Promise<{ headers: Record<string, string> }>;
  putArchive(file: Buffer | Readable, options: object): Promise<unknown>;
  attach(options: object): Promise<Duplexed>;
  exec(options: object): Promise<Exec>;
  logs(options: object): Promise<Buffer | Readable>;
}

const Library = createRequire(import.meta.url)('dockerode') as new (options: object) => Dockerode;

export interface NodeStory { name: string; tell(scene: NodeScene): Promise<void> }

export interface NodeStage { socket: string; prefix: string; images: Readonly<Record<string, string>>; folder: string; registry: string }

export class NodeScene {
  readonly said: Said[] = [];
  /** Without a version in its paths, as the library has it by default. */
  readonly docker: Dockerode;
  readonly stage: NodeStage;

  constructor(stage: NodeStage) {
    this.stage = stage;
    this.docker = new Library({ socketPath: stage.socket });
  }

  get image(): string { return this.imageOf('IMAGE'); }

  imageOf(name: string): string { return this.stage.images[name] ?? name; }

  name(word: string): string { return `${this.stage.prefix}-${word}`; }

  note(says: string, answer: unknown): void { this.said.push({ says, answer: plain(answer) }); }

  /** Keeps the answer, or the error, and gives the answer. `shown`: the part of it that is compared. */
  async say<T>(says: string, ask: () => Promise<T>, shown: (answer: T) => unknown = (answer) => answer): Promise<T | undefined> {
    try {
      const answer = await ask();
      this.note(says, await shown(answer));
      return answer;
    } catch (error) {
      this.said.push({ says, error: failure(error) });
      return undefined;
    }
  }

  create(word: string, cmd: readonly string[] = ['sleep', '1000'], options: { HostConfig?: object; [field: string]: unknown } = {}): Promise<Container> {
    return this.docker.createContainer({ name: this.name(word), Image: this.image, Cmd: cmd, ...options, HostConfig: { NetworkMode: 'none', ...options.HostConfig } });
  }

  async run(word: string, cmd?: readonly string[], options?: Parameters<NodeScene['create']>[2]): Promise<Container> {
    const container = await this.create(word, cmd, options);
    await container.start();
    return container;
  }

  /** Until it has written that. */
  async logged(container: Container, text: string, times = 1): Promise<void> {
    await until(`the log to have ${text}`, async () => (await logsOf(container)).split(text).length > times);
  }

  async gone(container: Container): Promise<void> {
    await until('the container to be gone', () => container.inspect().then(() => false, (error: { statusCode?: number }) => error.statusCode === 404));
  }
}

/** Both streams, frames taken off. */
export async function logsOf(container: Container, options: object = {}): Promise<string> {
  const bytes = await container.logs({ stdout: true, stderr: true, ...options }) as Buffer;
  return unframed(bytes).map(([, text]) => text).join('');
}

/** What each stream wrote in a row; how it was cut into frames is a matter of timing. */
export function unframed(bytes: Buffer): Array<[stream: number, text: string]> {
  const parts: Array<[number, string]> = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const stream = bytes.readUInt8(at), size = bytes.readUInt32BE(at + 4), text = bytes.toString('utf8', at + 8, at + 8 + size);
    const last = parts.at(-1);
    if (last?.[0] === stream) last[1] += text;
    else parts.push([stream, text]);
    at += 8 + size;
  }
  return parts;
}

export async function readAll(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** Keys and types alone, for figures that are never the same twice. */
export function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, shape(field)]));
  return value === null ? 'null' : typeof value;
}

/** As JSON can say it. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'object' && value !== null && 'modem' in value) return { class: value.constructor.name };
  return value;
}

/** As a program that uses the library tells one error from another. */
function failure(error: unknown): unknown {
  const { statusCode, json, message } = error as { statusCode?: number; json?: unknown; message?: string };
  if (statusCode === undefined) return { message };
  const said = typeof json === 'object' && json !== null && 'message' in json ? json.message : message;
  return { statusCode, message: typeof said === 'string' ? said.trim() : said };
}
