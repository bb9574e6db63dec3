// commit: what a container has changed becomes a layer, its configuration an image on its own image; the name last.
import { formatNanos } from '../../lib/clock.ts';
import { EngineError } from '../../lib/errors.ts';
import { chainIds, parseImageId, type ChainId, type DiffId, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { runConfigFrom } from '../../oci/parse-config.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import { nameToTag } from '../../oci/reference.ts';
import type { RootFs } from '../../rootfs/index.ts';
import type { ContainerConfig } from '../../wire/types.ts';
import type { Container } from '../containers/container.ts';
import { completeConfig } from '../containers/defaults.ts';
import { mergeImageConfig } from '../containers/merge.ts';
import { publish, type ContainerNeeds } from '../containers/needs.ts';
import { pauseContainer, unpauseContainer } from '../containers/stop.ts';
import { commitHeld } from '../images/held.ts';
import type { CommitOptions } from '../index.ts';
import { appliedChanges } from './instructions.ts';
import { openView } from './view.ts';

/** Two blocks of zeros: the diffID of a layer without changes, of which an image keeps only the history. */
const EMPTY_LAYER = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef' as string as DiffId;

interface Needs {
  needs: ContainerNeeds;
  rootfs: RootFs;
  /** What images are said to be made by. */
  engineVersion: string;
}

/** Durable when resolved; before the name is set, a power cut leaves at most an image without one. */
export async function commitContainer({ needs, rootfs, engineVersion }: Needs, container: Container, options: CommitOptions & { signal: AbortSignal }): Promise<ImageId> {
  const name = options.repo === '' ? undefined : nameToTag(options.repo, options.tag);
  const own = container.record.Config;
  const config = mergeImageConfig(
    appliedChanges(options.config === undefined ? own : completeConfig(options.config), options.changes),
    runConfigFrom({ ...own }),
  );
  const parent = needs.store.images.get(parseImageId(container.record.Image));
  if (!parent) throw new EngineError('system', `cannot commit container ${container.id}: its image ${container.record.Image} is gone`);
  await using _running = await stilled(needs, container, options.pause);
  using lease = needs.store.layers.lease([]);
  const diffId = await storeLayer({ needs, rootfs }, container, { below: parent.diffIds, lease, signal: options.signal });
  const image = imageOf({ parent, config, container, diffId, options, engineVersion, created: formatNanos(needs.clock.nowNanos()) });
  using _turn = await needs.turn.hold();
  await needs.store.images.add(image, { parent: parent.id });
  if (name !== undefined) {
    await needs.store.images.tagged(image.id, formatNanos(needs.clock.nowNanos()));
    await needs.store.names.update({ set: [[name, image.id]] });
    needs.events.publish({ type: 'image', action: 'tag', id: image.id, attributes: { ...image.config.Labels, name } });
  }
  publish(needs, container, { action: 'commit', extra: { comment: options.comment, imageID: image.id, imageRef: name ?? '' } });
  return image.id;
}

/** A running container is held still while its files are read, so that they belong together; one that cannot be paused is read as it is. */
async function stilled(needs: ContainerNeeds, container: Container, pause: boolean): Promise<AsyncDisposable> {
  const paused = pause && container.state.status === 'running'
    && await pauseContainer(needs, container).then(() => true, (error: unknown) => { needs.log.warn('committing a container that could not be paused', { container: container.id, error }); return false; });
  return { [Symbol.asyncDispose]: async () => {
    if (paused) await unpauseContainer(needs, container).catch((error: unknown) => needs.log.warn('could not let a container go on after its commit', { container: container.id, error }));
  } };
}

interface LayerInput { below: readonly DiffId[]; lease: { add(chainId: ChainId): void }; signal: AbortSignal }

/** The layer's diffID; undefined when nothing has changed. */
async function storeLayer({ needs, rootfs }: Pick<Needs, 'needs' | 'rootfs'>, container: Container, { below, lease, signal }: LayerInput): Promise<DiffId | undefined> {
  let source: AsyncIterable<Uint8Array>;
  const reading = new AbortController(); // who reads must end also when nobody takes what it reads
  using _ends = { [Symbol.dispose]: () => reading.abort() };
  {
    using _lock = await needs.table.hold(container);
    await using held = await openView(needs, container);
    source = await rootfs.layer(held.view, { signal: AbortSignal.any([signal, reading.signal]) });
  }
  await using staged = await needs.store.layers.stage({ diffId: undefined, parent: chainIds(below).at(-1), compression: 'none', source, signal });
  if (staged.diffId === EMPTY_LAYER) return undefined;
  signal.throwIfAborted();
  await commitHeld(staged, { below, lease });
  return staged.diffId;
}

interface ImageInput { parent: ImageConfig; config: ContainerConfig; container: Container; diffId: DiffId | undefined; options: CommitOptions; engineVersion: string; created: string }

/** The image config as dockerd writes it: fields sorted, absent ones left out. */
function imageOf({ parent, config, container, diffId, options, engineVersion, created }: ImageInput): ImageConfig {
  const { author, comment } = options;
  const base = JSON.parse(Buffer.from(parent.bytes).toString('utf8')) as Readonly<Record<string, unknown>>;
  const history = Array.isArray(base['history']) ? base['history'] as unknown[] : [];
  const kept = (key: string) => (base[key] === undefined || base[key] === '' ? {} : { [key]: base[key] });
  const step = {
    created, ...(author === '' ? {} : { author }), created_by: (container.record.Config.Cmd ?? []).join(' '), ...(comment === '' ? {} : { comment }), ...(diffId === undefined ? { empty_layer: true } : {}),
  };
  const image = {
    architecture: parent.architecture, ...(author === '' ? {} : { author }), config: inOrder(config), container: container.id, container_config: inOrder(container.record.Config),
    created, docker_version: engineVersion, history: [...history, step], os: parent.os === '' ? 'linux' : parent.os, ...kept('os.features'), ...kept('os.version'),
    rootfs: { type: 'layers', diff_ids: diffId === undefined ? parent.diffIds : [...parent.diffIds, diffId] }, ...kept('variant'),
  };
  return parseImageConfig(Buffer.from(escaped(JSON.stringify(image))));
}

/** Characters that Go's JSON never writes as they are. */
const escaped = (json: string): string => json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** The fields in the order of Docker's own record. */
function inOrder(config: ContainerConfig): Partial<ContainerConfig> {
  const order: ReadonlyArray<keyof ContainerConfig> = [
    'Hostname', 'Domainname', 'User', 'AttachStdin', 'AttachStdout', 'AttachStderr', 'ExposedPorts', 'Tty', 'OpenStdin', 'StdinOnce', 'Env', 'Cmd', 'Healthcheck', 'ArgsEscaped',
    'Image', 'Volumes', 'WorkingDir', 'Entrypoint', 'NetworkDisabled', 'MacAddress', 'OnBuild', 'Labels', 'StopSignal', 'StopTimeout', 'Shell',
  ];
  return Object.fromEntries(order.filter((key) => config[key] !== undefined).map((key) => [key, MAPS.has(key) ? sorted(config[key]) : config[key]]));
}

const MAPS: ReadonlySet<string> = new Set(['ExposedPorts', 'Volumes', 'Labels']);

/** Go writes maps in the order of their keys. */
function sorted(map: unknown): unknown {
  return typeof map === 'object' && map !== null ? Object.fromEntries(Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1))) : map;
}
