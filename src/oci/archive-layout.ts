// What stands in an archive of images besides their layers: `docker save`'s manifest.json, repositories and legacy descriptions, OCI's index.
//
// Source: Docker 20.10, image/tarexport and image/v1; the legacy IDs are those that Docker gives, so that both engines call a layer the same.
import { digestOf, hexOf, isDigest, type ChainId, type DiffId, type ImageId } from './digest.ts';
import type { ImageConfig } from './manifest.ts';
import { MAX_LAYERS } from './parse-manifest.ts';
import { asArray, asObject, optionalString, optionalStrings, parseJsonObject, requiredString, type JsonObject } from './shape.ts';
import { invalid } from '../lib/errors.ts';

export const MANIFEST_FILE = 'manifest.json', REPOSITORIES_FILE = 'repositories', INDEX_FILE = 'index.json', OCI_LAYOUT_FILE = 'oci-layout';
export const LAYER_FILE = 'layer.tar', LEGACY_FILE = 'json', VERSION_FILE = 'VERSION', LEGACY_VERSION = '1.0';

/** One image of a manifest.json. Names and paths as they stand there. */
export interface ArchivedImage { config: string; repoTags: readonly string[]; layers: readonly string[]; parent?: string | undefined }

/** How Docker before 1.10 knew a layer: an ID of 64 digits, and a description. */
export interface LegacyLayer { id: string; chainId: ChainId; diffId: DiffId; json: string }

/** Archives of whole registries have been seen with hundreds. */
const MAX_IMAGES = 4096;
const MAX_TAGS = 4096;

/** Error: invalid, naming the field. */
export function parseArchiveManifest(bytes: Uint8Array): ArchivedImage[] {
  let list: unknown;
  try { list = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)); } catch (cause) { throw invalid(`${MANIFEST_FILE} is not JSON`, { cause }); }
  if (list === null) throw invalid('invalid manifest, manifest cannot be null (but can be [])');
  return asArray(list, MANIFEST_FILE, MAX_IMAGES).map((entry, i) => {
    const at = `${MANIFEST_FILE}: [${i}]`;
    const item = asObject(entry, at);
    const parent = optionalString(item['Parent'], `${at}.Parent`);
    return {
      config: requiredString(item['Config'], `${at}.Config`), ...(parent === '' ? {} : { parent }),
      repoTags: optionalStrings(item['RepoTags'], `${at}.RepoTags`, MAX_TAGS) ?? [],
      layers: optionalStrings(item['Layers'], `${at}.Layers`, MAX_LAYERS) ?? [],
    };
  });
}

/** As Go's encoder ends it: with a newline. */
export function formatArchiveManifest(images: readonly ArchivedImage[]): string {
  const items = images.map(({ config, repoTags, layers, parent }) => ({ Config: config, RepoTags: repoTags.length > 0 ? repoTags : null, Layers: layers, ...(parent === undefined ? {} : { Parent: parent }) }));
  return `${goJson(items)}\n`;
}

/** For readers of the time before manifest.json: by name and tag, the legacy ID of the top layer. */
export function formatRepositories(tags: ReadonlyArray<{ name: string; tag: string; id: string }>): string {
  const repositories: Record<string, Record<string, string>> = {};
  for (const { name, tag, id } of tags) (repositories[name] ??= {})[tag] = id;
  const sorted = Object.fromEntries(byKey(Object.entries(repositories)).map(([name, of]) => [name, Object.fromEntries(byKey(Object.entries(of)))]));
  return `${goJson(sorted)}\n`;
}

/** Bottom first. What only fits together with the layers below it: each ID covers the chain; the top one's also the image's config. */
export function legacyLayers(config: ImageConfig, chain: readonly ChainId[]): LegacyLayer[] {
  const layers: LegacyLayer[] = [];
  for (const [index, diffId] of config.diffIds.entries()) {
    const chainId = chain[index];
    if (chainId === undefined) throw new Error('a chainID for each layer');
    const parent = layers.at(-1)?.id;
    const image = index === config.diffIds.length - 1 ? describedImage(config) : EMPTY_IMAGE;
    const id = legacyId(image, chainId, parent);
    layers.push({ id, chainId, diffId, json: goJson({ id, ...(parent === undefined ? {} : { parent }), ...image, ...(config.os === '' ? {} : { os: config.os }) }) });
  }
  return layers;
}

/** The ID of a layer that is not the top of an image. */
export const legacyBelow = (chainId: ChainId, parent: string | undefined): string => legacyId(EMPTY_IMAGE, chainId, parent);

function legacyId(image: JsonObject, chainId: ChainId, parent: string | undefined): string {
  const fields = { ...image, layer_id: chainId, ...(parent === undefined ? {} : { parent: `sha256:${parent}` }) };
  return hexOf(digestOf(goJson(Object.fromEntries(byKey(Object.entries(fields))))));
}

/** As Go writes JSON: three characters of HTML and two line ends of Unicode are escaped. */
const goJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

const byKey = <T>(entries: Array<[string, T]>): Array<[string, T]> => entries.toSorted(([a], [b]) => (a < b ? -1 : 1));

