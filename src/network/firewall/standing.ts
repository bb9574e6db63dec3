// What iptables-save says, as tables, chains and rules in one spelling.

export interface StandingTable {
  /** Policy of a chain of the kernel's; undefined for one that somebody made. */
  policies: Map<string, string | undefined>;
  /** Rules by chain, in their order: what follows `-A CHAIN `. */
  chains: Map<string, string[]>;
}

/** By table. One that nobody has used yet is not there. */
export type Standing = Map<string, StandingTable>;

/** Names that some versions tell as numbers. Source: /etc/protocols. */
const PROTOCOLS: Readonly<Record<string, string>> = { '6': 'tcp', '17': 'udp', '132': 'sctp' };

export function parseSave(text: string): Standing {
  const standing: Standing = new Map();
  let table: StandingTable | undefined;
  for (const line of text.split('\n')) {
    const [, name] = /^\*(\S+)/.exec(line) ?? [];
    if (name !== undefined) {
      table = standing.get(name) ?? { policies: new Map(), chains: new Map() };
      standing.set(name, table);
      continue;
    }
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined) {
      table?.policies.set(chain, policy === '-' ? undefined : policy);
      table?.chains.set(chain, []);
      continue;
    }
    const [, of, rule] = /^(?:\[\d+:\d+\] )?-A (\S+) (.*)$/.exec(line) ?? [];
    if (of !== undefined && rule !== undefined) table?.chains.get(of)?.push(spelled(rule));
  }
  return standing;
}

/** Newer versions of iptables say `-p 6` where older ones say `-p tcp`. */
function spelled(rule: string): string {
  return rule.replace(/(^| )-p (\d+)(?= |$)/, (whole, before: string, number: string) => (PROTOCOLS[number] === undefined ? whole : `${before}-p ${PROTOCOLS[number]}`));
}
