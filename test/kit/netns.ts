// A network namespace as a machine of its own: an engine in it has its own bridges, rules and ports, and what it leaves there is found.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { until } from './poll.ts';

export interface Netns extends AsyncDisposable {
  readonly name: string;
  /** To be opened for the namespace. */
  readonly path: string;
  /** Put in front of a command to run it in there. */
  readonly wrap: readonly [string, ...string[]];
  /** Runs to its end; never throws for an exit code. */
  run(words: readonly string[], options?: { input?: string; timeoutMs?: number }): Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** stdout without the last newline; throws with everything when the exit code is not 0. */
  ok(...words: readonly string[]): Promise<string>;
  /** Names of its devices but lo, sorted. */
  devices(): string[];
  /** Every rule that any engine left in any table of both families, as iptables-save prints them; without counters and empty chains' policies. */
  rules(): string[];
}

const TIMEOUT_MS = 30_000;
/** What an engine leaves on purpose: its default bridge. */
const MAY_STAY = ['docker0'];

/** With lo up. Disposing fails when devices are left beside the default bridge. */
export function openNetns(): Netns {
  const name = `vq-${randomBytes(4).toString('hex')}`;
  const path = `/run/netns/${name}`;
  const wrap = ['nsenter', `--net=${path}`] as const;
  execFileSync('ip', ['netns', 'add', name]);
  execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  const run: Netns['run'] = (words, { input, timeoutMs = TIMEOUT_MS } = {}) => new Promise((resolve, reject) => {
    const child = spawn(wrap[0], [...wrap.slice(1), ...words], { stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
    const said = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => { said.stdout += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { said.stderr += text; });
    child.stdin.on('error', () => { /* it reads none */ }).end(input);
    child.once('error', reject).once('close', (code) => resolve({ code, ...said }));
  });
  const devices = () => (JSON.parse(execFileSync('ip', ['-n', name, '-j', 'link'], { encoding: 'utf8' })) as Array<{ ifname: string }>).map(({ ifname }) => ifname).filter((device) => device !== 'lo').sort();
  return {
    name, path, wrap: [...wrap], run, devices,
    ok: async (...words) => {
      const { code, stdout, stderr } = await run(words);
      if (code !== 0) throw new Error(`${words.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
      return stdout.replace(/\n$/, '');
    },
    rules: () => ['iptables-save', 'ip6tables-save'].flatMap((program) => execFileSync(wrap[0], [...wrap.slice(1), program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n').filter((line) => line.startsWith('-A'))),
    async [Symbol.asyncDispose]() {
      const left = () => devices().filter((device) => !MAY_STAY.includes(device));
      await until('devices to be gone', () => left().length === 0).catch(() => {});
      const found = left();
      execFileSync('ip', ['netns', 'del', name]);
      if (found.length > 0) throw new Error(`left in the network namespace: ${found.join(' ')}`);
    },
  };
}