/** The fields of Docker's image of version 1 in their order, with those left out that Go leaves out. */
function describedImage(config: ImageConfig): JsonObject {
  const json = parseJsonObject(config.bytes, 'image config');
  const text = (key: string, value: string) => (value === '' ? {} : { [key]: value });
  return {
    ...text('comment', config.comment), created: goTime(config.created), ...text('container', config.container),
    container_config: goConfig(objectOf(json['container_config'])), ...text('docker_version', config.dockerVersion), ...text('author', config.author),
    ...(json['config'] === undefined || json['config'] === null ? {} : { config: goConfig(objectOf(json['config'])) }),
    ...text('architecture', config.architecture), ...text('variant', config.variant), ...text('os', config.os),
  };
}

/** What else a stranger has put there is left out. */
const stringsOf = (value: unknown): string[] | null => (Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : null);

const objectOf = (value: unknown): JsonObject => (typeof value === 'object' && value !== null ? value as JsonObject : {});

/** Fractions without zeros at their end; no time is the year 1. */
function goTime(created: string): string {
  if (created === '') return '0001-01-01T00:00:00Z';
  return created.replace(/\.(\d*?)0+(?=[Z+-])/, (_all, digits: string) => (digits === '' ? '' : `.${digits}`));
}

/** Docker's container config with all of its fields; unknown ones are lost, as there. */
function goConfig(from: JsonObject): JsonObject {
  const text = (key: string) => (typeof from[key] === 'string' ? from[key] : '');
  const flag = (key: string) => from[key] === true;
  const list = (key: string) => (typeof from[key] === 'string' ? [from[key]] : stringsOf(from[key]));
  const map = (key: string, valueOf: (value: unknown) => unknown) => (from[key] === undefined || from[key] === null ? null : Object.fromEntries(byKey(Object.entries(objectOf(from[key])).map(([name, value]) => [name, valueOf(value)]))));
  const keys = (key: string) => map(key, () => ({}));
  const given = (key: string, value: unknown) => (value === null || value === '' || value === false || (Array.isArray(value) && value.length === 0) ? {} : { [key]: value });
  const ports = keys('ExposedPorts');
  return {
    Hostname: text('Hostname'), Domainname: text('Domainname'), User: text('User'),
    AttachStdin: flag('AttachStdin'), AttachStdout: flag('AttachStdout'), AttachStderr: flag('AttachStderr'),
    ...given('ExposedPorts', ports && Object.keys(ports).length > 0 ? ports : null),
    Tty: flag('Tty'), OpenStdin: flag('OpenStdin'), StdinOnce: flag('StdinOnce'), Env: list('Env'), Cmd: list('Cmd'),
    ...given('Healthcheck', goHealthcheck(from['Healthcheck'])), ...given('ArgsEscaped', flag('ArgsEscaped')),
    Image: text('Image'), Volumes: keys('Volumes'), WorkingDir: text('WorkingDir'), Entrypoint: list('Entrypoint'),
    ...given('NetworkDisabled', flag('NetworkDisabled')), ...given('MacAddress', text('MacAddress')), OnBuild: list('OnBuild'), Labels: map('Labels', (value) => (typeof value === 'string' ? value : '')),
    ...given('StopSignal', text('StopSignal')), ...given('StopTimeout', typeof from['StopTimeout'] === 'number' ? from['StopTimeout'] : null), ...given('Shell', list('Shell')),
  };
}

function goHealthcheck(value: unknown): JsonObject | null {
  if (value === undefined || value === null) return null;
  const from = objectOf(value);
  const test = stringsOf(from['Test']) ?? [];
  const numbers = ['Interval', 'Timeout', 'StartPeriod', 'Retries'].filter((key) => typeof from[key] === 'number' && from[key] !== 0);
  return { ...(test.length > 0 ? { Test: test } : {}), ...Object.fromEntries(numbers.map((key) => [key, from[key]])) };
}

const EMPTY_IMAGE: JsonObject = { created: '1970-01-01T00:00:00Z', container_config: goConfig({}) };

/** Path within an archive without "./" and doubled slashes; undefined of what leads out of it, and of the archive itself. */
export function archivePath(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.length === 0 ? undefined : parts.join('/');
}

/** Where OCI layouts keep a blob. */
export const blobPath = (digest: string): string => {
  if (!isDigest(digest)) throw invalid(`invalid digest: ${JSON.stringify(digest)}`);
  return `blobs/sha256/${hexOf(digest)}`;
};

/** Error: invalid. */
export function assertOciLayout(bytes: Uint8Array): void {
  const version = parseJsonObject(bytes, OCI_LAYOUT_FILE)['imageLayoutVersion'];
  if (version !== '1.0.0') throw invalid(`${OCI_LAYOUT_FILE}: version ${JSON.stringify(version)}, only "1.0.0" is supported`);
}

/** What an entry of an index calls its image: the whole name where a tool wrote one. A bare tag names nothing. */
export function nameInIndex(annotations: Readonly<Record<string, string>> | undefined): string | undefined {
  const full = annotations?.['io.containerd.image.name'];
  if (full !== undefined && full !== '') return full;
  const name = annotations?.['org.opencontainers.image.ref.name'];
  return name !== undefined && /[/:]/.test(name) ? name : undefined;
}

export const configFile = (id: ImageId): string => `${hexOf(id)}.json`;
