// create: check everything, then the snapshot, then the record; the name is taken first and given back on any failure.
import { availableParallelism } from 'node:os';
import { formatNanos } from '../../lib/clock.ts';
import { conflict, invalid, notFound } from '../../lib/errors.ts';
import { chainIds } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { fitsPlatform, formatPlatform, parsePlatform } from '../../oci/platform.ts';
import type { ContainerRecord } from '../../store/index.ts';
import type { ContainerConfig, CreateBody, HostConfig } from '../../wire/types.ts';
import { findImage } from '../images/find.ts';
import { Container } from './container.ts';
import { completeConfig, completeHostConfig } from './defaults.ts';
import { mergeImageConfig } from './merge.ts';
import { claimMounts } from './claim.ts';
import { randomName } from './names.ts';
import { resolvedLinks } from './links.ts';
import { joinedById } from './namespaces.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { newNetworkSettings } from './networking.ts';
import { decideResources } from './resource-rules.ts';
import { NEVER_STARTED } from './state.ts';
import { validateEndpoints, validateNetwork } from './validate-network.ts';
import { validateConfig, validateHostConfig } from './validate.ts';
import { BARE, validateShared } from './validate-shared.ts';

/** `platform` as the client wrote it. `fitNetworks`: what does not fit to a network is refused now, not at the start. */
export interface CreateOptions { name: string | undefined; body: CreateBody; platform?: string | undefined; fitNetworks?: boolean; signal: AbortSignal }

