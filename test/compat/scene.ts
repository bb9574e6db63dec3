// A story is a list of docker words, told to two engines by the same command line; a scene is one telling, with all that was answered.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Netns } from '../kit/netns.ts';
import { until } from '../kit/poll.ts';
import type { Docker, Outcome, RunOptions, Session } from '../kit/docker.ts';

export interface Story {
  name: string;
  /** Through Debian's command line alone, unless VAQUITA_TEST_LONG=1: another one would only send the same. */
  once?: true;
  /** `said` is filled as it goes; whatever it makes must be named by `name()` or be gone by itself. */
  tell(scene: Scene): Promise<void>;
}

/** One answer: what was asked, and what came of it. */
export interface Line { words: string; code?: number | string | null; stdout?: string; stderr?: string; note?: unknown }

export interface Stage {
  docker: Docker;
  /** Kept apart from those of other stories on the same engine; the same on both engines, so that answers can be compared. */
  prefix: string;
  images: Readonly<Record<string, string>>;
  registry: string;
  folder: string;
  /** Where the engine has its networks. */
  machine?: Netns | undefined;
}

/** In words, `IMAGE` and the other names of images are replaced by references, and `@web` by the story's own name for "web"; `name=@` filters the story's own. */
export class Scene {
  readonly said: Line[] = [];
  readonly registry: string;
  /** On the host, for binds. */
  readonly folder: string;
  readonly #stage: Stage;
  #volumes = false;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.registry = stage.registry;
    this.folder = stage.folder;
    mkdirSync(stage.folder, { recursive: true });
  }

  /** Runs to its end and keeps the answer. */
  async say(words: string, options: RunOptions = {}): Promise<Outcome> {
    const outcome = await this.#stage.docker.run(this.#split(words), options);
    this.keep(words, outcome);
    return outcome;
  }

  /** One after another. */
  async sayAll(...list: readonly string[]): Promise<void> {
    for (const words of list) await this.say(words);
  }

  /** A command of the machine that the engine has its networks on, through a shell; @web is the story's own name for "web" here too. */
  async onHost(command: string): Promise<void> {
    const { code, stdout, stderr } = await this.hostRun(command);
    this.said.push({ words: `on the host: ${command}`, code, stdout, stderr });
  }

  /** The same, without keeping. */
  hostRun(command: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const machine = this.#stage.machine;
    if (!machine) throw new Error('this story is for engines with networks of their own');
    return machine.run(['sh', '-c', command.replace(/@(\w[\w.-]*)/g, (_all, name: string) => this.name(name))]);
  }

  /** Runs without keeping; fails when it fails. */
  do(words: string): Promise<string> { return this.#stage.docker.ok(this.#split(words)); }

  open(words: string, options?: RunOptions): Session { return this.#stage.docker.start(this.#split(words), options); }

  openPty(words: string, options?: RunOptions): Session { return this.#stage.docker.startPty(this.#split(words), options); }

  keep(words: string, { code, signal, stdout, stderr }: Outcome): void {
    this.said.push({ words, code: signal === null ? code : -1, stdout: stdout.length > 20_000 ? `${stdout.length} bytes` : stdout, stderr });
  }

  note(words: string, note: unknown): void { this.said.push({ words, note }); }

  name(word: string): string { return `${this.#stage.prefix}-${word}`; }

  /** Removes what is left of the story's containers, volumes and networks: it may be told again. */
  async end(): Promise<void> {
    // dockerd on a busy machine may refuse, since a removal is already in progress; what stays is told of when the engine is closed.
    await until('what is left of the story to be removed', async () => {
      const left = await this.#stage.docker.ok(['ps', '-aq', '--filter', `name=^/${this.#stage.prefix}-`]);
      return left === '' || (await this.#stage.docker.run(['rm', '-f', ...left.split('\n')])).code === 0;
    }).catch(() => {});
    const volumes = this.#volumes ? await this.#stage.docker.ok(['volume', 'ls', '-q', '--filter', `name=${this.#stage.prefix}-`]) : '';
    if (volumes !== '') await this.#stage.docker.run(['volume', 'rm', '-f', ...volumes.split('\n')]);
    if (!this.#stage.machine) return;
    const networks = await this.#stage.docker.ok(['network', 'ls', '-q', '--filter', `name=${this.#stage.prefix}-`]);
    if (networks !== '') await this.#stage.docker.run(['network', 'rm', ...networks.split('\n')]);
  }

  /** Words apart at spaces; '…' and "…" hold together, as in a shell without variables. */
  #split(words: string): string[] {
    this.#volumes ||= /volume|-v @|src=@/.test(words);
    return [...words.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) => word
      .replace(/'([^']*)'|"([^"]*)"/g, (_all, single: string | undefined, double: string | undefined) => single ?? double ?? '')
      .replace(/@(\w[\w.-]*)/g, (all, name: string) => (name.startsWith('sha256') ? all : this.name(name))).replace(/^name=@$/, `name=${this.name('')}`)
      .replace(/\bREGISTRY\b/g, this.registry).replace(/\bFOLDER\b/g, join(this.folder))
      .replace(/\b[A-Z]*IMAGE\b/g, (name) => this.#stage.images[name] ?? name));
  }
}
