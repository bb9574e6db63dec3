// Which of a container's networks its default routes and its published ports go through; decided only from what it is connected to.
import type { NetworkRecord } from '../store/index.ts';
import type { Endpoint, EndpointWish } from './index.ts';

export interface Place { wish: EndpointWish; endpoint: Endpoint }

/** undefined: no way out in this family. */
export interface WayOut { ipv4: Place | undefined; ipv6: Place | undefined }

/**
 * As Docker decides it: never an internal network; the highest priority; then those with both families; then by name. Each family takes the first
 * that has a gateway of it.
 */
export function decideWayOut(places: Iterable<Place>): WayOut {
  const inOrder = [...places].filter(({ wish }) => !isClosed(wish.network)).sort(compare);
  return { ipv4: inOrder.find(({ endpoint }) => endpoint.gateway !== ''), ipv6: inOrder.find(({ endpoint }) => endpoint.ipv6Gateway !== '') };
}

/** A network that nothing leaves: made so, or a macvlan without a parent. */
export const isClosed = ({ Internal, Driver, Options }: NetworkRecord): boolean => Internal || (Driver === 'macvlan' && !Options['parent']);

function compare(a: Place, b: Place): number {
  const both = ({ endpoint }: Place) => Number(endpoint.gateway !== '' && endpoint.ipv6Gateway !== '');
  const [x, y] = [a.wish.network.Name, b.wish.network.Name];
  return b.wish.gwPriority - a.wish.gwPriority || both(b) - both(a) || (x < y ? -1 : x > y ? 1 : 0);
}
