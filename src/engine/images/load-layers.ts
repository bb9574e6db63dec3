// The layers of an archive's images made of its files: checked, copied or applied out of sight, then committed bottom up, all or none.
import { assert, EngineError, invalid, kindOf, messageOf } from '../../lib/errors.ts';
import { chainIds, hexOf, type ChainId, type DiffId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import type { LayerDelta, StagedLayer, Store } from '../../store/index.ts';
import { decideDeltaSteps, type DeltaBase, type DeltaStep } from './delta-base.ts';
import type { Part, Parts } from './load-parts.ts';
import type { Archived } from './load-plan.ts';

/** What an image of the archive becomes: itself, or the target of a delta against `base`. */
export interface Wanted extends Pick<Archived, 'layers'> { target: ImageConfig; base: DeltaBase | undefined }

interface MakingNeeds { store: Store; parts: Parts; signal: AbortSignal; onLayer: (diffId: DiffId, sizeBytes: number) => void }

/** What is staged twice for one layer is needed once. */
interface Planned { parent: ChainId | undefined; staged: StagedLayer }

/** Disposing of it discards what was not committed. */
export class LayerMaking implements AsyncDisposable {
  readonly #needs: MakingNeeds;
  readonly #planned = new Map<ChainId, Planned>();
  readonly #used = new Set<StagedLayer>();

  constructor(needs: MakingNeeds) { this.#needs = needs; }

  /** Everything of the image that is not here is staged and is what its config says. The caller holds leases on the layers of image and base. */
  async add(image: Wanted): Promise<void> {
    const { layers } = this.#needs.store;
    const chain = chainIds(image.target.diffIds);
    const steps = image.base && decideDeltaSteps(layers, image.base, image.target);
    for (const [index, chainId] of chain.entries()) {
      if (layers.get(chainId) || this.#planned.has(chainId)) continue;
      const layer = { index, path: image.layers[index] ?? '', diffId: diffIdOf(image, index) };
      const staged = steps && image.base ? await this.#stageByDelta(layer, image.base, steps[index]) : await this.#stagePart(layer);
      this.#planned.set(chainId, { parent: chain[index - 1], staged });
    }
  }

  /** Whoever commits the same meanwhile does no harm. */
  async commit(): Promise<void> {
    for (const [chainId, { parent, staged }] of this.#planned) {
      this.#needs.signal.throwIfAborted();
      const layer = await staged.commit({ parent });
      assert(layer.chainId === chainId, `layer ${layer.chainId} was to be ${chainId}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { staged } of this.#planned.values()) await staged[Symbol.asyncDispose]();
  }

  async #stagePart(layer: Layer): Promise<StagedLayer> {
    const part = this.#part(layer);
    if (part.kind === 'bytes') return await checked(layer, this.#stage(layer, this.#needs.parts.tar(part), { diffId: undefined }));
    const has = part.kind === 'here' ? part.diffId : part.staged.diffId;
    if (has !== layer.diffId) throw wrongLayer(layer, has);
    if (part.kind === 'here' || this.#used.has(part.staged)) return await this.#stage(layer, this.#needs.parts.tar(part));
    this.#used.add(part.staged);
    return part.staged;
  }

  /** A layer that could be copied, but is damaged, or has been removed since, is made of the delta, where there is one. */
  async #stageByDelta(layer: Layer, base: DeltaBase, step: DeltaStep | undefined): Promise<StagedLayer> {
    assert(step && step.way !== 'here', `layer ${layer.index} is not here`);
    if (step.way === 'copy') {
      try {
        return await this.#stage(layer, step.from.tar(step.chainId));
      } catch (error) { if (step.common || !['corrupt', 'not-found'].includes(kindOf(error))) throw error; }
    }
    try {
      return await this.#stage(layer, this.#needs.parts.tar(this.#part(layer)), { diffId: layer.diffId, delta: { format: 'rsync', base: base.layers } });
    } catch (error) {
      const [, got] = /does not make the layer .* unpack to (sha256:[0-9a-f]{64})$/.exec(messageOf(error)) ?? [];
      throw got === undefined ? error : wrongLayer(layer, got, error); // as balenaEngine says it
    }
  }

  #part({ index, path }: Layer): Exclude<Part, { kind: 'unusable' }> {
    const part = this.#needs.parts.find(path);
    if (part === undefined) throw invalid(`open ${path}: no such file or directory in the archive`);
    if (part.kind === 'unusable') throw new EngineError(kindOf(part.error), `layer ${index} (${path}): ${messageOf(part.error)}`, { cause: part.error });
    return part;
  }

  async #stage(layer: Layer, source: AsyncIterable<Uint8Array>, options: { diffId: DiffId | undefined; delta?: LayerDelta } = { diffId: layer.diffId }): Promise<StagedLayer> {
    const { store, signal, onLayer } = this.#needs;
    let sizeBytes = 0;
    const counted = (async function* () { for await (const chunk of source) { sizeBytes += chunk.length; yield chunk; } })();
    const staged = await store.layers.stage({ ...options, parent: 'later', compression: 'none', source: counted, signal });
    onLayer(layer.diffId, sizeBytes);
    return staged;
  }
}

interface Layer { index: number; path: string; diffId: DiffId }

function diffIdOf({ target }: Wanted, index: number): DiffId {
  const diffId = target.diffIds[index];
  assert(diffId !== undefined, `a diffID for layer ${index}`);
  return diffId;
}

async function checked(layer: Layer, staging: Promise<StagedLayer>): Promise<StagedLayer> {
  const staged = await staging;
  if (staged.diffId === layer.diffId) return staged;
  await staged[Symbol.asyncDispose]();
  throw wrongLayer(layer, staged.diffId);
}

const wrongLayer = ({ index, diffId }: Layer, got: string, cause?: unknown) => invalid(`invalid diffID for layer ${index}: expected ${JSON.stringify(diffId)}, got ${JSON.stringify(got)}`, { cause });

/** As Docker shows a layer. */
export const shownLayer = (diffId: DiffId): string => hexOf(diffId).slice(0, 12);
