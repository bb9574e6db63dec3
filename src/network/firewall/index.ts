// The host's firewall as far as it is ours: whoever opens something says what for, and the rules for all of it are brought about together.
import type { NetNamespace, Programs } from '../../kernel/index.ts';
import { errnoOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { NetworkSettings } from '../index.ts';
import { openTables, type Tables } from './tables.ts';
import { LiveFirewall } from './firewall.ts';
import type { Family, RuleSet } from './rules.ts';

export type { BridgeRules, Family, LinkRule, PortRule, RuleSet } from './rules.ts';

export interface Firewall {
  /**
   * Rules for `key` (a network or a container) instead of those it had. Resolves when they hold, rejects when nothing has changed. Calls queue, and those that wait go
   * into the kernel together. Every change also brings back what somebody else took away of all our rules.
   */
  put(key: string, rules: RuleSet): Promise<void>;
  /** Never fails for want of a rule. When the kernel refuses, the rules count as unwanted and go with the next change. */
  drop(key: string): Promise<void>;
  /** From now on FORWARD lets nothing through that no rule names, as dockerd does when it switches forwarding on. To be called before that. */
  closeForward(family: Family): Promise<void>;
  /** After the start, when everything open has been put: rules of an earlier daemon that nobody has asked for again go. */
  settle(): Promise<void>;
  /** Which program makes the rules, and why not if none. */
  readonly facts: { firewall: 'nf_tables' | 'legacy' | 'none'; note: string };
}

export interface FirewallNeeds {
  /** The host's. */
  net: NetNamespace;
  programs: Programs;
  /** A file of ours in the exec root. */
  notePath: string;
  log: Log;
  settings: Pick<NetworkSettings, 'iptables' | 'ip6tables'>;
  /** Other programs than the machine's default ones, by the beginning of their names: iptables-legacy for iptables-legacy-save and -restore. */
  names?: Readonly<Record<Family, string>>;
}

const DEFAULT_NAMES: Readonly<Record<Family, string>> = { ipv4: 'iptables', ipv6: 'ip6tables' };

/** Never fails: without a program there are no rules, and `facts` says so. With iptables switched off nothing is ever called. */
export async function openFirewall(needs: FirewallNeeds): Promise<Firewall> {
  const { settings, log, names = DEFAULT_NAMES } = needs;
  if (!settings.iptables && !settings.ip6tables) return new LiveFirewall(needs, { tables: {}, facts: { firewall: 'none', note: 'switched off (--iptables=false)' } });
  const tables: Partial<Record<Family, Tables>> = {};
  const notes: string[] = [];
  for (const family of ['ipv4', 'ipv6'] as const) {
    if (!(family === 'ipv4' ? settings.iptables : settings.ip6tables)) continue;
    try { tables[family] = await openTables(needs, names[family]); }
    catch (error) {
      notes.push(errnoOf(error) === 'ENOENT' ? `${names[family]}-restore is not installed` : `${names[family]}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (notes.length > 0) log.error('no firewall rules can be made: published ports, the way out of containers and the walls between networks are missing', { why: notes.join('; ') });
  const used = tables.ipv4 ?? tables.ipv6;
  return new LiveFirewall(needs, { tables, facts: { firewall: used?.backend ?? 'none', note: [...(used === undefined ? [] : [used.version]), ...notes].join('; ') } });
}
