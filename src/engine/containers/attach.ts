// Clients on the stdio of a container or exec: waiting for its start where need be, watching for the detach keys.
import { conflict, invalid } from '../../lib/errors.ts';
import type { Console } from '../../runtime/index.ts';
import type { AttachOptions, AttachSession } from '../index.ts';
import type { Container } from './container.ts';
import { DetachKeys } from './detach.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { PendingConsole } from './pending.ts';

export type Output = { stream: 'stdout' | 'stderr'; bytes: Uint8Array };

export async function attachContainer(needs: ContainerNeeds, container: Container, options: AttachOptions): Promise<AttachSession> {
  if (container.state.status === 'paused') throw conflict(`Container ${container.id} is paused, unpause the container before attach`);
  if (container.state.status === 'restarting') throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  const keys = new DetachKeys(options.detachKeys);
  const session = new Session(needs, { container, options, keys });
  if (options.stream) await session.connect();
  publish(needs, container, { action: 'attach' });
  return session;
}

class Session implements AttachSession {
  readonly tty: boolean;
  readonly output: AsyncIterable<Output>;
  readonly #needs: ContainerNeeds;
  readonly #container: Container;
  readonly #options: AttachOptions;
  readonly #keys: DetachKeys;
  readonly #left = Promise.withResolvers<undefined>();
  #console: Promise<Console | undefined> = Promise.resolve(undefined);
  #pending: PendingConsole | undefined;

  constructor(needs: ContainerNeeds, { container, options, keys }: { container: Container; options: AttachOptions; keys: DetachKeys }) {
    this.#needs = needs;
    this.#container = container;
    this.#options = options;
    this.#keys = keys;
    this.tty = container.record.Config.Tty;
    this.output = this.#produce();
  }

  /** Under the container's lock, so that no start slips between "is it running" and "then I wait". */
  async connect(): Promise<void> {
    using _lock = await this.#needs.table.locks.hold(this.#container.id);
    if (this.#container.running) {
      this.#console = Promise.resolve(await this.#needs.runtime.attach(this.#container.id));
      return;
    }
    const pending = new PendingConsole();
    this.#pending = pending;
    this.#container.pending.add(pending);
    this.#console = pending.console;
  }

  async input(bytes: Uint8Array): Promise<'ok' | 'detached'> {
    const { pass, detached } = this.#keys.scan(bytes);
    if (pass.length > 0 && this.#options.stdin && this.#container.record.Config.OpenStdin) await (await this.#reached())?.write(pass);
    if (!detached) return 'ok';
    publish(this.#needs, this.#container, { action: 'detach' });
    this.#left.resolve(undefined);
    return 'detached';
  }

  async endInput(): Promise<void> {
    const { OpenStdin: open, StdinOnce: once } = this.#container.record.Config;
    if (!this.#options.stdin || !open || !once) return;
    const console = await this.#reached();
    await console?.endInput();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left.resolve(undefined);
    if (this.#pending) {
      this.#container.pending.delete(this.#pending);
      this.#pending.give(undefined);
    }
    const console = await this.#console.catch(() => undefined);
    await console?.[Symbol.asyncDispose]();
  }

  #reached(): Promise<Console | undefined> { return Promise.race([this.#console, this.#left.promise]); }

  async *#produce(): AsyncGenerator<Output> {
    const wanted = { stdout: this.#options.stdout, stderr: this.#options.stderr };
    if (this.#options.logs) yield* this.#past(wanted);
    if (!this.#options.stream) return;
    const console = await this.#reached();
    if (!console) return;
    // A client that wants no output still drains it: conmon waits for the slowest reader.
    void this.#left.promise.then(() => console[Symbol.asyncDispose]()); // ends the output
    for await (const part of console.output) if (this.tty ? wanted.stdout || wanted.stderr : wanted[part.stream]) yield part;
  }

  async *#past(wanted: { stdout: boolean; stderr: boolean }): AsyncGenerator<Output> {
    const path = this.#container.record.LogPath;
    if (path === '') throw invalid('configured logging driver does not support reading');
    const records = this.#needs.logs.read(path, { ...wanted, tail: 'all', sinceNs: undefined, untilNs: undefined, follow: false, ended: Promise.resolve(), signal: this.#options.signal });
    for await (const { stream, bytes } of records) yield { stream, bytes };
  }
}
