// From what stands and what should to what iptables-restore is told: our rules move, those of others stay where they are.
import { CHAINS, keyOf, type NamedRule, type Rule, type Table } from './rules.ts';
import type { Standing } from './standing.ts';

export interface Aim {
  wanted: readonly Rule[];
  /** Rules that were ours and are not wanted any more; those that do not stand are left out. */
  unwanted: readonly NamedRule[];
  /** Whether FORWARD lets nothing through that no rule names. */
  closed: boolean;
}

const TABLES: readonly Table[] = ['filter', 'nat', 'raw', 'mangle'];

/** Input for `iptables-restore --noflush`: one section per table that is to change; '' when all is as it should be. */
export function changesTo(standing: Standing, aim: Aim): string {
  return TABLES.map((table) => section(table, tableChanges(table, standing, aim))).join('');
}

function section(table: Table, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
}

function tableChanges(table: Table, standing: Standing, { wanted, unwanted, closed }: Aim): string[] {
  const there = standing.get(table);
  const ours = wanted.filter((rule) => rule.table === table);
  const lines: string[] = [];
  // Not declared (":CHAIN -"): that would empty one that somebody made since we looked.
  if (ours.length > 0) lines.push(...CHAINS[table].filter((chain) => there?.chains.has(chain) !== true).map((chain) => `-N ${chain}`));
  if (table === 'filter' && closed && there?.policies.get('FORWARD') !== 'DROP') lines.push('-P FORWARD DROP');
  const gone = unwanted.filter((rule) => rule.table === table);
  const chains = new Set([...gone, ...ours].map(({ chain }) => chain));
  for (const chain of chains) {
    const edit = new Edit(chain, there?.chains.get(chain) ?? []);
    for (const { text } of gone.filter((rule) => rule.chain === chain)) edit.remove(text);
    arrange(edit, ours.filter((rule) => rule.chain === chain));
    lines.push(...edit.lines);
  }
  return lines;
}

/** `rules` of one chain. */
function arrange(edit: Edit, rules: readonly Rule[]): void {
  const first = rules.filter(({ place }) => place.at === 'first').map(({ text }) => text);
  if (first.some((text, index) => edit.rules[index] !== text)) {
    for (const text of first) edit.remove(text);
    first.forEach((text, index) => edit.insert(text, index));
  }
  for (const group of groupsOf(rules)) {
    // Whole and in order wherever it stands, or anew on top: order between bridges means nothing, order within one does.
    const found = edit.rules.filter((text) => group.includes(text));
    if (found.length >= group.length && group.every((text, index) => found[index] === text)) continue;
    for (const text of group) edit.remove(text);
    group.forEach((text, index) => edit.insert(text, first.length + index));
  }
  const there = new Set(edit.rules);
  for (const { text } of rules.filter(({ place }) => place.at === 'end')) if (!there.has(text)) edit.append(text);
}

function groupsOf(rules: readonly Rule[]): string[][] {
  const groups = new Map<string, string[]>();
  for (const { place, text } of rules) if (place.at === 'top') groups.set(place.group, [...(groups.get(place.group) ?? []), text]);
  return [...groups.values()];
}

/** A chain as it will be, and the commands that make it so. */
class Edit {
  readonly #chain: string;
  readonly rules: string[];
  readonly lines: string[] = [];

  constructor(chain: string, rules: readonly string[]) {
    this.#chain = chain;
    this.rules = [...rules];
  }

  /** By what it says, not by its number: somebody may have changed the chain since we looked. */
  remove(text: string): void {
    const at = this.rules.indexOf(text);
    if (at < 0) return;
    this.rules.splice(at, 1);
    this.lines.push(`-D ${this.#chain} ${text}`);
  }

  insert(text: string, at: number): void {
    this.rules.splice(at, 0, text);
    this.lines.push(`-I ${this.#chain} ${at + 1} ${text}`);
  }

  append(text: string): void {
    this.rules.push(text);
    this.lines.push(`-A ${this.#chain} ${text}`);
  }
}

/** Rules of `before` that are not among `after`. */
export function without<R extends NamedRule>(before: readonly R[], after: readonly NamedRule[]): R[] {
  const kept = new Set(after.map(keyOf));
  return before.filter((rule) => !kept.has(keyOf(rule)));
}
