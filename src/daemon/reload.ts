// What a running daemon takes over from its configuration file on SIGHUP; the rest needs a restart, and is named.
import type { Level } from '../lib/log.ts';
import type { Config } from './config.ts';

/** Whoever was given one of these sees what a reload changes: the arrays stay the same arrays. */
export interface LiveConfig {
  level: Level;
  shutdownTimeoutSeconds: number;
  maxUploadAttempts: number;
  readonly labels: string[];
  readonly insecureRegistries: string[];
  readonly registryMirrors: string[];
}

/** Of those in Config; everything else is opened once, at the start. */
const LIVE = ['logLevel', 'shutdownTimeoutSeconds', 'maxUploadAttempts', 'labels', 'insecureRegistries', 'registryMirrors'] as const satisfies readonly (keyof Config)[];

export function liveConfig(config: Config): LiveConfig {
  return {
    level: config.logLevel, shutdownTimeoutSeconds: config.shutdownTimeoutSeconds, maxUploadAttempts: config.maxUploadAttempts,
    labels: [...config.labels], insecureRegistries: [...config.insecureRegistries], registryMirrors: [...config.registryMirrors],
  };
}

/** Takes `fresh` over into `live`; gives the names of settings that differ from `running` and need a restart. */
export function takeOver(live: LiveConfig, fresh: Config, running: Config): string[] {
  live.level = fresh.logLevel;
  live.shutdownTimeoutSeconds = fresh.shutdownTimeoutSeconds;
  live.maxUploadAttempts = fresh.maxUploadAttempts;
  for (const list of ['labels', 'insecureRegistries', 'registryMirrors'] as const) live[list].splice(0, live[list].length, ...fresh[list]);
  const names = Object.keys(fresh) as Array<keyof Config>;
  return names.filter((name) => !LIVE.some((known) => known === name) && JSON.stringify(fresh[name]) !== JSON.stringify(running[name]));
}

/** What the event of a reload says, in dockerd's words. */
export function reloadAttributes(live: LiveConfig, config: Config): Record<string, string> {
  const list = (items: readonly string[]) => JSON.stringify(items);
  return {
    debug: String(live.level === 'debug'), 'insecure-registries': list(live.insecureRegistries), labels: list(live.labels), 'live-restore': 'true',
    'max-concurrent-downloads': String(config.maxConcurrentDownloads), 'max-concurrent-uploads': String(config.maxConcurrentUploads), 'max-download-attempts': String(config.maxDownloadAttempts),
    'registry-mirrors': list(live.registryMirrors), 'shutdown-timeout': String(live.shutdownTimeoutSeconds),
  };
}
