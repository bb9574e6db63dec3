// What the daemon knows of itself and its machine before anything is opened.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { arch, hostname, machine, release } from 'node:os';
import { hostPlatform } from '../oci/platform.ts';
import { BUILD_TIME, GIT_COMMIT, VERSION } from '../lib/version.ts';
import type { SystemFacts } from '../engine/index.ts';
import type { Config } from './config.ts';
import type { LiveConfig } from './reload.ts';


/** Lists of `live` are handed on as they are: a reload changes them in place. */
export function gatherFacts(config: Config, live: LiveConfig, daemonId: string): SystemFacts {
  const os = osRelease();
  return {
    engineVersion: VERSION, gitCommit: GIT_COMMIT, buildTime: BUILD_TIME, nodeVersion: process.versions.node, kernelVersion: release(),
    operatingSystem: os.get('PRETTY_NAME') ?? 'Linux', osVersion: os.get('VERSION_ID') ?? '', machine: machine(),
    platform: hostPlatform(arch(), readText('/proc/cpuinfo')), daemonId, hostName: hostname(), get debug() { return live.level === 'debug'; },
    experimental: config.experimental, labels: live.labels, insecureRegistries: live.insecureRegistries, registryMirrors: live.registryMirrors,
    proxy: config.proxy, warnings: [],
  };
}

/** A new identity for a root that has none. */
export const newDaemonId = (): string => randomUUID();

function osRelease(): Map<string, string> {
  const lines = readText('/etc/os-release').split('\n').map((line) => /^([A-Z_]+)="?(.*?)"?$/.exec(line));
  return new Map(lines.filter((match) => match !== null).map((match) => [match[1] ?? '', match[2] ?? '']));
}

function readText(path: string): string {
  try { return readFileSync(path, 'utf8'); } catch { return ''; }
}
