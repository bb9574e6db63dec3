// Layers on their way: whoever wants a layer that is under way joins it; when the last one leaves, it stops and leaves nothing.
import type { ChainId } from '../../oci/digest.ts';

export interface FlightEvents { status(status: string): void; moved(status: string, currentBytes: number): void }

interface Flight { done: Promise<void>; abort: AbortController; listeners: Set<FlightEvents>; last: (to: FlightEvents) => void }

export class Flights {
  #flights = new Map<ChainId, Flight>();

  /**
   * Resolves when the layer is committed. `fly` is called unless the layer is on its way already; it is aborted when every
   * joined signal is. A leaver gets its own signal's reason at once, the work of the others goes on.
   */
  async join(chainId: ChainId, tell: FlightEvents, { signal, fly }: { signal: AbortSignal; fly: (events: FlightEvents, signal: AbortSignal) => Promise<void> }): Promise<void> {
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
      await Promise.race([flight.done, left.promise]).catch(async (error: unknown) => {
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

  #begin(chainId: ChainId, fly: (events: FlightEvents, signal: AbortSignal) => Promise<void>): Flight {
    const abort = new AbortController();
    const listeners = new Set<FlightEvents>();
    const flight: Flight = { abort, listeners, done: Promise.resolve(), last: () => {} };
    const events: FlightEvents = {
      status: (status) => { flight.last = (to) => to.status(status); for (const to of listeners) to.status(status); },
      moved: (status, bytes) => { flight.last = (to) => to.moved(status, bytes); for (const to of listeners) to.moved(status, bytes); },
    };
    this.#flights.set(chainId, flight);
    flight.done = fly(events, abort.signal).finally(() => this.#forget(chainId, flight));
    flight.done.catch(() => {}); // each joiner sees the error through its own await
    return flight;
  }

  #forget(chainId: ChainId, flight: Flight): void {
    if (this.#flights.get(chainId) === flight) this.#flights.delete(chainId);
  }
}
