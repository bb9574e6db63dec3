// What a container sees, from its record: its overlay, its volumes and binds, our own files over /etc, its file systems in memory.
import { EngineError } from '../../lib/errors.ts';
import type { View, ViewMount } from '../../rootfs/index.ts';
import type { RecordedMountPoint } from '../../store/index.ts';
import type { Container } from '../containers/container.ts';
import { cleanPath } from '../containers/mount-points.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { isVolume } from '../volumes/volumes.ts';

type Needs = Pick<ContainerNeeds, 'store' | 'volumes' | 'clock'>;

/** Under the container's lock. Volumes stay mounted until it is disposed of, or for who has mounted them himself. corrupt when its writable layer is missing. */
export async function openView(needs: Needs, container: Container): Promise<AsyncDisposable & { view: View }> {
  const overlay = needs.store.layers.active(container.id);
  if (!overlay) throw new EngineError('corrupt', `container ${container.id}: its writable layer is missing; remove the container and create it anew`);
  const { record, hostConfig, state } = container;
  const points = Object.values(record.MountPoints).filter(({ Type: type }) => type !== 'tmpfs');
  const tmpfs = [...Object.keys(hostConfig.Tmpfs ?? {}).map(cleanPath), ...Object.values(record.MountPoints).filter(({ Type: type }) => type === 'tmpfs').map(({ Destination: path }) => path)];
  await using undo = new AsyncDisposableStack();
  const user = `files-${needs.clock.randomHex(8)}`;
  const mounts: ViewMount[] = [];
  for (const point of points.filter(({ Destination: path }) => !tmpfs.includes(path))) {
    if (isVolume(point)) undo.defer(() => needs.volumes.unmount(point.Name, user));
    mounts.push(mountOf(point, isVolume(point) ? await needs.volumes.mount(point.Name, user) : point.Source));
  }
  const held = undo.move();
  return {
    view: {
      overlay, tmpfs, mounts: [...mounts, ...ownFiles(container, mounts)].toSorted((a, b) => depth(a) - depth(b)),
      pid: state.status === 'running' || state.status === 'paused' ? record.State.Pid : undefined,
      readOnlyRoot: hostConfig.ReadonlyRootfs,
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

const mountOf = ({ Destination: destination, RW: writable, Spec: spec }: RecordedMountPoint, source: string): ViewMount =>
  ({ source, destination, writable, recursive: spec.BindOptions?.NonRecursive !== true, asked: true });

/** Where the client has not put something else. */
function ownFiles({ record, hostConfig }: Container, asked: readonly ViewMount[]): ViewMount[] {
  return ([[record.ResolvConfPath, '/etc/resolv.conf'], [record.HostnamePath, '/etc/hostname'], [record.HostsPath, '/etc/hosts']] as const)
    .filter(([source, destination]) => source !== '' && !asked.some((mount) => mount.destination === destination))
    .map(([source, destination]) => ({ source, destination, writable: !hostConfig.ReadonlyRootfs, recursive: false, asked: false }));
}

const depth = ({ destination }: ViewMount): number => destination.split('/').length;
