// A create body as the client's version of the API means it: fields that came later are passed over, old defaults are put in.
import { invalid } from '../lib/errors.ts';
import type { CreateBody, HostConfig, MountSpec } from '../wire/types.ts';
import { keeps, since, type ApiVersion } from './routes.ts';

/** Source: the version history of Docker's API. A client that names no version means the newest. */
export function bodyAsMeant(body: CreateBody, version: ApiVersion): CreateBody {
  const { Healthcheck: health, HostConfig: host, ...rest } = body;
  const { StartInterval: _later, ...before44 } = health ?? {};
  if (rest.NetworkingConfig && !since(version, 44)) assertOneNetwork(rest.NetworkingConfig);
  return {
    ...rest,
    ...(health ? { Healthcheck: since(version, 44) ? health : before44 } : {}),
    ...(host || version.minor < 41 ? { HostConfig: hostAsMeant(host ?? {}, version) } : {}),
  };
}

/** Before 1.44 a container was made with one network. */
function assertOneNetwork({ EndpointsConfig: endpoints }: NonNullable<CreateBody['NetworkingConfig']>): void {
  const names = Object.keys(endpoints ?? {});
  if (names.length > 1) throw invalid(`Container cannot be connected to network endpoints: ${names.toSorted().join(', ')}`);
}

/** What a newer Docker tells clients that use a field in the old place. */
export function versionWarnings(body: CreateBody, version: ApiVersion): string[] {
  return body.MacAddress && since(version, 44) ? ['The container-wide MacAddress field is deprecated. It should be specified in EndpointsConfig instead.'] : [];
}

function hostAsMeant(host: Partial<HostConfig>, version: ApiVersion): Partial<HostConfig> {
  const { Annotations: annotations, KernelMemory: kernelMemory, Mounts: mounts, ...rest } = host;
  return {
    ...rest,
    ...(annotations && since(version, 43) ? { Annotations: annotations } : {}),
    ...(kernelMemory !== undefined && keeps(version, 42) ? { KernelMemory: kernelMemory } : {}),
    ...(mounts ? { Mounts: mounts.map((mount) => mountAsMeant(mount, version)) } : {}),
    // The defaults of their time: an IPC namespace that others could join, and the cgroups of the host.
    ...(!since(version, 40) && !host.IpcMode ? { IpcMode: 'shareable' } : {}),
    ...(!since(version, 41) && !host.CgroupnsMode ? { CgroupnsMode: 'host' } : {}),
  };
}

function mountAsMeant(mount: MountSpec, version: ApiVersion): MountSpec {
  const { BindOptions: bind, VolumeOptions: volume, TmpfsOptions: tmpfs, ...rest } = mount;
  const known = <T extends object>(options: T, names: readonly (keyof T)[], minor: number): T =>
    (since(version, minor) ? options : Object.fromEntries(Object.entries(options).filter(([name]) => !names.some((later) => later === name))) as T);
  return {
    ...rest,
    ...(bind ? { BindOptions: known(known(known(bind, ['NonRecursive'], 40), ['CreateMountpoint'], 42), ['ReadOnlyNonRecursive', 'ReadOnlyForceRecursive'], 44) } : {}),
    // Options of another type were not looked at until 1.42.
    ...(volume && (since(version, 42) || mount.Type !== 'tmpfs') ? { VolumeOptions: known(volume, ['Subpath'], 45) } : {}),
    ...(tmpfs && (since(version, 42) || mount.Type === 'tmpfs') ? { TmpfsOptions: known(tmpfs, ['Options'], 46) } : {}),
  };
}
