// config.json of the user: who is logged in where, and preferred formats. The file is shared with Docker's own CLI by choice of directory.
import type { RegistryAuth } from '../wire/types.ts';
import { errnoOf } from '../lib/errors.ts';
import { Failure } from './failure.ts';
import type { Io } from './io.ts';

export const HUB_SERVER = 'https://index.docker.io/v1/';

export interface UserConfig {
  auths?: Record<string, { auth?: string; identitytoken?: string; registrytoken?: string }>;
  psFormat?: string;
  imagesFormat?: string;
  volumesFormat?: string;
  networksFormat?: string;
  detachKeys?: string;
  [other: string]: unknown;
}

type Place = { io: Io; configDirectory: string };

export const configPath = (place: Place): string => `${place.configDirectory}/config.json`;

/** What is there, or nothing; a file that cannot be read as JSON is an error that names it. */
export async function readConfig(place: Place): Promise<UserConfig> {
  let text: string;
  try {
    text = Buffer.from(await place.io.readFile(configPath(place))).toString('utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return {};
    throw error;
  }
  try {
    const value = JSON.parse(text.trim() === '' ? '{}' : text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as UserConfig;
  } catch { /* Reported below with the same words. */ }
  throw new Failure(`WARNING: Error loading config file: ${configPath(place)}: it is not a JSON object`);
}

export async function writeConfig(place: Place, config: UserConfig): Promise<void> {
  await place.io.writeFile(configPath(place), JSON.stringify(config, undefined, '\t'), { mode: 0o600 });
}

/** The X-Registry-Auth header for a registry: what login kept, or an empty object. */
export async function registryAuthHeader(place: Place, registry: string): Promise<Record<string, string>> {
  const kept = findAuth(await readConfig(place), registry);
  return { 'X-Registry-Auth': Buffer.from(JSON.stringify(kept ?? {})).toString('base64').replaceAll('+', '-').replaceAll('/', '_') };
}

/** The hub is kept under its old address, all others under their host. */
export const serverKey = (registry: string): string => (registry === 'docker.io' || registry === 'index.docker.io' ? HUB_SERVER : registry);

/** Credentials kept under the server's name, with or without scheme and path. */
export function findAuth(config: UserConfig, registry: string): RegistryAuth | undefined {
  const key = serverKey(registry);
  const host = (name: string) => name.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  const name = Object.hasOwn(config.auths ?? {}, key) ? key : Object.keys(config.auths ?? {}).find((one) => host(one) === host(key));
  const kept = name === undefined ? undefined : config.auths?.[name];
  if (!kept) return undefined;
  const pair = Buffer.from(kept.auth ?? '', 'base64').toString('utf8').replaceAll('\0', '');
  const colon = pair.indexOf(':');
  return {
    ...(colon < 0 ? {} : { username: pair.slice(0, colon), password: pair.slice(colon + 1) }),
    serveraddress: key,
    ...(kept.identitytoken ? { identitytoken: kept.identitytoken } : {}),
    ...(kept.registrytoken ? { registrytoken: kept.registrytoken } : {}),
  };
}
