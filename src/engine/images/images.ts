// The verbs on images, put together from their parts.
import { formatNanos } from '../../lib/clock.ts';
import { nameToTag, parseReference, withDefaultTag } from '../../oci/reference.ts';
import type { ImagesFace } from '../index.ts';
import { createDelta, deltasOf, removeDeltas, type DeltaNeeds } from './delta.ts';
import { findImage } from './find.ts';
import { makeLoad, type LoadNeeds } from './load.ts';
import { publishDeltas } from './publish.ts';
import { makePull, type PullNeeds } from './pull.ts';
import { makePusher, type PushNeeds } from './push.ts';
import { pruneImages, removeImage, type RemoveNeeds } from './remove.ts';
import { makeSave } from './save.ts';
import { historyOf, listImages, viewImage } from './view.ts';

export function openImages(needs: PullNeeds & PushNeeds & RemoveNeeds & DeltaNeeds & LoadNeeds): ImagesFace {
  const { store, registry, events, turn } = needs;
  const usersOf = (id: string) => needs.users(id as Parameters<RemoveNeeds['users']>[0]).length;
  const pull = makePull(needs);
  const pusher = makePusher(needs);
  const delta: ImagesFace['delta'] = (options) => createDelta(needs, options);
  return {
    pull,
    push: (name, options) => pusher.push(name, options),
    publishDeltas: (target, options) => publishDeltas({ ...needs, pull, delta, pusher }, target, options),
    list: async (options) => listImages(store, { ...options, usersOf, clock: needs.clock }),
    inspect: async (name) => {
      const { config } = findImage(store, name);
      return viewImage(store, config, usersOf(config.id));
    },
    history: async (name) => historyOf(store, findImage(store, name).config),
    async tag(name, { repo, tag }) {
      using _turn = await turn.hold(); // or it would name what a removal is about to take
      const { config } = findImage(store, name);
      const familiar = nameToTag(repo, tag);
      await store.images.tagged(config.id, formatNanos(needs.clock.nowNanos()));
      await store.names.update({ set: [[familiar, config.id]] });
      events.publish({ type: 'image', action: 'tag', id: config.id, attributes: { ...config.config.Labels, name: familiar } });
    },
    remove: (name, options) => removeImage(needs, name, options),
    prune: ({ filters }) => pruneImages(needs, filters),
    save: makeSave(needs),
    load: makeLoad(needs),
    delta,
    deltas: (name) => deltasOf(store, name),
    removeDeltas: (name, { base }) => removeDeltas(store, name, base),
    async login(auth, { signal }) {
      return { status: 'Login Succeeded', identityToken: await registry.login(auth, { signal }) };
    },
    async distribution(name, { auth, signal }) {
      const { top, platforms } = await registry.inspect(withDefaultTag(parseReference(name)), { auth, signal });
      return { descriptor: top, platforms };
    },
  };
}
