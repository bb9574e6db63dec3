// Inside a guest: the engine as a process, and its API in a few words.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export const SOCKET = '/run/engine.sock';
const LOG = '/run/engine.log';
/** Of one answer; emulation is slow, and the machine outside may be busy. */
const ANSWER_MS = 180_000;

export interface Engine {
  /** The body as JSON, or as text where it is none. Fails unless the status is among those expected. */
  api<T>(method: string, path: string, options?: { body?: unknown; status?: number }): Promise<T>;
  raw(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }>;
  /** Makes and starts a container; its ID. */
  run(cmd: readonly string[], host?: Readonly<Record<string, unknown>>, body?: Readonly<Record<string, unknown>>): Promise<string>;
  /** Its exit code, at its end. */
  wait(id: string): Promise<number>;
  /** A further process; its exit code. */
  exec(id: string, cmd: readonly string[]): Promise<number>;
  /** What it wrote to stdout. */
  logs(id: string): Promise<string>;
  kill(): Promise<void>;
}

export async function startEngine(image: string, flags: readonly string[] = []): Promise<Engine> {
  const log = openSync(LOG, 'a');
  const words = ['--no-warnings', '--max-semi-space-size=1', '--single-threaded', '--expose-gc', '--', '/bench/engine/main.mjs', 'daemon', '--data-root', '/bench/data', '--exec-root', '/run/engine', '--pidfile', '/run/engine.pid', '-H', `unix://${SOCKET}`, ...flags];
  const child = spawn(process.execPath, words, { stdio: ['ignore', log, log] });
  await ready(child);
  const api: Engine['api'] = async <T>(method: string, path: string, { body, status }: { body?: unknown; status?: number } = {}) => {
    const answer = await ask(method, path, body);
    if (status === undefined ? answer.status >= 400 : answer.status !== status) throw new Error(`${method} ${path}: ${answer.status}: ${answer.text}\n${readFileSync(LOG, 'utf8').slice(-4000)}`);
    try { return JSON.parse(answer.text) as T; } catch { return answer.text as T; }
  };
  return {
    api, raw: ask,
    async run(cmd, host, body) {
      const { Id } = await api<{ Id: string }>('POST', '/containers/create', { body: { Image: image, Cmd: cmd, ...body, HostConfig: { NetworkMode: 'none', ...host } }, status: 201 });
      await api('POST', `/containers/${Id}/start`, { status: 204 });
      return Id;
    },
    wait: async (id) => (await api<{ StatusCode: number }>('POST', `/containers/${id}/wait`)).StatusCode,
    async exec(id, cmd) {
      const { Id } = await api<{ Id: string }>('POST', `/containers/${id}/exec`, { body: { Cmd: cmd } });
      await api('POST', `/exec/${Id}/start`, { body: { Detach: true } });
      for (;;) {
        const { Running, ExitCode } = await api<{ Running: boolean; ExitCode: number | null }>('GET', `/exec/${Id}/json`);
        if (!Running && ExitCode !== null) return ExitCode;
        await sleep(100);
      }
    },
    // Frames have eight bytes of head, none of which is text.
    logs: async (id) => (await ask('GET', `/containers/${id}/logs?stdout=1`)).text.replace(/[\x01\x02]\0\0\0[\s\S]{4}/g, ''), // oxlint-disable-line no-control-regex
    async kill() {
      child.kill('SIGKILL');
      await new Promise((resolve) => { child.once('exit', resolve); });
    },
  };
}

async function ready(child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the engine did not start:\n${readFileSync(LOG, 'utf8')}`);
    if (existsSync(SOCKET) && await ask('GET', '/_ping').then(({ status }) => status === 200, () => false)) return;
    await sleep(50);
  }
}

function ask(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
    const sent = request({ socketPath: SOCKET, method, path, headers, agent: false, timeout: ANSWER_MS }, (response) => {
      let all = '';
      response.setEncoding('latin1').on('data', (chunk: string) => { all += chunk; }).on('end', () => resolve({ status: response.statusCode ?? 0, text: all })).on('error', reject);
    });
    sent.on('error', reject).end(text);
  });
}
