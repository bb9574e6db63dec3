// One telling of a story by docker-compose 1.29, from Debian: words in a folder with files, and what comes of them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../../../kit/http.ts';
import { openDocker, type Docker, type Outcome } from '../../../kit/docker.ts';
import { until } from '../../../kit/poll.ts';
import type { Said } from '../answers.ts';

const BINARY = '/usr/bin/docker-compose';

export interface ComposeStage { socket: string; host: string; configDir: string; prefix: string; images: Readonly<Record<string, string>>; folder: string }

export interface ComposeStory { name: string; tell(scene: ComposeScene): Promise<void> }

export class ComposeScene {
  readonly said: Said[] = [];
  readonly #stage: ComposeStage;
  readonly #compose: Docker;
  readonly #env: Readonly<Record<string, string>>;

  constructor(stage: ComposeStage) {
    this.#stage = stage;
    this.#compose = openDocker({ host: stage.host, configDir: stage.configDir, binary: BINARY });
    // Its own Python, and no terminal to draw on.
    this.#env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', COMPOSE_PROJECT_NAME: stage.prefix, COMPOSE_IGNORE_ORPHANS: 'true', LANG: 'C.UTF-8' };
    mkdirSync(stage.folder, { recursive: true });
  }

  /** The project's file, or another one; `IMAGE` and the like are replaced by references. */
  write(text: string, name = 'docker-compose.yml'): void {
    const path = join(this.#stage.folder, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, text.replace(/\b(IMAGE|VOLUME|HEALTH|FULL)\b/g, (word) => this.#stage.images[word] ?? word));
  }

  /** Runs to its end and keeps the answer. Containers are worked on in any order, so what is told of them is sorted. */
  async say(words: string, ...more: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await this.#run([...words.split(' '), ...more]);
    this.note([words, ...more].join(' '), { code, stdout: told(stdout, words), stderr: told(stderr, words) });
  }

  async sayAll(...list: readonly string[]): Promise<void> { for (const words of list) await this.say(words); }

  note(says: string, answer: unknown): void { this.said.push({ says, answer }); }

  /** Like a user who watches until something is so. */
  async sees(words: string, pattern: RegExp): Promise<void> {
    let last = '';
    await until(`${words} to show ${String(pattern)}`, async () => { last = (await this.#run(words.split(' '))).stdout; return pattern.test(last); }, 90_000)
      .catch((cause: unknown) => { throw new Error(`it showed:\n${last}`, { cause }); });
  }

  start(words: string) { return this.#compose.start(words.split(' '), { cwd: this.#stage.folder, env: this.#env }); }

  /** Until all results of health checks that are kept are good ones: those of its first moments are gone then. */
  async well(container: string): Promise<void> {
    await until(`${container} to have been well for long`, async () => {
      const { State } = JSON.parse(await this.#asked(container)) as { State: { Health?: { Log: Array<{ ExitCode: number }> | null } } };
      return State.Health?.Log?.length === 5 && State.Health.Log.every(({ ExitCode }) => ExitCode === 0);
    }, 60_000);
  }

  /** What the engine has of a service's container, whole. */
  async inspect(container: string): Promise<void> {
    const inspected = JSON.parse(await this.#asked(container)) as { ExecIDs: string[] | null; HostConfig: { Binds: string[] | null; Mounts: Array<{ Target: string }> | null }; NetworkSettings: { Networks: Record<string, { Aliases: string[] | null }> } };
    inspected.ExecIDs = null; // a health check may just be under way
    // The library keeps all these in sets, which it walks in any order.
    for (const endpoint of Object.values(inspected.NetworkSettings.Networks)) endpoint.Aliases = endpoint.Aliases?.map((alias) => alias.replace(/^[0-9a-f]{12}$/, '<short id>')).toSorted() ?? null;
    inspected.HostConfig.Binds?.sort((a, b) => target(a).localeCompare(target(b)));
    inspected.HostConfig.Mounts?.sort((a, b) => a.Target.localeCompare(b.Target));
    this.note(`inspect ${container}`, inspected);
  }

  async end(): Promise<void> { await this.#run(['down', '-v', '-t', '0', '--remove-orphans']); }

  async #asked(container: string): Promise<string> {
    return (await ask(this.#stage.socket, { path: `/v1.41/containers/${this.#stage.prefix}_${container}/json` })).text;
  }

  #run(words: readonly string[]): Promise<Outcome> { return this.#compose.run(words, { cwd: this.#stage.folder, env: this.#env, timeoutMs: 120_000 }); }
}

const target = (bind: string) => bind.split(':')[1] ?? '';

function told(text: string, words: string): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.replace(/\s+$/, '').replace(/ +(?=\.\.\.)/, ' ')).filter((line) => line !== '' && !/^-+$/.test(line));
  if (words.startsWith('top')) return lines.filter((line) => !line.includes('sleep')).map((line) => line.replace(/\d+(:\d+)*/g, '#').replace(/ +/g, ' ')).toSorted(); // a sleep may just begin or end
  return lines.map((line) => line.replace(/^(Going to remove )(.*)/, (_all, begin: string, names: string) => begin + names.split(', ').toSorted().join(', '))).toSorted();
}
