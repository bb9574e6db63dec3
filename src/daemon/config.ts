// Flags and daemon.json become one frozen Config; what neither knows is an error, what both set is an error too, as with dockerd.
import { readFileSync } from 'node:fs';
import { errnoOf, invalid, messageOf } from '../lib/errors.ts';
import type { Level } from '../lib/log.ts';
import type { NetworkSettings } from '../network/index.ts';
import { containerOptionsOf, type ContainerOptions } from './container-options.ts';
import { networkSettingsOf } from './network-options.ts';
import { resourceOptionsOf, type ResourceOptions } from './resource-options.ts';
import { checkValue, FIXED_FLAGS, FLAGS, parseFlags, type FlagKind, type FlagValues } from './flags.ts';

export interface Config {
  readonly dataRoot: string;
  /** A second root whose images may be bases of deltas; undefined for none. */
  readonly deltaDataRoot: string | undefined;
  readonly execRoot: string;
  readonly pidFile: string;
  readonly hosts: readonly Host[];
  readonly group: string;
  readonly logLevel: Level;
  readonly labels: readonly string[];
  readonly experimental: boolean;
  /** Where Prometheus may ask; undefined for nowhere. */
  readonly metricsAddress: { readonly host: string; readonly port: number } | undefined;
  readonly insecureRegistries: readonly string[];
  readonly registryMirrors: readonly string[];
  /** Layers downloaded and extracted at the same time. */
  readonly maxConcurrentDownloads: number;
  /** Attempts without progress before a transfer fails. */
  readonly maxDownloadAttempts: number;
  /** Layers sent at the same time. */
  readonly maxConcurrentUploads: number;
  /** Attempts at sending one layer. */
  readonly maxUploadAttempts: number;
  /** What applying a delta may take beyond what extracting a layer takes. */
  readonly deltaApplyMemoryBytes: number;
  /** What making one delta may take. */
  readonly deltaCreateMemoryBytes: number;
  readonly shutdownTimeoutSeconds: number;
  readonly tls: { readonly caPath: string; readonly certPath: string; readonly keyPath: string; readonly verify: boolean } | undefined;
  readonly proxy: { http?: string; https?: string; no?: string };
  /** What containers get that do not say otherwise, and what runs them. */
  readonly containers: ContainerOptions;
  readonly resources: ResourceOptions;
  readonly network: NetworkSettings;
}

export type Host = { kind: 'unix'; path: string } | { kind: 'fd'; rest: string } | { kind: 'tcp'; host: string; port: number };

const DEFAULT_CONFIG_FILE = '/etc/vaquita/daemon.json';
const DEFAULT_HOST = 'unix:///var/run/vaquita.sock';
const TLS_PORT = 2376;
/** With less, the index of a large base would be too coarse to find anything. */
const LEAST_CREATE_MEMORY_MB = 64;
/** Less is taken by the index of a large base alone. */
const LEAST_DELTA_MEMORY_MB = 16;
const PLAIN_PORT = 2375;

