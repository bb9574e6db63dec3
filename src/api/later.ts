// What this engine has not: Docker's cluster, which it answers for as an engine outside of any, and verbs of later releases.
import { EngineError, unavailable } from '../lib/errors.ts';
import type { Method, Route } from './routes.ts';

const METHODS: readonly Method[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'];
const CLUSTER = ['swarm', 'nodes', 'services', 'tasks', 'secrets', 'configs'] as const;
/** Clients tell an engine outside a cluster by this text. */
const NO_MANAGER = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
const NO_MEMBER = 'This node is not part of a swarm';

const LATER: ReadonlyArray<readonly [method: Method, path: string, what: string]> = [
  ['POST', '/build', 'building images'],
  ['GET', '/images/search', 'searching the public hub'],
];

export const laterRoutes = (): readonly Route[] => [
  { method: 'POST', path: '/swarm/leave', handle: async () => { throw unavailable(NO_MEMBER); } },
  ...CLUSTER.flatMap((noun) => METHODS.flatMap((method) => [`/${noun}`, `/${noun}/{rest*}`].map((path): Route => ({
    method, path, handle: async () => { throw unavailable(NO_MANAGER); },
  })))),
  // There is no build cache, so pruning it is done as soon as it is asked for; and no build that could be cancelled.
  { method: 'POST', path: '/build/prune', handle: async () => ({ status: 200, json: { CachesDeleted: null, SpaceReclaimed: 0 } }) },
  { method: 'POST', path: '/build/cancel', handle: async () => ({ status: 200 }) },
  ...LATER.map(([method, path, what]): Route => ({
    method, path, async handle() { throw new EngineError('not-implemented', `${what} is not part of this release`); },
  })),
];
