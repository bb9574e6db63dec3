// The verb push: which images a name means, and what goes along with each.
import { invalid, notFound } from '../../lib/errors.ts';
import { Limiter } from '../../lib/lock.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { canonicalName, DEFAULT_TAG, familiarName, familiarString, parseReference, type Reference } from '../../oci/reference.ts';
import type { Events } from '../events.ts';
import type { TransferFace } from '../index.ts';
import { pushDeltas } from './push-deltas.ts';
import { pushImage, type Pushed, type PushingOptions } from './push-image.ts';
import type { PushLayerNeeds } from './push-layer.ts';

export interface PushNeeds extends PushLayerNeeds {
  events: Events;
  /** Layers sent at the same time, over all pushes. */
  maxConcurrentUploads: number;
}

export interface Pusher {
  push: TransferFace['push'];
  /** Pushes one image under `reference`, which has a tag. */
  pushImage(reference: Reference, config: ImageConfig, options: PushingOptions): Promise<Pushed>;
}

export function makePusher(needs: PushNeeds): Pusher {
  const slots = new Limiter(needs.maxConcurrentUploads);
  return {
    pushImage: (reference, config, options) => pushImage(needs, { reference, config, options, slots }),
    async push(name, options) {
      const reference = parseReference(name);
      options.onLine({ status: `The push refers to repository [${canonicalName(reference)}]` });
      for (const { tagged, config } of decidePushed(needs, reference, options.all)) {
        const pushed = await pushImage(needs, { reference: tagged, config, options, slots });
        if (options.deltas) await pushDeltas(needs, { reference: tagged, target: config, pushed, options });
      }
      needs.events.publish({ type: 'image', action: 'push', id: familiarString(reference), attributes: { name: familiarName(reference) } });
    },
  };
}

/** The images to push, by tag. Errors: not-found and invalid, in Docker's words. */
export function decidePushed({ store }: Pick<PushNeeds, 'store'>, reference: Reference, all: boolean): Array<{ tagged: Reference & { tag: string }; config: ImageConfig }> {
  if (reference.digest !== undefined) throw invalid('cannot push a digest reference');
  const name = familiarName(reference);
  const tags = [...store.names.all().keys()].filter((known) => !known.includes('@') && known.startsWith(`${name}:`) && !known.slice(name.length + 1).includes('/')).map((known) => known.slice(name.length + 1)).toSorted();
  if (tags.length === 0) throw notFound(`An image does not exist locally with the tag: ${name}`);
  const wanted = reference.tag === undefined && all ? tags : [reference.tag ?? DEFAULT_TAG];
  return wanted.map((tag) => {
    const tagged = { ...reference, tag };
    const id = store.names.get(familiarString(tagged));
    const config = id && store.images.get(id);
    if (!config) throw notFound(`tag does not exist: ${familiarString(tagged)}`);
    return { tagged, config };
  });
}
