// start: mount → files → bundle → task, each with its undo; the record and the event last.
import { formatNanos } from '../../lib/clock.ts';
import { assert, EngineError, invalid, messageOf } from '../../lib/errors.ts';
import type { ContainerRecord, OverlayMount } from '../../store/index.ts';
import type { CreatedTask, Security } from '../../runtime/index.ts';
import type { ContainerConfig, HostConfig } from '../../wire/types.ts';
import type { Container } from './container.ts';
import { beginHealth, decidePlan } from './health.ts';
import { KeptConsole } from './kept.ts';
import { logSubject } from './log.ts';
import { knownLinks, linkEnvironment, linkedBy, liveLinks } from './links.ts';
import { leaveMounts, readyMounts } from './mounts.ts';
import { closeShm, idMapOf, joinedSpaces, openShm } from './namespaces.ts';
import { isMounted, publish, type ContainerNeeds } from './needs.ts';
import { followLink, ownFiles } from './own-files.ts';
import { decideCgroup, withDefaultUlimits } from './placement.ts';
import { lateSysctls, prepareNetwork, publishNetwork, type RunNetwork } from './run-network.ts';
import { unstageMounts } from './staged-mounts.ts';
import { assertStartable } from './state.ts';
import { BARE } from './validate-shared.ts';

/** Exit codes of a program that could not be run, as shells and Docker use them. */
const CODE_NOT_FOUND = 127;
const CODE_NOT_EXECUTABLE = 126;
const CODE_FAILED = 128;

/** Runs the container's program. The caller holds the container's lock. Errors leave the container as it was, with State.Error set. */
export async function startContainer(needs: ContainerNeeds, container: Container, signal?: AbortSignal): Promise<void> {
  assertStartable(container.state);
  signal?.throwIfAborted();
  try {
    await run(needs, container);
  } catch (error) {
    if (error instanceof EngineError && error.kind === 'not-modified') throw error;
    await recordFailure(needs, container, error);
    throw error;
  }
}

async function run(needs: ContainerNeeds, container: Container): Promise<void> {
  const { runtime } = needs;
  if (container.hostConfig.Runtime === BARE) throw invalid(`container ${container.id} has the runtime "${BARE}": it is a file system for other programs and is never started`);
  await using undo = new AsyncDisposableStack();
  const overlay = needs.store.layers.active(container.id);
  if (!overlay) throw new EngineError('corrupt', `container ${container.id}: its writable layer is missing; remove the container and create it anew`);
  await runtime.delete(container.id); // what an earlier run may have left
  shareHostName(needs, container);
  mountOverlay(needs, overlay, container.record.MountLabel);
  undo.defer(() => unmountOverlay(needs, container));
  undo.defer(() => leaveMounts(needs, container));
  const idMap = idMapOf(needs, container.hostConfig);
  const joinNamespaces = joinedSpaces(needs, container, idMap !== undefined);
  const shmPath = await openShm(needs, container);
  container.record = { ...container.record, ShmPath: shmPath };
  const links = liveLinks(needs.table, container);
  const network = undo.use(await needs.metrics.timed('allocate', () => prepareNetwork(needs, container, links)));
  const spec = await runtime.bundleOf({
    id: container.id,
    config: withVariables(container.record.Config, linkEnvironment(links, container.name)),
    hostConfig: withDefaultUlimits(network.sandbox ? withoutLateSysctls(container.hostConfig) : container.hostConfig, needs.defaults.resources.ulimits),
    argv: [container.record.Path, ...container.record.Args],
    rootfs: overlay.mergedDir,
    hostname: container.record.Config.Hostname,
    mounts: await readyMounts(needs, container, await ownFiles(needs, container, { sandbox: network.sandbox, links })),
    cgroupPath: decideCgroup(container.id, { driver: runtime.facts.cgroupDriver, parent: container.hostConfig.CgroupParent || needs.defaults.resources.cgroupParent }),
    joinNamespaces, idMap, shmPath: shmPath || undefined, security: securityOf(container.record),
  });
  const log = await needs.logs.prepare(logSubject(needs, container));
  undo.defer(() => needs.logs.ended(container.id));
  container.record = { ...container.record, LogPath: container.hostConfig.LogConfig.Type === 'json-file' ? log.path ?? '' : '' };
  const task = await runtime.create({
    id: container.id, runtime: container.hostConfig.Runtime, spec, tty: container.record.Config.Tty, stdin: container.stdin,
    logPath: log.path, logMaxBytes: log.maxBytes,
  });
  undo.defer(() => task.discard());
  unstageMounts(needs, container);
  assert(task.pid > 1, `task of ${container.id} has pid ${task.pid}`);
  await launch(needs, container, { task, network });
  undo.move();
}

