// The quick start: a daemon and a registry of its own, one small real image pulled and run, and what that cost.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answersPing } from '../test/kit/daemon.ts';
import { ask } from '../test/kit/http.ts';
import { busyboxImage } from '../test/kit/image.ts';
import { until } from '../test/kit/poll.ts';
import { pushImage } from '../test/kit/registry.ts';

const ROOT = process.env['VAQUITA_QUICKSTART_ROOT'] ?? '/var/lib/vaquita-quickstart';
const REGISTRY = `127.0.0.1:${process.env['VAQUITA_QUICKSTART_PORT'] ?? '5099'}`;
const SOCKET = join(ROOT, 'vaquita.sock');
const HOST = `unix://${SOCKET}`;
const VAQUITA = join(import.meta.dirname, '../bin/vaquita');
/** Of its own: another engine on this machine has docker0. */
const BRIDGE = 'vaquita0';
const SHOWN = `bin/vaquita -H ${HOST}`;

async function start(): Promise<void> {
  mkdirSync(ROOT, { recursive: true });
  say('A registry on loopback (Debian\'s docker-registry), as the first place to ask for images of docker.io');
  await startRegistry();
  say('The daemon, with a data root and a socket of its own');
  await startDaemon();
  await pushImage(REGISTRY, busyboxImage(), { repository: 'library/busybox', tag: 'latest' });

  command(['rmi', '-f', 'busybox'], { quiet: true });
  say('Pulling busybox through the engine');
  const before = counters();
  const startedAt = performance.now();
  command(['pull', 'busybox']);
  const seconds = (performance.now() - startedAt) / 1000;
  const after = counters();
  say('Running it');
  command(['run', '--rm', 'busybox', 'sh', '-c', 'echo "Hello from a container on $(uname -m), PID $$"; ls /']);
  const image = JSON.parse(capture(['inspect', 'busybox'])) as Array<{ Size: number; RootFS: { Layers: string[] } }>;
  process.stdout.write(`
What the pull cost
  over the wire   ${kilobytes(after.loopback - before.loopback)} on the loopback interface, both directions
  written         ${kilobytes(after.written - before.written)} by daemon and extractor, for ${kilobytes(image[0]?.Size ?? 0)} of files in ${image[0]?.RootFS.Layers.length ?? 0} layer
  took            ${seconds.toFixed(2)} s, command line included; durable when it said so

What to type next
  ${SHOWN} run -it busybox sh        a shell in a container (leave with ctrl-p ctrl-q, it runs on)
  ${SHOWN} ps -a                     what there is
  ${SHOWN} pull alpine               from docker.io, where that can be reached
  DOCKER_HOST=${HOST} docker ps      any Docker client works too
  ./quickstart stop                  ends daemon and registry, and removes ${ROOT}
`);
}

async function stop(): Promise<void> {
  if (await answers()) {
    const ids = capture(['ps', '-aq']).split('\n').filter((id) => id !== '');
    if (ids.length > 0) command(['rm', '-f', ...ids], { quiet: true });
    command(['network', 'prune', '-f'], { quiet: true });
  }
  await end(join(ROOT, 'vaquita.pid'));
  // Networks outlive a daemon; one that is to have none takes away what the last one made: the bridge, and the rules of the firewall.
  if (existsSync(ROOT)) {
    await startDaemon(['--bridge=none']);
    await end(join(ROOT, 'vaquita.pid'));
  }
  await end(join(ROOT, 'registry.pid'));
  rmSync(ROOT, { recursive: true, force: true });
  process.stdout.write(`quickstart: stopped, ${ROOT} removed\n`);
}

async function startRegistry(): Promise<void> {
  if (await registryAnswers()) return;
  const config = join(ROOT, 'registry.json');
  writeFileSync(config, JSON.stringify({ version: 0.1, log: { level: 'warn' }, http: { addr: REGISTRY }, storage: { filesystem: { rootdirectory: join(ROOT, 'registry') } } }));
  const pid = background('registry', ['/usr/bin/docker-registry', 'serve', config]);
  writeFileSync(join(ROOT, 'registry.pid'), String(pid));
  await until('the registry to answer', registryAnswers);
}

async function startDaemon(network = [`--bridge=${BRIDGE}`]): Promise<void> {
  if (await answers()) return;
  background('daemon', [VAQUITA, 'daemon', '--data-root', join(ROOT, 'data'), '--exec-root', join(ROOT, 'run'), '--pidfile', join(ROOT, 'vaquita.pid'), '-H', HOST, ...network, '--registry-mirror', `http://${REGISTRY}`]);
  await until(`the daemon to answer (its log: ${join(ROOT, 'daemon.log')})`, answers, 20_000);
}

function background(name: string, [program = '', ...args]: readonly string[]): number {
  const log = openSync(join(ROOT, `${name}.log`), 'a');
  const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] });
  child.unref();
  return child.pid ?? 0;
}

const answers = (): Promise<boolean> => answersPing(SOCKET).catch(() => false);
const registryAnswers = (): Promise<boolean> => ask(REGISTRY, { path: '/v2/', timeoutMs: 2000 }).then(({ status }) => status === 200, () => false);

/** SIGTERM to the process that the file names, and its end. */
async function end(pidFile: string): Promise<void> {
  if (!existsSync(pidFile)) return;
  const pid = Number(readFileSync(pidFile, 'utf8'));
  const alive = () => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (!alive()) return;
  process.kill(pid, 'SIGTERM');
  await until(`process ${pid} to end`, async () => !alive(), 20_000);
}

function command(args: readonly string[], { quiet = false } = {}): void {
  if (!quiet) process.stdout.write(`$ bin/vaquita ${args.join(' ')}\n`);
  const { status } = spawnSync(VAQUITA, ['-H', HOST, ...args], { stdio: quiet ? 'ignore' : ['ignore', 'inherit', 'inherit'] });
  if (status !== 0 && !quiet) throw new Error(`vaquita ${args.join(' ')} ended with ${status}; the daemon's log is ${join(ROOT, 'daemon.log')}`);
}

const capture = (args: readonly string[]): string => spawnSync(VAQUITA, ['-H', HOST, ...args], { encoding: 'utf8' }).stdout;

/** Bytes that the loopback interface has carried, and that the daemon and its workers have given to the disk, so far. */
function counters(): { loopback: number; written: number } {
  const lo = readFileSync('/proc/net/dev', 'utf8').split('\n').find((line) => line.trim().startsWith('lo:'))?.trim().split(/\s+/);
  const daemon = Number(readFileSync(join(ROOT, 'vaquita.pid'), 'utf8'));
  const workers = readFileSync(`/proc/${daemon}/task/${daemon}/children`, 'utf8').trim().split(' ').filter((pid) => pid !== '').map(Number);
  return { loopback: Number(lo?.[1] ?? 0), written: [daemon, ...workers].reduce((sum, pid) => sum + writtenBy(pid), 0) };
}

function writtenBy(pid: number): number {
  const path = `/proc/${pid}/io`;
  return existsSync(path) ? Number(/^write_bytes: (\d+)$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? 0) : 0;
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`;
const say = (text: string): void => { process.stdout.write(`\n== ${text}\n`); };

const words = process.argv.slice(2);
if (words[0] === 'stop') await stop();
else if (words.length === 0) await start();
else { process.stderr.write(`quickstart: unknown word ${words.join(' ')}; it knows "stop" and no word at all\n`); process.exitCode = 1; }
