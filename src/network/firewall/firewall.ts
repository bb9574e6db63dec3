// Brings the kernel's rules to what is open: one change at a time, what waits meanwhile goes in together, and a change that fails is taken back.
import { EngineError, messageOf } from '../../lib/errors.ts';
import { changesTo, without } from './change.ts';
import { staleFlows } from './flows.ts';
import type { Firewall, FirewallNeeds } from './index.ts';
import { encodeNote, readNote, writeNote, type Note } from './note.ts';
import { desiredRules, type Family, type NamedRule, type Rule, type RuleSet } from './rules.ts';
import type { Standing } from './standing.ts';
import type { Tables } from './tables.ts';

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
/** Whether frames within one bridge meet the firewall; there is no such setting where the kernel cannot do it. */
const BRIDGE_NETFILTER: Readonly<Record<Family, string>> = { ipv4: 'bridge/bridge-nf-call-iptables', ipv6: 'bridge/bridge-nf-call-ip6tables' };

/** What is open and what is closed: everything the rules follow from. */
interface Wish { open: ReadonlyMap<string, RuleSet>; closed: ReadonlySet<Family> }

/** One family in the kernel. */
interface Side {
  family: Family;
  tables: Tables;
  /** What was last brought about. */
  wanted: readonly Rule[];
  closed: boolean;
  /** Not wanted any more, but still there as far as we know. */
  leftover: readonly NamedRule[];
  /** Of an earlier daemon; theirs until `settle`. */
  inherited: readonly NamedRule[];
  guardTable?: 'raw' | 'mangle';
  /** What stood when we last looked; kept during the start alone, when much is opened and little of it is new. */
  standing?: Standing | undefined;
}

interface Waiting { change: (wish: Wish) => Wish; settle: boolean; done: () => void; failed: (error: unknown) => void }

export class LiveFirewall implements Firewall {
  readonly facts: Firewall['facts'];
  readonly #needs: FirewallNeeds;
  readonly #sides: Side[];
  #wish: Wish;
  #waiting: Waiting[] = [];
  #busy = false;
  #noted = '';
  #settled = false;