/** Reads flags, then the file they name. Error: invalid, in words that name flag or key. */
export function readConfig(words: readonly string[], env: Readonly<Record<string, string | undefined>>): Config {
  const values = parseFlags(words);
  mergeFile(values, values.get('config-file')?.at(-1));
  const text = (name: string, fallback: string) => values.get(name)?.at(-1) ?? fallback;
  const flag = (name: string, fallback = false) => ['true', '1'].includes(text(name, String(fallback)));
  const int = (name: string, fallback: number, least: number) => {
    const value = Number(text(name, String(fallback)));
    if (value < least) throw invalid(`invalid ${name.replaceAll('-', ' ')}: ${value}: expected at least ${least}`);
    return value;
  };
  const tls = tlsOf({ flag, text });
  const hosts = (values.get('host') ?? [DEFAULT_HOST]).map((host) => parseHost(host, tls !== undefined));
  const open = hosts.find((host) => host.kind === 'tcp');
  if (open && !tls && !flag('allow-plain-tcp')) {
    throw invalid(`-H tcp://${open.kind === 'tcp' ? open.host : ''}: a plain TCP socket makes everyone who reaches it root on this machine; use --tlsverify with certificates, or --allow-plain-tcp to accept that`);
  }
  return Object.freeze({
    dataRoot: absolute(text('data-root', '/var/lib/vaquita'), 'data-root'),
    deltaDataRoot: text('delta-data-root', '') === '' ? undefined : absolute(text('delta-data-root', ''), 'delta-data-root'),
    execRoot: absolute(text('exec-root', '/run/vaquita'), 'exec-root'),
    pidFile: absolute(text('pidfile', '/var/run/vaquita.pid'), 'pidfile'),
    hosts, group: text('group', 'vaquita'),
    logLevel: flag('debug') ? 'debug' : levelOf(text('log-level', 'info')),
    labels: checkedLabels(values.get('label') ?? []),
    experimental: flag('experimental'),
    metricsAddress: metricsAddressOf(text('metrics-addr', '')),
    insecureRegistries: values.get('insecure-registry') ?? [],
    registryMirrors: (values.get('registry-mirror') ?? []).map(checkedMirror),
    maxConcurrentDownloads: int('max-concurrent-downloads', 3, 1),
    maxDownloadAttempts: int('max-download-attempts', 5, 1),
    maxConcurrentUploads: int('max-concurrent-uploads', 5, 1),
    maxUploadAttempts: int('max-upload-attempts', 5, 1),
    deltaCreateMemoryBytes: int('delta-create-memory', 512, LEAST_CREATE_MEMORY_MB) * 2 ** 20,
    deltaApplyMemoryBytes: int('delta-apply-memory', 64, LEAST_DELTA_MEMORY_MB) * 2 ** 20,
    shutdownTimeoutSeconds: int('shutdown-timeout', 15, 0),
    tls,
    proxy: proxyOf(env),
    containers: containerOptionsOf({ text, flag, map: (name) => values.get(name) ?? [] }),
    resources: resourceOptionsOf({ text, all: (name) => values.get(name) ?? [] }),
    network: networkSettingsOf({ text, flag, all: (name) => values.get(name) ?? [] }),
  });
}

function mergeFile(values: FlagValues, named: string | undefined): void {
  const path = named ?? DEFAULT_CONFIG_FILE;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && named === undefined) return;
    throw invalid(`unable to configure the daemon with file ${path}: ${messageOf(error)}`, { cause: error });
  }
  for (const [key, value] of Object.entries(parseObject(path, text))) {
    const spec = [...FLAGS, ...FIXED_FLAGS].find((flag) => (flag.key ?? flag.name) === key && flag.name !== 'config-file');
    if (!spec) throw invalid(`unable to configure the daemon with file ${path}: the following directives don't match any configuration option: ${key}`);
    if (values.has(spec.name)) throw invalid(`unable to configure the daemon with file ${path}: the following directives are specified both as a flag and in the configuration file: ${key}`);
    if (spec.kind === 'ip' && value === '') continue;
    values.set(spec.name, valuesOf(path, { key, value, kind: spec.kind }).map((each) => { checkValue(spec, each); return each; }));
  }
}

function parseObject(path: string, text: string): object {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch (error) {
    throw invalid(`unable to configure the daemon with file ${path}: ${messageOf(error)}`, { cause: error });
  }
  throw invalid(`unable to configure the daemon with file ${path}: expected a JSON object`);
}

const NOUNS: Readonly<Record<FlagKind, string>> = { string: 'string', ip: 'string', bool: 'bool', int: 'int', list: 'list of strings', map: 'JSON object', pool: 'list of objects with "base" (text) and "size" (number)' };

const isPool = (value: unknown): value is { base?: string; size?: number } => typeof value === 'object' && value !== null
  && Object.entries(value).every(([key, each]) => (key === 'base' ? typeof each === 'string' && !each.includes(',') : key === 'size' && Number.isInteger(each)));

