// Layers that a verb reads for a while, whoever removes their images meanwhile.
import { messageOf } from '../../lib/errors.ts';
import type { Limiter } from '../../lib/lock.ts';
import type { Log } from '../../lib/log.ts';
import { chainIds, type ChainId, type DiffId } from '../../oci/digest.ts';
import type { StagedLayer, Store } from '../../store/index.ts';

/**
 * One at a time holds it: a removal or a prune from its look at the names to the end, and whoever gives an image a name from the look at the image,
 * or its record, to the name. Of two removals that each take a name and see the other's, neither would take the image; and one that has
 * seen no other name would take an image that has just been given one, behind the back of a pull that was told to have succeeded.
 */
export interface NamingTurn { turn: Limiter }

interface HeldNeeds { store: { images: Pick<Store['images'], 'get' | 'list'>; layers: Pick<Store['layers'], 'lease'>; collect(): Promise<unknown> }; log: Pick<Log, 'warn'> }

/**
 * A lease on layers, to which more can be added. What images that are removed meanwhile leave behind is collected when it is over: nobody
 * else would, and the disk is told to be free. Never fails; disposing of it twice does no harm.
 */
export function holdLayers({ store, log }: HeldNeeds, chain: readonly ChainId[]): AsyncDisposable & { add(chainId: ChainId): void } {
  const lease = store.layers.lease(chain);
  const before = store.images.list().map(({ id }) => id);
  let isOver = false;
  return {
    add: (chainId) => lease.add(chainId),
    async [Symbol.asyncDispose]() {
      if (isOver) return;
      isOver = true;
      lease[Symbol.dispose]();
      if (before.every((id) => store.images.get(id) !== undefined)) return;
      try { await store.collect(); } catch (error) { log.warn('layers that are not needed any more could not be removed', { error: messageOf(error) }); }
    },
  };
}

/** Commits a layer on those of `below`, the bottom first. It is leased before it is there: whoever waits to collect looks at it in the moment of its commit. */
export async function commitHeld(staged: Pick<StagedLayer, 'diffId' | 'commit'>, { below, lease }: { below: readonly DiffId[]; lease: { add(chainId: ChainId): void } }): Promise<void> {
  for (const chainId of chainIds([...below, staged.diffId]).slice(-1)) lease.add(chainId);
  await staged.commit();
}
