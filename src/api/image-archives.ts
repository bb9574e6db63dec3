// Images as archives: sent out as one tar, taken in from one.
import type { ImagesFace } from '../engine/index.ts';
import { progressAnswer } from './progress.ts';
import { required, type ApiRequest, type Route } from './routes.ts';

export const archiveRoutes = (images: Pick<ImagesFace, 'save' | 'load'>): readonly Route[] => [
  { method: 'GET', path: '/images/get', handle: (request) => saved(images, request.query.all('names'), request) },
  { method: 'GET', path: '/images/{name*}/get', handle: (request) => saved(images, [required(request, 'name')], request) },
  { method: 'POST', path: '/images/load', handle({ body, query, signal }) {
      const quiet = query.flag('quiet', true);
      const { all, rest } = readTwice(body);
      // As with Docker the status says nothing. Clients listen for an answer once they have sent everything: what is left is read, whatever went wrong.
      return progressAnswer((onLine) => images.load(all, { signal, quiet, onLine }), { atOnce: true, last: rest });
  } },
];

async function saved(images: Pick<ImagesFace, 'save'>, names: readonly string[], { signal }: ApiRequest) {
  return { status: 200, contentType: 'application/x-tar', stream: await images.save(names, { signal }) };
}

/** The body for one who may leave off in the middle, and what reads it to its end then. */
function readTwice(body: AsyncIterable<Uint8Array>): { all: AsyncIterable<Uint8Array>; rest: () => Promise<void> } {
  const chunks = body[Symbol.asyncIterator]();
  return {
    all: { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) },
    async rest() {
      try { while ((await chunks.next()).done !== true) { /* nobody wants it */ } } catch { /* gone, and so is whoever would be told */ }
    },
  };
}
