// The namespaces of other containers that one joins, and the shared memory that one offers for joining: Docker's rules and words.
import { conflict, EngineError, invalid, kindOf, messageOf } from '../../lib/errors.ts';
import { hostRoot, type IdMap } from '../../lib/ids.ts';
import { MOUNT_FLAGS } from '../../kernel/index.ts';
import type { HostConfig } from '../../wire/types.ts';
import type { Container } from './container.ts';
import { isMounted, type ContainerNeeds } from './needs.ts';

export type Spaces = Partial<Record<'network' | 'ipc' | 'pid' | 'uts' | 'user', string>>;
type Needs = Pick<ContainerNeeds, 'kernel' | 'store' | 'table'>;

/** The container whose namespace a mode names, as 'container:NAME' does; undefined for any other mode. */
export const joinedName = (mode: string): string | undefined => (mode.startsWith('container:') ? mode.slice('container:'.length) : undefined);

/**
 * A joined container is written down by its ID, which a new name does not change. One whose network is joined may come later, before
 * the start; of the others Docker wants to know the labels at once. Error: invalid, `No such container: NAME`.
 */
export function joinedById(table: ContainerNeeds['table'], host: HostConfig): HostConfig {
  const byId = (mode: string, needed: boolean): string => {
    const name = joinedName(mode);
    if (!name) return mode;
    try { return `container:${table.find(name).id}`; } catch (error) {
      if (needed) throw invalid(messageOf(error), { cause: error });
      return mode;
    }
  };
  return { ...host, NetworkMode: byId(host.NetworkMode, false), IpcMode: byId(host.IpcMode, true), PidMode: byId(host.PidMode, true) };
}

/** Paths of the namespaces to be joined. Whoever joins a namespace below a user namespace joins that one too. */
export function joinedSpaces({ table }: Needs, container: Container, remapped: boolean): Spaces {
  const { NetworkMode, IpcMode, PidMode } = container.hostConfig;
  const spaces: Spaces = {};
  const join = (kind: 'network' | 'ipc' | 'pid', other: Container) => {
    const folder = `/proc/${other.record.State.Pid}/ns`;
    spaces[kind] = `${folder}/${kind === 'network' ? 'net' : kind}`;
    if (remapped) spaces.user = `${folder}/user`;
  };
  const [network, ipc, pid] = [NetworkMode, IpcMode, PidMode].map(joinedName);
  if (network !== undefined) join('network', networkOf(table, container, network));
  if (ipc !== undefined) join('ipc', ipcOf(table, ipc));
  if (pid !== undefined) join('pid', pidOf(table, pid));
  return spaces;
}

function networkOf(table: ContainerNeeds['table'], container: Container, name: string): Container {
  const other = table.find(name);
  if (other === container) throw new EngineError('system', 'cannot join own network');
  if (!other.running) throw conflict(`cannot join network of a non running container: ${name}`);
  assertNotRestarting(other);
  return other;
}

function ipcOf(table: ContainerNeeds['table'], name: string): Container {
  const told = `can't join IPC of container ${name}`;
  const other = wrapped(told, () => { const found = table.find(name); assertRuns(found); return found; });
  if (other.record.ShmPath === '') throw new EngineError('system', `${told}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`);
  return other;
}

function pidOf(table: ContainerNeeds['table'], name: string): Container {
  const other = wrapped(`cannot join PID of a non running container: ${name}`, () => table.find(name));
  assertRuns(other);
  return other;
}

function assertRuns(other: Container): void {
  if (!other.running) throw new EngineError('system', `container ${other.id} is not running`);
  assertNotRestarting(other);
}

function assertNotRestarting(other: Container): void {
  if (other.state.status === 'restarting') throw conflict(`Container ${other.id} is restarting, wait until the container is running`);
}

function wrapped<T>(words: string, get: () => T): T {
  try { return get(); } catch (error) { throw new EngineError(kindOf(error), `${words}: ${messageOf(error)}`, { cause: error }); }
}

/**
 * What is to be seen at /dev/shm: the joined container's, the host's, or one of the container's own that others may join, which is
 * mounted here. '' when the container has a private one, or none, and nobody else can see it.
 */
export async function openShm(needs: Needs, container: Container): Promise<string> {
  const { IpcMode: mode, ShmSize: size } = container.hostConfig;
  const joined = joinedName(mode);
  if (joined !== undefined) return ipcOf(needs.table, joined).record.ShmPath;
  if (mode === 'host') {
    if (!needs.kernel.files.exists('/dev/shm')) throw new EngineError('system', '/dev/shm is not mounted, but must be for --ipc=host');
    return '/dev/shm';
  }
  if (mode !== 'shareable' && mode !== '') return ''; // records of old engines say nothing, and mean shareable
  if (isTaken(container, '/dev/shm')) return '';
  const path = await needs.store.containers.makeMountPoint(container.id, 'shm');
  if (!isMounted(needs, path)) {
    const { uid, gid } = hostRoot(needs.store.idMap);
    const flags = MOUNT_FLAGS.noExec | MOUNT_FLAGS.noSuid | MOUNT_FLAGS.noDev;
    needs.kernel.mounts.mount({ source: 'shm', target: path, fsType: 'tmpfs', flags, data: `mode=1777,size=${size},uid=${uid},gid=${gid}` });
  }
  return path;
}

const isTaken = ({ record, hostConfig }: Container, path: string): boolean =>
  record.MountPoints[path] !== undefined || hostConfig.Tmpfs?.[path] !== undefined || (hostConfig.Mounts ?? []).some((mount) => mount.Target === path);

/** Takes a container's own shared memory away; containers that joined it keep theirs. Fine when there is none. */
export function closeShm(needs: Pick<Needs, 'kernel' | 'store'>, { id }: { id: string }): void {
  const path = `${needs.store.containers.directory(id)}/mounts/shm`;
  while (isMounted(needs, path)) needs.kernel.mounts.unmount(path, { lazy: true });
}

/** The numbering of a container's users outside; undefined when they are the host's own. */
export const idMapOf = (needs: Pick<Needs, 'store'>, host: Pick<HostConfig, 'UsernsMode'>): IdMap | undefined => (host.UsernsMode === 'host' ? undefined : needs.store.idMap);