function valuesOf(path: string, { key, value, kind }: { key: string; value: unknown; kind: FlagKind }): string[] {
  if (kind === 'map' && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value).map(([name, each]: [string, unknown]) => `${name}=${typeof each === 'string' ? each : JSON.stringify(each)}`);
  }
  if (kind === 'pool' && Array.isArray(value) && value.every(isPool)) return value.map(({ base = '', size = 0 }) => `base=${base},size=${size}`);
  const fits = (kind === 'list' && Array.isArray(value) && value.every((each) => typeof each === 'string'))
    || (kind === 'bool' && typeof value === 'boolean') || (kind === 'int' && typeof value === 'number') || ((kind === 'string' || kind === 'ip') && typeof value === 'string');
  if (!fits) throw invalid(`unable to configure the daemon with file ${path}: ${key} must be a ${NOUNS[kind]}`);
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

/** 'unix:///path', 'fd://' (what systemd hands over; or fd://N, fd://NAME of it), 'tcp://host:port'. */
export function parseHost(text: string, tls: boolean): Host {
  const match = /^(unix|tcp|fd):\/\/(.*)$/.exec(text);
  if (!match) throw invalid(`unable to parse -H ${text}: expected unix:///path, fd:// or tcp://host:port`);
  const rest = match[2] ?? '';
  if (match[1] === 'unix') return { kind: 'unix', path: absolute(rest === '' ? '/var/run/vaquita.sock' : rest, `host ${text}`) };
  if (match[1] === 'fd') return { kind: 'fd', rest };
  const at = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(rest);
  if (!at) throw invalid(`unable to parse -H ${text}: expected tcp://host:port`);
  return { kind: 'tcp', host: (at[1] || '127.0.0.1').replace(/^\[|\]$/g, ''), port: at[2] === undefined ? (tls ? TLS_PORT : PLAIN_PORT) : Number(at[2]) };
}

function tlsOf({ flag, text }: { flag: (name: string) => boolean; text: (name: string, fallback: string) => string }): Config['tls'] {
  if (!flag('tls') && !flag('tlsverify')) return undefined;
  const certPath = text('tlscert', '');
  const keyPath = text('tlskey', '');
  if (certPath === '' || keyPath === '') throw invalid('--tls needs --tlscert and --tlskey');
  const caPath = text('tlscacert', '');
  if (flag('tlsverify') && caPath === '') throw invalid('--tlsverify needs --tlscacert: the authority whose client certificates are let in');
  return { certPath, keyPath, caPath, verify: flag('tlsverify') };
}

function metricsAddressOf(text: string): Config['metricsAddress'] {
  if (text === '') return undefined;
  const match = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match || port > 65_535) throw invalid(`invalid metrics-addr: ${text}: expected host:port`);
  return { host: (match[1] || '0.0.0.0').replace(/^\[|\]$/g, ''), port };
}

function levelOf(text: string): Level {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text;
  throw invalid(`invalid logging level: ${text}: expected debug, info, warn or error`);
}

function checkedLabels(labels: string[]): string[] {
  for (const label of labels) if (!/^[^=]+=/.test(label)) throw invalid(`bad attribute format: ${label}: expected key=value`);
  return labels;
}

function checkedMirror(text: string): string {
  let url: URL;
  try { url = new URL(text); } catch { throw invalid(`invalid mirror: "${text}" is not a valid URI`); }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw invalid(`invalid mirror: unsupported scheme "${url.protocol.slice(0, -1)}" in "${text}"`);
  if (url.username !== '' || url.search !== '' || url.hash !== '') throw invalid('invalid mirror: username/password, query and fragment are not allowed in a mirror URI');
  return text;
}

function absolute(path: string, what: string): string {
  if (!path.startsWith('/')) throw invalid(`invalid ${what}: ${path}: expected an absolute path`);
  return path;
}

function proxyOf(env: Readonly<Record<string, string | undefined>>): Config['proxy'] {
  const of = (name: string) => env[name] ?? env[name.toUpperCase()];
  const [http, https, no] = [of('http_proxy'), of('https_proxy'), of('no_proxy')];
  return { ...(http ? { http } : {}), ...(https ? { https } : {}), ...(no ? { no } : {}) };
}