  constructor(needs: FirewallNeeds, { tables, facts }: { tables: Partial<Record<Family, Tables>>; facts: Firewall['facts'] }) {
    this.#needs = needs;
    this.facts = facts;
    const note = Object.keys(tables).length === 0 ? undefined : readNote(needs.notePath, needs.log);
    this.#sides = FAMILIES.flatMap((family) => {
      const ofFamily = tables[family];
      return ofFamily === undefined ? [] : [{ family, tables: ofFamily, wanted: [], closed: false, leftover: [], inherited: note?.[family].rules ?? [] }];
    });
    this.#wish = { open: new Map(), closed: new Set(FAMILIES.filter((family) => note?.[family].closed === true)) };
  }

  put(key: string, rules: RuleSet): Promise<void> { return this.#queue((wish) => opened(wish, key, rules)); }

  async drop(key: string): Promise<void> {
    if (!this.#busy && !this.#wish.open.has(key)) return;
    try {
      await this.#queue((wish) => opened(wish, key, undefined));
    } catch (error) {
      this.#wish = opened(this.#wish, key, undefined);
      throw error;
    }
  }

  closeForward(family: Family): Promise<void> { return this.#queue((wish) => ({ ...wish, closed: new Set([...wish.closed, family]) })); }
  settle(): Promise<void> { return this.#queue((wish) => wish, true); }

  #queue(change: Waiting['change'], settle = false): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ change, settle, done, failed });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // Whoever asks in the same turn comes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      if (await this.#bringAbout(batch) || batch.length === 1) continue;
      // One of them is to blame; the others must not suffer for it.
      for (const one of batch) await this.#bringAbout([one]);
    }
    this.#busy = false;
  }

  /** Tells those who wait how it went; of several whose change failed nobody is told yet. */
  async #bringAbout(batch: readonly Waiting[]): Promise<boolean> {
    const wish = batch.reduce((before, { change }) => change(before), this.#wish);
    const settle = batch.some((one) => one.settle);
    try {
      await this.#establish(wish, settle);
    } catch (error) {
      if (batch.length === 1) for (const { failed } of batch) failed(new EngineError('system', `the firewall refused the rules: ${messageOf(error)}`, { cause: error }));
      return false;
    }
    this.#wish = wish;
    for (const { done } of batch) done();
    return true;
  }

  /** All of it, or what was before. */
  async #establish(wish: Wish, settle: boolean): Promise<void> {
    await using undo = new AsyncDisposableStack();
    const changed: Record<'gone' | 'fresh', NamedRule[]> = { gone: [], fresh: [] };
    if (settle) {
      this.#settled = true;
      for (const side of this.#sides) side.standing = undefined;
    }
    for (const side of this.#sides) {
      const wanted = await this.#wantedOn(side, wish);
      const closed = wish.closed.has(side.family);
      const unwanted = without([...side.wanted, ...side.leftover, ...(settle ? side.inherited : [])], wanted);
      if (!settle && unwanted.length === 0 && closed === side.closed && without(wanted, side.wanted).length === 0) continue;
      const before = { ...side };
      changed.gone.push(...unwanted);
      changed.fresh.push(...without(wanted, [...before.wanted, ...before.inherited]));
      undo.defer(() => this.#takeBack(side, before));
      Object.assign(side, { wanted, closed, leftover: unwanted, inherited: settle ? [] : side.inherited });
      this.#note();
      await this.#apply(side);
      side.leftover = [];
    }
    undo.move();
    this.#note();
    this.#forget(changed);
  }

  /** Never fails: at worst a client that never pauses has to wait until the kernel forgets by itself. */
  #forget(changed: Record<'gone' | 'fresh', readonly NamedRule[]>): void {
    const stale = staleFlows(changed);
    if (stale.addresses.length === 0 && stale.udpPorts.length === 0) return;
    try { this.#needs.net.forgetFlows(stale); }
    catch (error) { this.#needs.log.debug('tracked connections cannot be forgotten', { ...stale, error }); }
  }

  async #wantedOn(side: Side, { open }: Wish): Promise<Rule[]> {
    const surroundings = {
      bridgeNetfilter: this.#needs.net.sysctl(BRIDGE_NETFILTER[side.family]) === '1',
      frame: side.wanted.length > 0 || side.inherited.length > 0,
      guardTable: side.guardTable ?? 'raw',
    };
    const wanted = desiredRules(side.family, open.values(), surroundings);
    if (wanted.length === 0 || side.guardTable !== undefined) return wanted;
    side.guardTable = await side.tables.has('raw') ? 'raw' : 'mangle';
    return desiredRules(side.family, open.values(), { ...surroundings, guardTable: side.guardTable });
  }

  /** What stands is looked at each time, so that what somebody else took away comes back. When it changes under our hands we look once more. */
  async #apply(side: Side): Promise<void> {
    const attempt = async () => {
      const standing = side.standing ?? await side.tables.read();
      const text = changesTo(standing, { wanted: side.wanted, unwanted: side.leftover, closed: side.closed });
      side.standing = this.#settled || text !== '' ? undefined : standing;
      if (text !== '') await side.tables.change(text);
    };
    try { await attempt(); } catch (error) {
      side.standing = undefined;
      this.#needs.log.debug('rules are changed once more', { family: side.family, error });
      await attempt();
    }
  }

  async #takeBack(side: Side, before: Side): Promise<void> {
    const leftover = [...without(side.wanted, before.wanted), ...before.leftover];
    Object.assign(side, before, { leftover, standing: undefined });
    try {
      await this.#apply(side);
      side.leftover = before.leftover;
    } catch (error) {
      this.#needs.log.error('rules of a change that failed stay until the next one', { family: side.family, error });
    }
    this.#note();
  }

  /** Before each change what is there and what is to come, after it what is there: whenever we die, the next daemon knows what is ours. */
  #note(): void {
    if (this.#sides.length === 0) return;
    const note: Note = { ipv4: { rules: [], closed: this.#wish.closed.has('ipv4') }, ipv6: { rules: [], closed: this.#wish.closed.has('ipv6') } };
    for (const side of this.#sides) note[side.family] = { closed: side.closed || this.#wish.closed.has(side.family), rules: [...side.wanted, ...side.leftover, ...side.inherited] };
    const text = encodeNote(note);
    if (text === this.#noted) return;
    writeNote(this.#needs.notePath, text);
    this.#noted = text;
  }
}

function opened({ open, closed }: Wish, key: string, rules: RuleSet | undefined): Wish {
  const next = new Map(open);
  if (rules === undefined) next.delete(key);
  else next.set(key, rules); // one that was there keeps its place
  return { open: next, closed };
}
