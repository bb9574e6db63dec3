// The daemon: builds every part once, in order, recovers, listens, and takes everything down again in the reverse order.
import { readConfig, type Config } from './config.ts';
import { messageOf } from '../lib/errors.ts';
import { openEngine } from '../engine/index.ts';
import { openApi, openMetricsDoor } from '../api/index.ts';
import { openLinux } from '../kernel/index.ts';
import { openLog, type Log } from '../lib/log.ts';
import { openLogs } from '../logs/index.ts';
import { DEFAULT_MAKER_LIMITS, openMaker } from '../maker/index.ts';
import { openNetwork } from '../network/index.ts';
import { openRegistry, DEFAULT_REGISTRY_LIMITS } from '../registry/index.ts';
import { openRuntime, runProgram } from '../runtime/index.ts';
import { openBaseRoot, openStore, remappedRoot, type BaseRoot } from '../store/index.ts';
import { systemClock as clock } from '../lib/clock.ts';
import { collectAsBytesPass } from '../lib/collect.ts';
import { bundleSettings, containerDefaults } from './container-options.ts';
import { gatherFacts } from './facts.ts';
import { openIdMap } from './userns.ts';
import { GIT_COMMIT, VERSION } from '../lib/version.ts';
import { daemonHelp } from './flags.ts';
import { COLLECT_EVERY_BYTES, keepTrim } from './memory.ts';
import { listenTargets, socketFiles } from './listen.ts';
import { holdPidFile, readDaemonId } from './files.ts';
import { processNumbers } from './process-numbers.ts';
import { liveConfig, reloadAttributes, takeOver, type LiveConfig } from './reload.ts';
import { keepWatchdog, openServiceManager, type ServiceManager } from './systemd.ts';

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
  const live = liveConfig(config);
  const log = openLog((line) => process.stderr.write(line), { level: () => live.level, now: () => clock.now() });
  const stopped = signalled();
  try {
    await serve(config, { live, log, selfCommand, env, stopped, reread: () => readConfig(words, env) });
    return 0;
  } catch (error) {
    log.error('failed to start daemon', { error });
    process.stderr.write(`vaquita daemon: failed to start: ${messageOf(error)}\n`);
    return 1;
  }
}

interface Surroundings { live: LiveConfig; log: Log; selfCommand: readonly string[]; env: NodeJS.ProcessEnv; stopped: Promise<string>; reread: () => Config }

async function serve(config: Config, { live, log, selfCommand, env, stopped, reread }: Surroundings): Promise<void> {
  await using parts = new AsyncDisposableStack();
  const kernel = openLinux({ selfCommand });
  const manager = openServiceManager(env, { kernel, pid: process.pid, log });
  const listen = listenTargets(config, manager, log);
  const idMap = await openIdMap(config.containers.usernsRemap, { log, run: (command) => runProgram(command, command[0]) });
  const root = idMap ? remappedRoot(config.dataRoot, idMap) : config.dataRoot;
  const store = await openStore({ root, idMap, kernel, log, clock, extractorLimit: Math.min(config.maxConcurrentDownloads, MAX_EXTRACTORS), deltaMemoryBytes: config.deltaApplyMemoryBytes });
  parts.defer(() => store.close());
  parts.use(holdPidFile(config.pidFile, kernel));
  const runtime = await openRuntime({ kernel, log, clock, execRoot: config.execRoot, runtimes: config.containers.runtimes, settings: bundleSettings(config.containers), cgroupDriver: config.resources.cgroupDriver });
  parts.defer(() => runtime.close());
  const onBytes = collectAsBytesPass(COLLECT_EVERY_BYTES);
  const registry = openRegistry({
    log, clock, onReceived: onBytes,
    config: {
      insecureRegistries: live.insecureRegistries, registryMirrors: live.registryMirrors, certsDir: '/etc/vaquita/certs.d', userAgent: `vaquita/${VERSION}`,
      proxy: config.proxy, limits: { ...DEFAULT_REGISTRY_LIMITS, attempts: config.maxDownloadAttempts, get uploadAttempts() { return live.maxUploadAttempts; } },
    },
  });
  parts.defer(() => registry.close());
  const facts = gatherFacts(config, live, readDaemonId(root));
  const logs = openLogs({ kernel, log, spoolRoot: `${config.execRoot}/logs`, reopen: (id) => runtime.reopenLog(id), daemonPid: process.pid });
  const network = await openNetwork({ kernel, log, clock, execRoot: config.execRoot, daemonId: facts.daemonId, settings: config.network });
  parts.defer(() => network.end());
  const maker = openMaker({ kernel, log, limits: { ...DEFAULT_MAKER_LIMITS, memoryBytes: config.deltaCreateMemoryBytes } });
  parts.defer(() => maker.close());
  const engine = await openEngine({ store, baseRoots: await openBaseRoots(config, { kernel, log }), runtime, registry, maker, logs, kernel, network, clock, log, facts, maxConcurrentDownloads: config.maxConcurrentDownloads, maxConcurrentUploads: config.maxConcurrentUploads, onBytes, defaults: { ...containerDefaults(config.containers), resources: config.resources } });
  parts.defer(() => engine.close());
  const api = await openApi({ engine, log, clock, config: { listen, allowPlainTcp: true, files: socketFiles } });
  parts.defer(() => api.close({ graceMs: live.shutdownTimeoutSeconds * 1000 }));
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
  parts.use(onReload({ config, live, log, manager, reread, done: (attributes) => engine.publish({ type: 'daemon', action: 'reload', id: facts.daemonId, attributes: { ...attributes, name: facts.hostName } }) }));
  parts.use(keepWatchdog(manager, { alive: () => api.answers(), clock, log }));
  void engine.startWanted();
  log.info('daemon is stopping', { signal: await stopped });
  manager.notify('STOPPING=1');
}

/** A root that cannot be read must not keep an update from coming whole. */
async function openBaseRoots({ deltaDataRoot }: Config, needs: Parameters<typeof openBaseRoot>[1]): Promise<BaseRoot[]> {
  if (deltaDataRoot === undefined) return [];
  try {
    return [await openBaseRoot(deltaDataRoot, needs)];
  } catch (error) {
    needs.log.warn('no bases of deltas are looked for in the delta data root', { error: messageOf(error) });
    return [];
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function signalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
    // A terminal that closes before the daemon is ready must not take it along.
    process.on('SIGHUP', () => {});
  });
}

interface Reloading { config: Config; live: LiveConfig; log: Log; manager: ServiceManager; reread: () => Config; done: (attributes: Record<string, string>) => void }

/** SIGHUP reads the configuration again; one that cannot be read changes nothing. */
function onReload({ config, live, log, manager, reread, done }: Reloading): Disposable {
  const reload = () => {
    manager.notify('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      const fixed = takeOver(live, reread(), config);
      if (fixed.length > 0) log.warn('some changes of the configuration need a restart of the daemon', { settings: fixed });
      log.info('configuration reloaded');
      done(reloadAttributes(live, config));
    } catch (error) {
      log.error('the configuration could not be reloaded: everything stays as it is', { error });
    }
    manager.notify('READY=1');
  };
  process.on('SIGHUP', reload);
  return { [Symbol.dispose]: () => { process.off('SIGHUP', reload); } };
}
