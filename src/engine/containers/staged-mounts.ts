// Binds that the runtime cannot be told of, made by us under the container's folder for the time of its making: a part of a volume, found
// without leaving it, and a directory without what is mounted below (crun 1.8 always takes that along).
import { EngineError, errnoOf, messageOf } from '../../lib/errors.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';

type Needs = Pick<ContainerNeeds, 'kernel' | 'store' | 'log'>;

const PREFIX = 'mounts/at-';

/** Where the runtime finds it until `unstageMounts`. */
export function stageMount(needs: Needs, container: Container, what: { root: string; path: string; recursive: boolean }): string {
  const { mounts } = needs.kernel;
  const folder = `${needs.store.containers.directory(container.id)}/${PREFIX}`;
  const taken = mounts.list().filter(({ target }) => target.startsWith(folder)).length;
  const target = `${folder}${taken}`;
  try {
    mounts.bindFrom(what.root, what.path, { target, recursive: what.recursive });
  } catch (cause) {
    const why = errnoOf(cause) === 'ENOENT' ? 'no such file or directory' : messageOf(cause);
    throw new EngineError('system', `cannot mount ${what.path} of ${what.root}: ${why}`, { cause });
  }
  return target;
}

/** Once the runtime has them, and for those that an earlier daemon left: they would hold on to what they show. */
export function unstageMounts({ kernel, store, log }: Needs, { id }: { id: string }): void {
  const folder = `${store.containers.directory(id)}/${PREFIX}`;
  for (const { target } of kernel.mounts.list().filter((mount) => mount.target.startsWith(folder)).toReversed()) {
    try { kernel.mounts.unmount(target, { lazy: true }); } catch (error) { log.warn('could not unmount what a start had staged', { container: id, target, error }); }
  }
}