/** Clients that wait are connected before the program runs, so that they miss nothing. */
async function launch(needs: ContainerNeeds, container: Container, { task, network }: { task: CreatedTask; network: RunNetwork }): Promise<void> {
  for (const pending of container.pending) {
    const console = await needs.runtime.attach(container.id);
    container.pending.delete(pending);
    if (!pending.give(console)) container.kept.keep(new KeptConsole(console)); // its end could be taken for the end of stdin
  }
  const started = { ...container.record, NetworkSettings: network.settings(task.pid), HasBeenStartedBefore: true, HasBeenManuallyStopped: false };
  started.State = {
    ...container.record.State, Running: true, Paused: false, Restarting: false, OOMKilled: false, Pid: task.pid, ExitCode: 0, Error: '',
    StartedAt: formatNanos(needs.clock.nowNanos()), Health: beginHealth(decidePlan(container.record.Config), container.record.State.Health),
  };
  // On disk before the program runs: a daemon that dies in between finds a task that it knows of.
  await settled(needs.store.containers.save(started, { durable: false }), needs.metrics.timed('connect', async () => network.sandbox?.attach(task.pid)));
  await task.start();
  container.record = started;
  container.stopRequested = false;
  network.settle();
  for (const { network: { Name: name, Id: id } } of network.places) publishNetwork(needs, container, { action: 'connect', name, id });
  await tellLinked(needs, container);
  publish(needs, container, { action: 'start' });
  needs.health.follow(container);
}

/** At once, and each to its end: an undo must not meet one that is still at it. */
async function settled(...work: ReadonlyArray<Promise<void>>): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** Who links to it finds it where it is now. */
async function tellLinked(needs: ContainerNeeds, container: Container): Promise<void> {
  for (const other of linkedBy(needs.table, container)) {
    try {
      for (const link of knownLinks(needs.table, other)) if (link.name === container.name) await followLink(needs, other, { alias: link.alias, link });
    } catch (error) {
      needs.log.error('a container does not know where another one that it links to is now', { container: other.id, link: container.name, error });
    }
  }
}

/** Of links, behind which the container's own stand. */
const withVariables = (config: ContainerConfig, variables: readonly string[]): ContainerConfig => (variables.length > 0 ? { ...config, Env: [...variables, ...config.Env ?? []] } : config);

function withoutLateSysctls(host: HostConfig): HostConfig {
  const late = lateSysctls(host.Sysctls);
  return host.Sysctls ? { ...host, Sysctls: Object.fromEntries(Object.entries(host.Sysctls).filter(([name]) => !(name in late))) } : host;
}

/** What the record says of a program that could not be run. */
async function recordFailure(needs: ContainerNeeds, container: Container, error: unknown): Promise<void> {
  const message = messageOf(error);
  const code = failureCode(message, container.record.Path);
  container.record = {
    ...container.record,
    State: { ...container.record.State, Running: false, Restarting: false, Pid: 0, ExitCode: code === CODE_FAILED ? container.record.State.ExitCode || code : code, Error: message },
  };
  await needs.store.containers.save(container.record, { durable: false });
  for (const pending of container.pending) pending.give(undefined);
  container.pending.clear();
  container.announceExit({ exitCode: container.record.State.ExitCode, error: message });
}

/** `program`: of what else a message says that it is not there, nothing could be run either, but it is not the program that is missing. */
export function failureCode(message: string, program = ''): number {
  if (/executable file not found|no such file or directory/i.test(message) && message.includes(program)) return CODE_NOT_FOUND;
  if (/permission denied|not a directory|exec format error/i.test(message)) return CODE_NOT_EXECUTABLE;
  return CODE_FAILED;
}

/** `label`: what SELinux shall take every file in it for; '' for its own labels. */
export function mountOverlay(needs: Pick<ContainerNeeds, 'kernel'>, overlay: OverlayMount, label = ''): void {
  if (isMounted(needs, overlay.mergedDir)) return;
  needs.kernel.mounts.mount({ source: 'overlay', target: overlay.mergedDir, fsType: 'overlay', data: label === '' ? overlay.data : `${overlay.data},context="${label}"`, ...(overlay.cwd === undefined ? {} : { cwd: overlay.cwd }) });
}

/** Unmounts a container's file system; fine when it is not mounted. */
export function unmountOverlay(needs: Pick<ContainerNeeds, 'kernel' | 'store'>, { id }: { id: string }): void {
  closeShm(needs, { id });
  const overlay = needs.store.layers.active(id);
  if (!overlay) return;
  while (isMounted(needs, overlay.mergedDir)) needs.kernel.mounts.unmount(overlay.mergedDir, { lazy: true });
}

/** Who joins the network of another is called by its name. */
function shareHostName(needs: ContainerNeeds, container: Container): void {
  const mode = container.hostConfig.NetworkMode;
  if (!mode.startsWith('container:')) return;
  const { Hostname, Domainname } = needs.table.find(mode.slice('container:'.length)).record.Config;
  container.record = { ...container.record, Config: { ...container.record.Config, Hostname, Domainname } };
}

function securityOf({ NoNewPrivileges, SeccompProfile, AppArmorProfile, ProcessLabel, MountLabel }: ContainerRecord): Security {
  return { noNewPrivileges: NoNewPrivileges, seccompProfile: SeccompProfile, apparmorProfile: AppArmorProfile, processLabel: ProcessLabel, mountLabel: MountLabel };
}
