// Volumes: there are none yet, and the endpoints say so in the shapes that clients read.
import { EngineError, notFound } from '../lib/errors.ts';
import { required, type Route } from './routes.ts';

export const volumeRoutes = (): readonly Route[] => [
  { method: 'GET', path: '/volumes', async handle({ query }) {
      query.filters();
      return { status: 200, json: { Volumes: [], Warnings: null } };
  } },
  { method: 'POST', path: '/volumes/create', async handle() {
      throw new EngineError('not-implemented', 'cannot create a volume: volumes come with a later release; bind a directory of the host meanwhile');
  } },
  { method: 'POST', path: '/volumes/prune', async handle({ query }) {
      query.filters();
      return { status: 200, json: { VolumesDeleted: null, SpaceReclaimed: 0 } };
  } },
  { method: 'GET', path: '/volumes/{name}', async handle(request) { throw notFound(`get ${required(request, 'name')}: no such volume`); } },
  { method: 'DELETE', path: '/volumes/{name}', async handle(request) {
      if (request.query.flag('force')) return { status: 204 };
      throw notFound(`get ${required(request, 'name')}: no such volume`);
  } },
];