/** Everything or nothing: a record, a snapshot and a name, all durable, or an error and none of them. */
export async function createContainer(needs: ContainerNeeds, options: CreateOptions): Promise<{ id: string; warnings: string[] }> {
  const { store, table, clock } = needs;
  const { body } = options;
  const wanted = completeConfig(body);
  validateConfig(wanted);
  const { host: held, warnings } = decideResources(completeHostConfig(body.HostConfig ?? {}, { cgroupVersion: needs.runtime.facts.cgroupVersion, defaults: needs.defaults }), { can: needs.runtime.facts.abilities, cpus: availableParallelism(), driver: needs.runtime.facts.cgroupDriver });
  const joined = joinedById(needs.table, held);
  validateHostConfig(joined);
  validateShared(joined, { runtimes: Object.keys(needs.runtime.facts.runtimes), remapped: store.idMap !== undefined });
  warnings.push(...validateNetwork(wanted, joined, needs.networks.named('bridge') !== undefined));
  validateEndpoints(body, { mode: joined.NetworkMode, networks: needs.networks, fit: options.fitNetworks ?? false });
  if (wanted.Image === '') throw invalid('no image was specified');
  const image = findImage(store, wanted.Image).config;
  const config = finalConfig(wanted, image, joined);
  warnings.push(...platformWarnings(needs, { image, wanted: options.platform, name: wanted.Image }));

  const id = clock.randomHex(32);
  const word = options.name || randomName(clock, (free) => table.isNameTaken(free));
  using name = table.reserveName(word, id);
  const hostConfig = { ...joined, Links: resolvedLinks(table, joined) };
  const container = new Container({
    record: recordOf(needs, { id, name: word.replace(/^\//, ''), config: withIdentity(config, { id, hostConfig, hostName: needs.hostName }), hostConfig, image, body, fitNetworks: options.fitNetworks ?? false, anonymous: !options.name }),
    hostConfig,
  });
  options.signal.throwIfAborted();

  await using undo = new AsyncDisposableStack();
  const mounts = undo.use(await claimMounts(needs, { id, config, hostConfig }));
  undo.defer(() => store.layers.removeActive(id));
  const overlay = await store.layers.createActive(id, { parent: chainIds(image.diffIds).at(-1), init: hostConfig.Runtime !== BARE });
  await mounts.fill(overlay);
  container.record = { ...container.record, MountPoints: mounts.points() };
  undo.defer(() => store.containers.remove(id));
  await store.containers.create({ record: container.record, hostConfig });
  table.add(container);
  name.keep();
  mounts.settle();
  undo.move();
  publish(needs, container, { action: 'create' });
  return { id, warnings };
}

function finalConfig(wanted: ContainerConfig, image: ImageConfig, hostConfig: HostConfig): ContainerConfig {
  const config = mergeImageConfig(wanted, image.config);
  validateConfig(config);
  if ((config.Entrypoint ?? []).length === 0 && (config.Cmd ?? []).length === 0) throw invalid('no command specified');
  if (image.os !== '' && image.os !== 'linux') throw notFound(`image with reference ${wanted.Image} was found but its operating system is ${image.os}, not linux`);
  // By its beginning alone, as in balenaEngine: PA collides with PATH.
  if (hostConfig.ContainerIDEnv && (config.Env ?? []).some((entry) => entry.startsWith(hostConfig.ContainerIDEnv ?? ''))) {
    throw conflict(`Error environment variable ${hostConfig.ContainerIDEnv} already defined`);
  }
  return config;
}

/** An image of another machine runs where something translates its programs; whoever asked for this platform is not warned. */
function platformWarnings(needs: ContainerNeeds, { image, wanted, name }: { image: ImageConfig; wanted: string | undefined; name: string }): string[] {
  const offered = { os: image.os || 'linux', architecture: image.architecture, variant: image.variant };
  if (image.architecture === '') return [];
  if (wanted !== undefined) {
    const platform = parsePlatform(wanted, needs.platform);
    if (fitsPlatform(offered, platform)) return [];
    throw notFound(`image with reference ${name} was found but does not match the specified platform: wanted ${formatPlatform(platform)}, actual: ${formatPlatform(offered)}`);
  }
  return fitsPlatform(offered, needs.platform) ? []
    : [`The requested image's platform (${formatPlatform(offered)}) does not match the detected host platform (${formatPlatform(needs.platform)}) and no specific platform was requested`];
}

/** Host name and the variable for the ID: what is known only when the container has an ID. */
function withIdentity(config: ContainerConfig, who: { id: string; hostConfig: HostConfig; hostName: string }): ContainerConfig {
  const shared = who.hostConfig.NetworkMode === 'host';
  const hostname = config.Hostname || (shared ? who.hostName : who.id.slice(0, 12));
  const env = who.hostConfig.ContainerIDEnv ? [...config.Env ?? [], `${who.hostConfig.ContainerIDEnv}=${who.id}`] : config.Env;
  return { ...config, Hostname: hostname, Env: env };
}

function recordOf(needs: ContainerNeeds, of: { id: string; name: string; config: ContainerConfig; hostConfig: HostConfig; image: ImageConfig; body: CreateBody; fitNetworks: boolean; anonymous: boolean }): ContainerRecord {
  const argv = [...of.config.Entrypoint ?? [], ...of.config.Cmd ?? []];
  const folder = needs.store.containers.directory(of.id);
  const security = needs.runtime.securityOf(of.hostConfig);
  return {
    StreamConfig: {}, State: { ...NEVER_STARTED }, ID: of.id, Created: formatNanos(needs.clock.nowNanos()), Managed: false,
    Path: argv[0] ?? '', Args: argv.slice(1), Config: of.config, Image: of.image.id,
    NetworkSettings: { ...newNetworkSettings(of.body, { mode: of.hostConfig.NetworkMode, networks: needs.networks, macs: of.fitNetworks }), IsAnonymousEndpoint: of.anonymous },
    LogPath: of.hostConfig.LogConfig.Type === 'json-file' ? `${folder}/container.log` : '',
    Name: `/${of.name}`, Driver: 'overlay2', OS: 'linux', MountLabel: security.mountLabel, ProcessLabel: security.processLabel, RestartCount: 0,
    HasBeenStartedBefore: false, HasBeenManuallyStopped: false, MountPoints: {}, SecretReferences: null, ConfigReferences: null,
    AppArmorProfile: security.apparmorProfile, HostnamePath: '', HostsPath: '', ShmPath: '', ResolvConfPath: '', SeccompProfile: security.seccompProfile, NoNewPrivileges: security.noNewPrivileges,
    LocalLogCacheMeta: { HaveNotifyEnabled: false },
  };
}
