// What the store knows about layers while it is open: the committed, the staged, the active, and who needs them.
import { assert } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import type { ChainId } from '../oci/digest.ts';
import type { LayerInfo } from './index.ts';

export interface LayerRecord extends LayerInfo { link: string }

export interface StagedRecord { chainId: ChainId; parent: ChainId | undefined; link: string }

/** Writable snapshot of a container. */
export interface ActiveRecord {
  containerId: string;
  mountId: string;
  link: string;
  init: { id: string; link: string } | undefined;
  parent: ChainId | undefined;
}

export class LayerState {
  readonly layers = new Map<ChainId, LayerRecord>();
  readonly actives = new Map<string, ActiveRecord>();
  readonly staged = new Set<StagedRecord>();
  /** Whoever makes a layer visible or invisible holds it; waiting is short, since nothing is extracted or erased meanwhile. */
  readonly #gate = new KeyedLock();
  readonly #leases = new Map<ChainId, number>();

  async exclusively<T>(change: () => Promise<T>): Promise<T> {
    using _guard = await this.#gate.hold('layers');
    return await change();
  }

  /** Counts one more need for the layers until disposed of; more can be added to it. */
  lease(chainIds: readonly ChainId[]): Disposable & { add(chainId: ChainId): void } {
    const held: ChainId[] = [];
    let over = false;
    const add = (chainId: ChainId) => {
      assert(!over, 'lease used after it was given back');
      held.push(chainId);
      this.#leases.set(chainId, (this.#leases.get(chainId) ?? 0) + 1);
    };
    chainIds.forEach(add);
    return {
      add,
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        for (const chainId of held) {
          const left = (this.#leases.get(chainId) ?? 1) - 1;
          if (left > 0) this.#leases.set(chainId, left);
          else this.#leases.delete(chainId);
        }
      },
    };
  }

  leased(): Iterable<ChainId> { return this.#leases.keys(); }

  /** A layer and everything below it, nearest first; undefined when one of them is not committed. */
  chain(top: ChainId | undefined): LayerRecord[] | undefined {
    const chain: LayerRecord[] = [];
    for (let at = top; at !== undefined;) {
      const layer = this.layers.get(at);
      if (!layer) return undefined;
      chain.push(layer);
      at = layer.parent;
    }
    return chain;
  }

  /** Links from `top` down, nearest first, also through layers that are only staged; undefined while one is unknown. */
  links(top: ChainId | undefined): string[] | undefined {
    const links: string[] = [];
    for (let at = top; at !== undefined;) {
      const layer = this.layers.get(at) ?? this.#stagedAs(at);
      if (!layer) return undefined;
      links.push(layer.link);
      at = layer.parent;
    }
    return links;
  }

  #stagedAs(chainId: ChainId): StagedRecord | undefined {
    for (const staged of this.staged) if (staged.chainId === chainId) return staged;
    return undefined;
  }
}
