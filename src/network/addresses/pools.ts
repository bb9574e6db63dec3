// Where the subnets of networks come from that ask for none: pools cut into subnets of one size, given out in turn.
import { invalid } from '../../lib/errors.ts';
import { bitsOf, lastOf, overlap, parseCidr, sizeOf, type Family, type Subnet } from './cidr.ts';

/** Docker's own, in its order: fifteen subnets of /16, then sixteen of /20. Measured with dockerd 20.10. */
const DOCKER_POOLS = [
  { base: '172.17.0.0/16', size: 16 }, { base: '172.18.0.0/15', size: 16 }, { base: '172.20.0.0/14', size: 16 }, { base: '172.24.0.0/13', size: 16 },
  { base: '192.168.0.0/16', size: 20 },
];

/** A pool is never written out: one of 10.0.0.0/8 in /30 has four million subnets. */
interface Pool { base: Subnet; size: number }

export class AddressPools {
  readonly #pools: readonly Pool[];
  /** What was given last, by family: the next one is looked for behind it, so that a subnet that was given back is not the next one given. */
  #last = new Map<Family, { pool: number; base: bigint }>();

  /** Empty: Docker's own. Error: invalid, in Docker's words. */
  constructor(pools: ReadonlyArray<{ base: string; size: number }>) {
    this.#pools = (pools.length > 0 ? pools : DOCKER_POOLS).map(poolOf);
  }

  /** The next subnet that overlaps none of `taken`; undefined when there is none. It is not reserved: whoever takes it says so by `taken`. */
  next(family: Family, taken: readonly Subnet[]): Subnet | undefined {
    const blocked = taken.filter((one) => one.family === family);
    for (const { pool, from, to } of this.#round(family)) {
      const { base, size } = this.#at(pool);
      const free = base.family === family ? firstFree({ family, base: from, prefix: size }, to, blocked) : undefined;
      if (!free) continue;
      this.#last.set(family, { pool, base: free.base });
      return free;
    }
    return undefined;
  }

  /** All pools once, beginning behind what was given last; its own pool comes twice, in two parts. */
  #round(family: Family): Array<{ pool: number; from: bigint; to: bigint }> {
    const whole = this.#pools.map(({ base }, pool) => ({ pool, from: base.base, to: lastOf(base) }));
    const last = this.#last.get(family);
    const own = last && whole[last.pool];
    if (!last || !own) return whole;
    const behind = last.base + sizeOf({ family, base: last.base, prefix: this.#at(last.pool).size });
    return [{ ...own, from: behind }, ...whole.slice(last.pool + 1), ...whole.slice(0, last.pool), { ...own, to: behind - 1n }];
  }

  #at(index: number): Pool {
    const pool = this.#pools[index];
    if (!pool) throw new Error(`no address pool ${index}`);
    return pool;
  }
}

function poolOf({ base, size }: { base: string; size: number }): Pool {
  const subnet = parseCidr(base)?.subnet;
  if (!subnet) throw invalid(`invalid base pool ${JSON.stringify(base)}: invalid CIDR address: ${base}`);
  if (!Number.isInteger(size) || size < Math.max(subnet.prefix, 1) || size > bitsOf(subnet.family)) throw invalid(`invalid pools size: ${size}`);
  return { base: subnet, size };
}

/** The first subnet from `first` on that overlaps nothing and ends by `to`. What is in the way is leapt over at once, however large it is. */
function firstFree(first: Subnet, to: bigint, blocked: readonly Subnet[]): Subnet | undefined {
  const step = sizeOf(first);
  for (let at = first.base; at + step - 1n <= to;) {
    const candidate = { ...first, base: at };
    const hit = blocked.find((one) => overlap(one, candidate));
    if (!hit) return candidate;
    at = lastOf(hit) < at + step ? at + step : lastOf(hit) + 1n; // a larger hit ends where one of our steps begins: both are powers of two
  }
  return undefined;
}
