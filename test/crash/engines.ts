// Starts one engine (ours, Debian's dockerd or a balenaEngine binary) on a data root, and speaks to it over its socket.
import { spawn } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, isAlive, killTree, processTree, run, signal, unmountBelow } from './system.ts';

/** 'vaquita' or a path that ends so, 'docker' (Debian's dockerd), or the path of a balenaEngine daemon. */
export type EngineName = string;

export interface Reply { status: number; body: string }

export interface Engine extends AsyncDisposable {
  readonly name: EngineName;
  /** The daemon's own process; its helpers are below it. */
  readonly pid: number;
  request(method: string, path: string, body?: unknown): Promise<Reply>;
  /** Resolves with all it said when the engine says that the image is there; throws what it says otherwise. */
  pull(reference: string, query?: string): Promise<string>;
  /** Politely, as a service manager stops it. */
  stop(): Promise<void>;
}

export interface EngineOptions {
  /** Must not be a mount point: what is mounted there or below is unmounted at the end. */
  dataRoot: string;
  /** Sockets, pid file and log are kept here, on a disk that does not fail. */
  scratch: string;
  registry: string;
  /** cgroup.procs files that the daemon writes itself into before it starts. */
  groups?: readonly string[];
  startLimitMs?: number;
}

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const VAQUITA = `${CHECKOUT}/bin/vaquita`;

/**
 * Our engine as it is now, in a folder of its own: a long run measures one program, also when someone edits a source meanwhile.
 * Other engines are returned as they are.
 */
export function freeze(name: EngineName, directory: string): EngineName {
  if (name !== 'vaquita') return name;
  run(VAQUITA, '--version'); // Bundles what is newer than the bundle, or says why it cannot.
  mkdirSync(`${directory}/src`, { recursive: true }); // Empty: nothing is ever newer than the bundle.
  const bundle = (path: string) => !path.includes('/build/') || /\/build\/[^/]+\.mjs$/.test(path);
  for (const folder of ['bin', 'build']) cpSync(`${CHECKOUT}/${folder}`, `${directory}/${folder}`, { recursive: true, filter: bundle });
  for (const file of ['scripts', 'node_modules', 'package.json']) symlinkSync(`${CHECKOUT}/${file}`, `${directory}/${file}`);
  return `${directory}/bin/vaquita`;
}

/** Waits until it answers /_ping; when that never happens, the end of its log is in the error and nothing of it is left. */
export async function startEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  const { scratch } = options;
  mkdirSync(scratch, { recursive: true });
  // The volatile half is a tmpfs on a real device: it never survives a power cut.
  rmSync(`${scratch}/exec`, { recursive: true, force: true });
  const [socket, pidFile, logFile] = [`${scratch}/e.sock`, `${scratch}/e.pid`, `${scratch}/e.log`];
  for (const stale of [socket, pidFile]) rmSync(stale, { force: true });
  const log = openSync(logFile, 'w');
  // The shell joins the groups and then becomes the daemon, so that nothing the daemon does is counted elsewhere.
  const join = (options.groups ?? []).map((file) => `echo $$ > '${file}' && `).join('');
  const child = spawn('/bin/sh', ['-c', `${join}exec "$@"`, 'sh', ...commandOf(name, { ...options, socket, pidFile })], { stdio: ['ignore', log, log], detached: true, env: environmentOf(name) });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name}: cannot be started`);
  await using undo = new AsyncDisposableStack();
  undo.defer(async () => {
    if (isAlive(pid)) await killTree(pid);
    await killLeftovers(scratch);
    for (const below of [options.dataRoot, scratch]) await unmountBelow(below);
  });
  const ask = (method: string, path: string, body?: unknown) => askEngine({ socket, method, path, body });
  await eventually(`${name} answers`, options.startLimitMs ?? 60_000, async () => {
    if (!isAlive(pid)) throw new Error('it ended');
    return ask('GET', '/_ping').then((reply) => reply.status === 200, () => false);
  }).catch((cause: unknown) => { throw new Error(`${name} does not start: ${String(cause)}: ${readFileSync(logFile, 'utf8').trim().slice(-400)}`); });
  const held = undo.move();
  return {
    name, pid, request: ask,
    pull: (reference, query) => pull(ask, reference, query),
    async stop() {
      signal(pid, 'SIGTERM');
      try { await eventually(`${name} stops`, 60_000, () => !isAlive(pid)); }
      finally { await held.disposeAsync(); }
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** All that an engine's daemon consists of: itself, its helpers and what they started. */
export const engineProcesses = (engine: Engine): number[] => processTree(engine.pid).filter(isAlive);

export function versionOf(reply: Reply): string {
  const version = JSON.parse(reply.body) as { Version?: string };
  return version.Version ?? 'unknown';
}

function commandOf(name: EngineName, at: EngineOptions & { socket: string; pidFile: string }): string[] {
  const common = [
    '--data-root', at.dataRoot, '--exec-root', `${at.scratch}/exec`, '--pidfile', at.pidFile, '-H', `unix://${at.socket}`,
    '--insecure-registry', at.registry, '--bridge', 'none', '--iptables=false',
  ];
  if (basename(name) === 'vaquita') return [name === 'vaquita' ? VAQUITA : name, 'daemon', ...common];
  const config = `${at.scratch}/daemon.json`;
  writeFileSync(config, '{}');
  return [name === 'docker' ? 'dockerd' : name, '--config-file', config, ...common, '--ip6tables=false', '--ip-forward=false', '--storage-driver', 'overlay2'];
}

/** balenaEngine looks for its containerd in the path; it comes beside its daemon. */
function environmentOf(name: EngineName): NodeJS.ProcessEnv {
  return name.includes('/') ? { ...process.env, PATH: `${dirname(name)}:${process.env['PATH']}` } : process.env;
}

/** dockerd killed at once leaves its containerd running. */
async function killLeftovers(scratch: string): Promise<void> {
  const file = `${scratch}/exec/containerd/containerd.pid`;
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  if (pid > 1 && isAlive(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(scratch)) await killTree(pid);
}

async function pull(ask: Engine['request'], reference: string, query = ''): Promise<string> {
  const reply = await ask('POST', `/images/create?fromImage=${encodeURIComponent(reference)}${query === '' ? '' : `&${query}`}`);
  assertStreamed(reply, `pull ${reference}`);
  return reply.body;
}

/** Verbs that stream progress say in a line what went wrong. */
export function assertStreamed(reply: Reply, what: string): void {
  const lines = reply.body.split('\n').filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as { error?: string; message?: string });
  const refusal = lines.find((line) => line.error !== undefined) ?? (reply.status === 200 ? undefined : lines[0]);
  if (refusal || reply.status !== 200) throw new Error(`${what}: ${refusal?.error ?? refusal?.message ?? `HTTP ${reply.status}`}`);
}

function askEngine(what: { socket: string; method: string; path: string; body: unknown }): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const body = what.body === undefined ? '' : JSON.stringify(what.body);
  // A push without it is refused; these are the credentials of nobody.
  const headers = { 'x-registry-auth': 'e30=', 'content-length': Buffer.byteLength(body), ...(body === '' ? {} : { 'content-type': 'application/json' }) };
  const sent = request({ socketPath: what.socket, method: what.method, path: what.path, headers, agent: false }, (reply) => {
    const chunks: Buffer[] = [];
    reply.on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => resolve({ status: reply.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
      .on('error', reject);
  });
  sent.on('error', reject).end(body);
  return promise;
}

