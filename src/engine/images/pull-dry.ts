// What a pull would do, told layer by layer, with nothing changed.
import { hexOf } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { familiarString } from '../../oci/reference.ts';
import { humanSize } from '../../wire/units.ts';
import type { PullNeeds, PullOf } from './pull-flight.ts';
import { comparison, waysOf, type LayerPlan, type Way } from './ways.ts';

/** The last line says what it would come to. */
export function tellDryRun({ store }: Pick<PullNeeds, 'store'>, pull: PullOf, { top, plan, isNew }: { top: Descriptor; plan: readonly LayerPlan[]; isNew: boolean }): void {
  const { reference, options } = pull;
  const found = pull.found();
  const brought = new Set<string>(); // what stands twice in an image is downloaded once
  const cost = { bytes: 0, whole: 0, deltas: 0 };
  for (const layer of plan) {
    const way = store.layers.get(layer.chainId) ? undefined : waysOf(layer, { twin: found.get(layer.diffId), isKept: store.layers.kept.has(layer.diffId) })[0];
    const isSecond = brought.has(layer.diffId);
    options.onLine({ status: isSecond && way ? 'Would be copied' : textOf(way, layer), progressDetail: {}, id: hexOf(layer.listed.digest).slice(0, 12) });
    if (!way || isSecond) continue;
    brought.add(layer.diffId);
    if (way.by === 'copy' || way.by === 'kept') continue;
    if (way.by === 'delta') cost.deltas++;
    cost.bytes += bytesOf(way, layer);
    cost.whole += layer.whole === 'search' ? 0 : layer.whole.size;
  }
  const shown = familiarString(reference);
  const total = cost.deltas > 0 && cost.whole > 0 ? comparison(cost.bytes, cost.whole) : humanSize(cost.bytes);
  options.onLine({ status: `Digest: ${top.digest}` });
  options.onLine({ status: isNew ? `Status: Would download ${total} for ${shown}` : `Status: Image is up to date for ${shown}` });
}

const bytesOf = (way: Way, layer: LayerPlan): number => (way.by === 'delta' ? way.offer.blob.size : way.by === 'whole' ? way.blob.size : layer.listed.size);

function textOf(way: Way | undefined, layer: LayerPlan): string {
  switch (way?.by) {
    case undefined: return 'Already exists';
    case 'kept': return 'Already downloaded';
    case 'copy': return 'Would be copied';
    case 'delta': return layer.whole === 'search' ? `Would be made by a delta of ${humanSize(way.offer.blob.size)}` : `Would be made by a delta of ${humanSize(way.offer.blob.size)} instead of ${humanSize(layer.whole.size)}`;
    case 'whole': return `Would be downloaded: ${humanSize(way.blob.size)}`;
    case 'search': return 'Would be looked for';
  }
}
