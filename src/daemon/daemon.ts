// The daemon: builds every part once, in order, recovers, listens, and takes everything down again in the reverse order.
import { readConfig, type Config } from './config.ts';
import { messageOf } from '../lib/errors.ts';
import { openEngine } from '../engine/index.ts';
import { openApi, openMetricsDoor } from '../api/index.ts';
import { openLinux } from '../kernel/index.ts';
import { openLog, type Log } from '../lib/log.ts';
import { openLogs } from '../logs/index.ts';
import { openRegistry, DEFAULT_REGISTRY_LIMITS } from '../registry/index.ts';
import { openRuntime, runProgram } from '../runtime/index.ts';
import { openStore, remappedRoot } from '../store/index.ts';
import { systemClock as clock } from '../lib/clock.ts';
import { bundleSettings, containerDefaults } from './container-options.ts';
import { gatherFacts } from './facts.ts';
import { openIdMap } from './userns.ts';
import { GIT_COMMIT, VERSION } from '../lib/version.ts';
import { daemonHelp } from './flags.ts';
import { collectAsBytesPass, keepTrim } from './memory.ts';
import { listenTargets, socketFiles } from './listen.ts';
import { holdPidFile, readDaemonId } from './files.ts';
import { processNumbers } from './process-numbers.ts';
import { keepWatchdog, openServiceManager } from './systemd.ts';

/** Two keep two cores busy; each takes some 17 MB while it works. */
const MAX_EXTRACTORS = 2;

/** Runs until SIGTERM or SIGINT. Resolves with the exit code: 0 after a clean stop, 1 when it could not start. */
export async function runDaemon(words: readonly string[], env: NodeJS.ProcessEnv, selfCommand: readonly string[]): Promise<number> {
  if (words.some((word) => word === '--help' || word === '-h')) return print(daemonHelp());
  if (words.includes('--version') || words.includes('-v')) return print(`Vaquita version ${VERSION}, build ${GIT_COMMIT}\n`);
  let config: Config;
  try {
    config = readConfig(words, env);
  } catch (error) {
    process.stderr.write(`vaquita daemon: ${messageOf(error)}\n`);
    return 1;
  }
  const log = openLog((line) => process.stderr.write(line), { level: config.logLevel, now: () => clock.now() });
  const stopped = signalled(log);
  try {
    await serve(config, { log, selfCommand, env, stopped });
    return 0;
  } catch (error) {
    log.error('failed to start daemon', { error });
    process.stderr.write(`vaquita daemon: failed to start: ${messageOf(error)}\n`);
    return 1;
  }
}

async function serve(config: Config, { log, selfCommand, env, stopped }: { log: Log; selfCommand: readonly string[]; env: NodeJS.ProcessEnv; stopped: Promise<string> }): Promise<void> {
  await using parts = new AsyncDisposableStack();
  const kernel = openLinux({ selfCommand });
  const manager = openServiceManager(env, { kernel, pid: process.pid, log });
  const listen = listenTargets(config, manager, log);
  const idMap = await openIdMap(config.containers.usernsRemap, { log, run: (command) => runProgram(command, command[0]) });
  const root = idMap ? remappedRoot(config.dataRoot, idMap) : config.dataRoot;
  const store = await openStore({ root, idMap, kernel, log, clock, extractorLimit: Math.min(config.maxConcurrentDownloads, MAX_EXTRACTORS) });
  parts.defer(() => store.close());
  parts.use(holdPidFile(config.pidFile, kernel));
  const runtime = await openRuntime({ kernel, log, clock, execRoot: config.execRoot, runtimes: config.containers.runtimes, settings: bundleSettings(config.containers) });
  parts.defer(() => runtime.close());
  const registry = openRegistry({
    log, clock, onReceived: collectAsBytesPass(),
    config: {
      insecureRegistries: config.insecureRegistries, registryMirrors: config.registryMirrors, certsDir: '/etc/vaquita/certs.d', userAgent: `vaquita/${VERSION}`,
      proxy: config.proxy, limits: { ...DEFAULT_REGISTRY_LIMITS, attempts: config.maxDownloadAttempts },
    },
  });
  parts.defer(() => registry.close());
  const facts = gatherFacts(config, readDaemonId(root));
  const engine = await openEngine({ store, runtime, registry, logs: openLogs(), kernel, clock, log, facts, maxConcurrentDownloads: config.maxConcurrentDownloads, defaults: containerDefaults(config.containers) });
  parts.defer(() => engine.close());
  const api = await openApi({ engine, log, clock, config: { listen, allowPlainTcp: true, files: socketFiles } });
  parts.defer(() => api.close({ graceMs: config.shutdownTimeoutSeconds * 1000 }));
  if (config.metricsAddress) {
    const metrics = await openMetricsDoor({ system: engine.system, process: processNumbers, log }, config.metricsAddress);
    parts.defer(() => metrics.close());
    log.info('metrics are served', { address: metrics.address });
  }
  parts.use(keepTrim({ kernel, clock }));
  for (const damage of store.recovered.quarantined) log.warn('a damaged record was set aside', damage);
  if (store.recovered.swept.length > 0) log.info('removed what an interrupted run had left', { count: store.recovered.swept.length });
  log.info('daemon is ready', { version: VERSION, dataRoot: config.dataRoot, listening: api.addresses });
  manager.notify('READY=1');
  parts.use(keepWatchdog(manager, { alive: () => api.answers(), clock, log }));
  void engine.startWanted();
  log.info('daemon is stopping', { signal: await stopped });
  manager.notify('STOPPING=1');
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function signalled(log: Log): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
    // A terminal that closes must not take the daemon along.
    process.on('SIGHUP', () => log.info('SIGHUP: the configuration is read at the start only'));
  });
}
