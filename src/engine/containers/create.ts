// create: check everything, then the snapshot, then the record; the name is taken first and given back on any failure.
import { availableParallelism } from 'node:os';
import { formatNanos } from '../../lib/clock.ts';
import { invalid, notFound } from '../../lib/errors.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { chainIds } from '../../oci/digest.ts';
import type { ContainerRecord } from '../../store/index.ts';
import type { ContainerConfig, CreateBody, EndpointSettings, HostConfig } from '../../wire/types.ts';
import { findImage } from '../images/find.ts';
import { Container } from './container.ts';
import { completeConfig, completeHostConfig } from './defaults.ts';
import { mergeImageConfig } from './merge.ts';
import { assertSources, mountPointsOf } from './mounts.ts';
import { randomName } from './names.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { NEVER_STARTED } from './state.ts';
import { validateConfig, validateHostConfig } from './validate.ts';

export interface CreateOptions { name: string | undefined; body: CreateBody; signal: AbortSignal }

/** Everything or nothing: a record, a snapshot and a name, all durable, or an error and none of them. */
export async function createContainer(needs: ContainerNeeds, options: CreateOptions): Promise<{ id: string; warnings: string[] }> {
  const { store, table, clock } = needs;
  const { body } = options;
  const wanted = completeConfig(body);
  validateConfig(wanted);
  const hostConfig = completeHostConfig(body.HostConfig ?? {}, { cgroupVersion: needs.runtime.facts.cgroupVersion });
  const warnings = validateHostConfig(hostConfig, { cpus: availableParallelism() });
  assertSources(needs, hostConfig);
  if (wanted.Image === '') throw invalid('no image was specified');
  const image = findImage(store, wanted.Image).config;
  const config = finalConfig(wanted, image, hostConfig);

  const id = clock.randomHex(32);
  const word = options.name || randomName(clock, (free) => table.isNameTaken(free));
  using name = table.reserveName(word, id);
  const container = new Container({
    record: recordOf(needs, { id, name: word.replace(/^\//, ''), config: withIdentity(config, { id, hostConfig, hostName: needs.hostName }), hostConfig, image }),
    hostConfig,
  });
  options.signal.throwIfAborted();

  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.layers.removeActive(id));
  await store.layers.createActive(id, { parent: chainIds(image.diffIds).at(-1), init: true });
  undo.defer(() => store.containers.remove(id));
  await store.containers.create({ record: container.record, hostConfig });
  table.add(container);
  name.keep();
  undo.move();
  publish(needs, container, { action: 'create' });
  return { id, warnings };
}

function finalConfig(wanted: ContainerConfig, image: ImageConfig, hostConfig: HostConfig): ContainerConfig {
  const config = mergeImageConfig(wanted, image.config);
  validateConfig(config);
  if ((config.Entrypoint ?? []).length === 0 && (config.Cmd ?? []).length === 0) throw invalid('no command specified');
  if (image.os !== '' && image.os !== 'linux') throw notFound(`image with reference ${wanted.Image} was found but its operating system is ${image.os}, not linux`);
  if (hostConfig.ContainerIDEnv && (config.Env ?? []).some((entry) => entry.split('=', 1)[0] === hostConfig.ContainerIDEnv)) {
    throw invalid(`Error environment variable ${hostConfig.ContainerIDEnv} already defined`);
  }
  return config;
}

/** Host name and the variable for the ID: what is known only when the container has an ID. */
function withIdentity(config: ContainerConfig, who: { id: string; hostConfig: HostConfig; hostName: string }): ContainerConfig {
  const shared = who.hostConfig.NetworkMode === 'host' || who.hostConfig.UTSMode === 'host';
  const hostname = config.Hostname || (shared ? who.hostName : who.id.slice(0, 12));
  const env = who.hostConfig.ContainerIDEnv ? [...config.Env ?? [], `${who.hostConfig.ContainerIDEnv}=${who.id}`] : config.Env;
  return { ...config, Hostname: hostname, Env: env };
}

function recordOf(needs: ContainerNeeds, of: { id: string; name: string; config: ContainerConfig; hostConfig: HostConfig; image: ImageConfig }): ContainerRecord {
  const argv = [...of.config.Entrypoint ?? [], ...of.config.Cmd ?? []];
  const folder = needs.store.containers.directory(of.id);
  return {
    StreamConfig: {}, State: { ...NEVER_STARTED }, ID: of.id, Created: formatNanos(needs.clock.nowNanos()), Managed: false,
    Path: argv[0] ?? '', Args: argv.slice(1), Config: of.config, Image: of.image.id,
    NetworkSettings: {
      Bridge: '', SandboxID: '', HairpinMode: false, LinkLocalIPv6Address: '', LinkLocalIPv6PrefixLen: 0, Networks: networksOf(of.hostConfig.NetworkMode), Service: null, Ports: {}, SandboxKey: '',
      SecondaryIPAddresses: null, SecondaryIPv6Addresses: null, IsAnonymousEndpoint: false, HasSwarmEndpoint: false,
    },
    LogPath: of.hostConfig.LogConfig.Type === 'none' ? '' : `${folder}/container.log`,
    Name: `/${of.name}`, Driver: 'overlay2', OS: 'linux', MountLabel: '', ProcessLabel: '', RestartCount: 0,
    HasBeenStartedBefore: false, HasBeenManuallyStopped: false, MountPoints: mountPointsOf(of.hostConfig), SecretReferences: null, ConfigReferences: null,
    AppArmorProfile: '', HostnamePath: '', HostsPath: '', ShmPath: '', ResolvConfPath: '', SeccompProfile: '', NoNewPrivileges: (of.hostConfig.SecurityOpt ?? []).some((option) => /^no-new-privileges(?!.*false)/.test(option)),
    LocalLogCacheMeta: { HaveNotifyEnabled: false },
  };
}

/** Lists show the network's name from here; the two that there are give no addresses. */
function networksOf(mode: string): Record<string, EndpointSettings> {
  if (mode.startsWith('container:')) return {};
  return {
    [mode === 'default' ? 'none' : mode]: {
      IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', NetworkID: '', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '',
      GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DriverOpts: null,
    },
  };
}
