// The addresses of one subnet: which are given, which may be given next, and Docker's words for those that cannot be had.
import { EngineError, invalid } from '../../lib/errors.ts';
import { formatSubnet, holds, lastOf, parseCidr, type Address, type Subnet } from './cidr.ts';
import { Spans } from './spans.ts';

/** Part of a subnet that addresses are chosen from, both ends included. */
export interface Range { first: bigint; last: bigint }

export class Space {
  readonly subnet: Subnet;
  #used = new Spans();

  constructor(subnet: Subnet) {
    this.subnet = subnet;
    this.#used.add(subnet.base);
    if (subnet.family === 4) this.#used.add(lastOf(subnet)); // IPv6 has no broadcast
  }

  /** Takes the address that is wanted, or the lowest free one of the range. Errors: invalid (not in the subnet), forbidden (in use), system (none is left). */
  take(wanted: Address | undefined, range: Range): Address {
    if (wanted && !holds(this.subnet, wanted)) throw invalid('Requested address is out of range');
    const lowest = wanted ? this.#lowestFree() : this.#used.lowestFree(range.first, range.last);
    if (lowest === undefined) throw new EngineError('system', NONE_LEFT);
    const value = wanted?.value ?? lowest;
    if (this.#used.has(value)) throw new EngineError('forbidden', 'Address already in use');
    this.#used.add(value);
    return { family: this.subnet.family, value };
  }

  /** Holds an address whoever has it already; false when somebody has. */
  hold(value: bigint): boolean {
    if (this.#used.has(value)) return false;
    this.#used.add(value);
    return true;
  }

  give(value: bigint): void { this.#used.delete(value); }

  #lowestFree(): bigint | undefined { return this.#used.lowestFree(this.subnet.base, lastOf(this.subnet)); }
}

export const NONE_LEFT = 'No available addresses on this pool';

/**
 * The range that an --ip-range stands for, as Docker takes it: its host part, wherever the range itself lies. One that is as wide as the
 * subnet, or wider, is all of it. undefined when it is none, or of the other family.
 */
export function narrowed(subnet: Subnet, range: string): Subnet | undefined {
  const asked = parseCidr(range)?.subnet;
  if (!asked || asked.family !== subnet.family) return undefined;
  if (asked.prefix <= subnet.prefix) return subnet;
  return { ...asked, base: subnet.base | asked.base & lastOf(subnet) - subnet.base };
}

export const rangeOf = (subnet: Subnet): Range => ({ first: subnet.base, last: lastOf(subnet) });

/** A subnet of a record: it was written by us, so anything else is a bug or a damaged file. */
export function recordedSubnet(text: string): Subnet {
  const parsed = parseCidr(text);
  if (!parsed || formatSubnet(parsed.subnet) !== text) throw new EngineError('corrupt', `the record of a network has the subnet ${JSON.stringify(text)}`);
  return parsed.subnet;
}
