// update: limits and restart policy of a container that is there already, in the record and in the kernel, or in neither.
import { availableParallelism } from 'node:os';
import { conflict, EngineError, messageOf } from '../../lib/errors.ts';
import type { HostConfig, UpdateBody } from '../../wire/types.ts';
import type { Container } from './container.ts';
import { completeHostConfig } from './defaults.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { decideResources } from './resource-rules.ts';
import { validateRestartPolicy } from './validate.ts';

/** Fields that say nothing when they are zero or empty. */
const CHANGEABLE = [
  'BlkioWeight', 'CpuShares', 'NanoCpus', 'CpuPeriod', 'CpuQuota', 'CpusetCpus', 'CpusetMems', 'MemorySwap', 'MemoryReservation', 'KernelMemory', 'CpuRealtimePeriod', 'CpuRealtimeRuntime',
] as const satisfies ReadonlyArray<keyof HostConfig>;

/** Error: invalid or conflict for what cannot be, system when the kernel refuses; nothing has changed then. */
export async function updateContainer(needs: ContainerNeeds, container: Container, body: UpdateBody): Promise<{ warnings: string[] }> {
  const { abilities, cgroupVersion } = needs.runtime.facts;
  // A swap limit is not completed here: what was not said stays as it is.
  const wished = { ...completeHostConfig({ ...body, RestartPolicy: body.RestartPolicy ?? { Name: '', MaximumRetryCount: 0 } }, { cgroupVersion }), MemorySwap: body.MemorySwap ?? 0 };
  const { host: wanted, warnings } = decideResources(wished, { can: abilities, cpus: availableParallelism(), update: true });
  if (body.RestartPolicy?.Name) validateRestartPolicy(body.RestartPolicy);
  using _lock = await needs.table.hold(container);
  try {
    await apply(needs, container, mergeUpdate(container.hostConfig, { wanted, body }));
  } catch (cause) {
    const kind = cause instanceof EngineError ? cause.kind : 'system';
    throw new EngineError(kind, `Cannot update container ${container.id}: ${messageOf(cause)}`, { cause });
  }
  publish(needs, container, { action: 'update' });
  return { warnings };
}

/** What a container is to be after an update. Pure. Error: conflict, where what is asked for does not go with what is there. */
export function mergeUpdate(now: HostConfig, { wanted, body }: { wanted: HostConfig; body: UpdateBody }): HostConfig {
  if (wanted.NanoCpus > 0 && now.CpuPeriod > 0) throw conflict('Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set');
  if (wanted.NanoCpus > 0 && now.CpuQuota > 0) throw conflict('Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set');
  if (wanted.CpuPeriod > 0 && now.NanoCpus > 0) throw conflict('Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set');
  if (wanted.CpuQuota > 0 && now.NanoCpus > 0) throw conflict('Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set');
  if (wanted.Memory !== 0 && wanted.Memory > now.MemorySwap && wanted.MemorySwap === 0) {
    throw conflict('Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time');
  }
  const next: HostConfig = { ...now, ...Object.fromEntries(CHANGEABLE.filter((field) => wanted[field]).map((field) => [field, wanted[field]])) };
  if (wanted.Memory !== 0) next.Memory = wanted.Memory;
  // Zero and every number below mean no limit, and are kept as zero.
  if (typeof body.PidsLimit === 'number') next.PidsLimit = wanted.PidsLimit ?? 0;
  const policy = body.RestartPolicy;
  if (policy?.Name) {
    if (now.AutoRemove && policy.Name !== 'no') throw conflict('Restart policy cannot be updated because AutoRemove is enabled for the container');
    next.RestartPolicy = { Name: policy.Name, MaximumRetryCount: policy.MaximumRetryCount };
  }
  return next;
}

/** Under the lock. The kernel first: a record never claims limits that could not be had. */
async function apply(needs: ContainerNeeds, container: Container, next: HostConfig): Promise<void> {
  if (container.state.status === 'removing') throw conflict('container is marked for removal and cannot be "update"');
  const lives = container.running && container.state.status !== 'restarting';
  const changed = lives && limitsDiffer(container.hostConfig, next) ? await needs.runtime.update(container.id, next) : undefined;
  try {
    await needs.store.containers.saveHostConfig(container.id, next);
  } catch (error) {
    changed?.undo();
    throw error;
  }
  container.hostConfig = next;
}

const limitsDiffer = (now: HostConfig, next: HostConfig): boolean =>
  (['Memory', 'PidsLimit', ...CHANGEABLE] as const).some((field) => now[field] !== next[field]);
