// Connections that the kernel tracks go on by the rules of their first packet: which of them are stale after rules have changed.
import type { NamedRule } from './rules.ts';

export interface StaleFlows { addresses: string[]; udpPorts: number[] }

const TARGET = /-j DNAT --to-destination (?:\[([0-9a-f:.]+)\]|([0-9.]+)):\d+$/;
const UDP_PORT = /-p udp -m udp --dport (\d+) -j DNAT/;

/**
 * Those that go to an address that gave up a port, and those of a client that never stops sending (udp) to a port that leads there since now. With tcp
 * the next connection goes right by itself.
 */
export function staleFlows({ gone, fresh }: { gone: readonly NamedRule[]; fresh: readonly NamedRule[] }): StaleFlows {
  const addresses = gone.flatMap(({ text }) => { const [, v6, v4] = TARGET.exec(text) ?? []; return v6 ?? v4 ?? []; });
  const udpPorts = fresh.flatMap(({ text }) => { const [, port] = UDP_PORT.exec(text) ?? []; return port === undefined ? [] : [Number(port)]; });
  return { addresses: [...new Set(addresses)], udpPorts: [...new Set(udpPorts)] };
}
