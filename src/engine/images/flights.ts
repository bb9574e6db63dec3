// Layers on their way: whoever wants a layer that is under way joins it; when the last one leaves, it stops and leaves nothing.
import type { ChainId } from '../../oci/digest.ts';

export interface FlightEvents {
  status(status: string): void;
  /** `totalBytes` of what is really brought, which may be less than the layer. */
  moved(status: string, currentBytes: number, totalBytes: number): void;
}

interface Flight<T> { done: Promise<T>; abort: AbortController; listeners: Set<FlightEvents>; last: (to: FlightEvents) => void }
interface Joining<T> { signal: AbortSignal; fly: (events: FlightEvents, signal: AbortSignal) => Promise<T> }

/** `T` is what a flight tells of itself when it has landed. */
export class Flights<T = void> {
  #flights = new Map<ChainId, Flight<T>>();

  /**
   * Resolves when the layer is committed. `fly` is called unless the layer is on its way already; it is aborted when every
   * joined signal is. A leaver gets its own signal's reason at once, the work of the others goes on.
   */
  async join(chainId: ChainId, tell: FlightEvents, { signal, fly }: Joining<T>): Promise<T> {
    signal.throwIfAborted();
    const flight = this.#flights.get(chainId) ?? this.#begin(chainId, fly);
    flight.listeners.add(tell);
    flight.last(tell);
    const left = Promise.withResolvers<never>();
    const leave = () => {
      flight.listeners.delete(tell);
      if (flight.listeners.size === 0) {
        this.#forget(chainId, flight); // whoever comes from now on wants a flight of its own, not to fall with this one
        flight.abort.abort(signal.reason);
      }
      left.reject(signal.reason as Error);
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      // The last one to leave waits for the work to have stopped, so that its answer means "nothing is left".
      return await Promise.race([flight.done, left.promise]).catch(async (error: unknown) => {
        if (flight.abort.signal.aborted) await flight.done.catch(() => {});
        throw error;
      });
    } finally {
      signal.removeEventListener('abort', leave);
      flight.listeners.delete(tell);
    }
  }

  /** Resolves when the layer is no longer on its way: committed, or not on its way at all. Rejects as its work does. */
  async landed(chainId: ChainId): Promise<void> { await this.#flights.get(chainId)?.done; }

  /** Whether a layer is on its way. */
  has(chainId: ChainId): boolean { return this.#flights.has(chainId); }

  #begin(chainId: ChainId, fly: Joining<T>['fly']): Flight<T> {
    const abort = new AbortController();
    const listeners = new Set<FlightEvents>();
    const flight: Flight<T> = { abort, listeners, done: new Promise<never>(() => {}), last: () => {} };
    const events: FlightEvents = {
      status: (status) => { flight.last = (to) => to.status(status); for (const to of listeners) to.status(status); },
      moved: (status, bytes, total) => { flight.last = (to) => to.moved(status, bytes, total); for (const to of listeners) to.moved(status, bytes, total); },
    };
    this.#flights.set(chainId, flight);
    flight.done = fly(events, abort.signal).finally(() => this.#forget(chainId, flight));
    flight.done.catch(() => {}); // each joiner sees the error through its own await
    return flight;
  }

  #forget(chainId: ChainId, flight: Flight<T>): void {
    if (this.#flights.get(chainId) === flight) this.#flights.delete(chainId);
  }
}
