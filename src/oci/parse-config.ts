// Image configs from their bytes: every absent field as its zero value, every strange one refused by name.
import { digestOf, isDigest, type DiffId, type ImageId } from './digest.ts';
import type { HistoryEntry, ImageConfig, ImageRunConfig } from './manifest.ts';
import {
  asArray, asObject, optionalBoolean, optionalKeySet, optionalNumber, optionalObject, optionalString, optionalStringMap, optionalStrings,
  parseJsonObject, type JsonObject,
} from './shape.ts';
import { invalid } from '../lib/errors.ts';

/** The same as for the layers of a manifest: one diffID stands for one layer. */
const MAX_DIFF_IDS = 4096;
/** Instructions without a layer count too. */
const MAX_HISTORY_ENTRIES = 16_384;
/** Of any one list: environment, words of a command, triggers. */
const MAX_WORDS = 16_384;

/** Reads an image config. Its id is the digest of these very bytes, which are kept as they are. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const json = parseJsonObject(bytes, 'image config');
  const text = (key: string) => optionalString(json[key], `image config: ${key}`);
  const platform = { architecture: text('architecture'), variant: text('variant'), os: text('os'), osVersion: text('os.version') };
  const history = json['history'] ?? [];
  return {
    id: digestOf(bytes) as string as ImageId,
    ...platform,
    author: text('author'), comment: text('comment'), created: text('created'), container: text('container'), dockerVersion: text('docker_version'),
    config: runConfigFrom(optionalObject(json['config'], 'image config: config') ?? {}),
    diffIds: diffIdsFrom(json['rootfs']),
    history: asArray(history, 'image config: history', MAX_HISTORY_ENTRIES).map((entry, i) => historyFrom(entry, `image config: history[${i}]`)),
    bytes,
  };
}

/** Reads a run config by itself, as image configs, commits and container records hold it. */
export function runConfigFrom(json: JsonObject): ImageRunConfig {
  const at = (key: string) => `image config: config.${key}`;
  const text = (key: string) => optionalString(json[key], at(key));
  return {
    User: text('User'), WorkingDir: text('WorkingDir'), StopSignal: text('StopSignal'),
    Env: optionalStrings(json['Env'], at('Env'), MAX_WORDS) ?? [],
    Entrypoint: words(json['Entrypoint'], at('Entrypoint')), Cmd: words(json['Cmd'], at('Cmd')), Shell: words(json['Shell'], at('Shell')),
    ArgsEscaped: optionalBoolean(json['ArgsEscaped'], at('ArgsEscaped')),
    ExposedPorts: optionalKeySet(json['ExposedPorts'], at('ExposedPorts')),
    Volumes: optionalKeySet(json['Volumes'], at('Volumes')),
    Labels: optionalStringMap(json['Labels'], at('Labels')),
    StopTimeout: optionalNumber(json['StopTimeout'], at('StopTimeout')),
    Healthcheck: healthcheckFrom(optionalObject(json['Healthcheck'], at('Healthcheck'))),
    OnBuild: optionalStrings(json['OnBuild'], at('OnBuild'), MAX_WORDS),
    raw: json,
  };
}

/** Docker reads a lone string as one word. */
const words = (value: unknown, where: string): string[] | null =>
  (typeof value === 'string' ? [value] : optionalStrings(value, where, MAX_WORDS));

function healthcheckFrom(json: JsonObject | null): ImageRunConfig['Healthcheck'] {
  if (!json) return null;
  const at = (key: string) => `image config: config.Healthcheck.${key}`;
  const check: NonNullable<ImageRunConfig['Healthcheck']> = {};
  const test = optionalStrings(json['Test'], at('Test'), MAX_WORDS);
  if (test) check.Test = test;
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const number = optionalNumber(json[key], at(key));
    if (number !== null) check[key] = number;
  }
  return check;
}

function diffIdsFrom(value: unknown): DiffId[] {
  if (value === undefined || value === null) throw invalid('image config: no rootfs; images older than Docker 1.10 are not supported');
  const rootfs = asObject(value, 'image config: rootfs');
  if (rootfs['type'] !== 'layers') throw invalid(`image config: rootfs.type ${JSON.stringify(rootfs['type'])}, only "layers" is supported`);
  return asArray(rootfs['diff_ids'] ?? [], 'image config: rootfs.diff_ids', MAX_DIFF_IDS).map((diffId, i) => {
    if (typeof diffId !== 'string' || !isDigest(diffId)) throw invalid(`image config: rootfs.diff_ids[${i}] is not sha256 and 64 hex digits`);
    return diffId as string as DiffId;
  });
}

function historyFrom(value: unknown, where: string): HistoryEntry {
  const json = asObject(value, where);
  const text = (key: string) => optionalString(json[key], `${where}.${key}`);
  return {
    created: text('created'), createdBy: text('created_by'), author: text('author'), comment: text('comment'),
    emptyLayer: optionalBoolean(json['empty_layer'], `${where}.empty_layer`),
  };
}
