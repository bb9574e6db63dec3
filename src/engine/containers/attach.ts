// Clients on the stdio of a container or exec: waiting for its start where need be, watching for the detach keys.
import { conflict, errnoOf } from '../../lib/errors.ts';
import type { Console } from '../../runtime/index.ts';
import type { AttachOptions, AttachSession } from '../index.ts';
import type { Container } from './container.ts';
import { DetachKeys } from './detach.ts';
import { logSubject } from './log.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { KeptConsole } from './kept.ts';
import { PendingConsole } from './pending.ts';

export type Output = { stream: 'stdout' | 'stderr'; bytes: Uint8Array };

export async function attachContainer(needs: ContainerNeeds, container: Container, options: AttachOptions): Promise<AttachSession> {
  if (container.state.status === 'paused') throw conflict(`Container ${container.id} is paused, unpause the container before attach`);
  if (container.state.status === 'restarting') throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  const keys = DetachKeys.of(options.detachKeys, container.record.Config.Tty);
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
  /** Aborted when the client leaves. */
  readonly #leaving = new AbortController();
  readonly #left = Promise.withResolvers<undefined>();
  #ended: Promise<void> = Promise.resolve();
  /** A client that only looks must not end the stdin of others by leaving. */
  readonly #outlives: boolean;
  #kept: KeptConsole | undefined;
  #console: Promise<Console | undefined> = Promise.resolve(undefined);
  #pending: PendingConsole | undefined;

  constructor(needs: ContainerNeeds, { container, options, keys }: { container: Container; options: AttachOptions; keys: DetachKeys }) {
    this.#needs = needs;
    this.#container = container;
    this.#options = options;
    this.#keys = keys;
    this.tty = container.record.Config.Tty;
    this.#outlives = container.stdin === 'once' && !options.stdin;
    this.output = this.#produce();
  }

  /** Under the container's lock, so that no start slips between "is it running" and "then I wait". */
  async connect(): Promise<void> {
    using _lock = await this.#needs.table.hold(this.#container);
    this.#ended = this.#container.ended(this.#leaving.signal).then(() => {}, () => {});
    if (this.#container.running) {
      if (this.#outlives) this.#kept = this.#container.kept.take();
      if (!this.#kept) this.#console = Promise.resolve(await this.#needs.runtime.attach(this.#container.id).catch(undefinedWhenEnded));
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
    this.#leave();
    return 'detached';
  }

  async endInput(): Promise<void> {
    if (!this.#options.stdin || this.#container.stdin !== 'once') return;
    const console = await this.#reached();
    await console?.endInput();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave();
    if (this.#pending) {
      this.#container.pending.delete(this.#pending);
      this.#pending.give(undefined);
    }
    const console = await this.#console;
    if (console && this.#outlives) this.#kept ??= new KeptConsole(console);
    if (this.#kept) this.#container.kept.keep(this.#kept);
    else await console?.[Symbol.asyncDispose]();
  }

  #reached(): Promise<Console | undefined> { return Promise.race([this.#console, this.#left.promise]); }

  #leave(): void {
    this.#leaving.abort();
    this.#left.resolve(undefined);
  }

  async *#produce(): AsyncGenerator<Output> {
    const { stdout, stderr, logs, stream } = this.#options;
    const wanted = this.tty ? { stdout: stdout || stderr, stderr: stdout || stderr } : { stdout, stderr };
    if (!stream) {
      if (logs) yield* this.#log(wanted, { follow: false });
    } else if (logs) {
      // The log holds all that the console tells: followed instead of it, there is no gap between past and present, and nothing comes twice.
      void this.#discard();
      yield* this.#log(wanted, { follow: true });
    } else {
      for await (const part of this.#live()) if (wanted[part.stream]) yield part;
    }
  }

  /** Also what a client does not want is read: conmon waits for the slowest reader. */
  async *#live(): AsyncGenerator<Output> {
    const console = await this.#reached();
    if (console && this.#outlives) this.#kept ??= new KeptConsole(console);
    if (this.#kept) return yield* this.#kept.read(this.#leaving.signal);
    if (!console) return;
    void this.#left.promise.then(() => console[Symbol.asyncDispose]()); // ends the output
    yield* console.output;
  }

  async #discard(): Promise<void> { for await (const part of this.#live()) void part; }

  async *#log(wanted: { stdout: boolean; stderr: boolean }, { follow }: { follow: boolean }): AsyncGenerator<Output> {
    const records = this.#needs.logs.read(logSubject(this.#needs, this.#container), {
      ...wanted, tail: 'all', sinceNs: undefined, untilNs: undefined, follow, ended: this.#ended, as: 'written', signal: this.#leaving.signal,
    });
    for await (const { stream, bytes } of records) yield { stream, bytes };
  }
}

/** The task may have ended a moment ago, with its exit not on record yet: there is no more output then. */
function undefinedWhenEnded(error: unknown): undefined {
  if (['ECONNREFUSED', 'ENOENT'].includes(errnoOf(error) ?? '')) return undefined;
  throw error;
}
