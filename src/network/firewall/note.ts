// Which rules in the kernel are ours, for the next daemon: a file in the exec root, which goes with the rules when the machine does.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { keyOf, type Family, type NamedRule, type Table } from './rules.ts';

/** Of one family: rules that are ours or are about to be, and whether FORWARD was closed by us. */
export interface Noted { rules: NamedRule[]; closed: boolean }
export type Note = Record<Family, Noted>;

const FORMAT = 1;
const TABLES = ['filter', 'nat', 'raw', 'mangle'];
export const nothingNoted = (): Note => ({ ipv4: { rules: [], closed: false }, ipv6: { rules: [], closed: false } });

/** A rule that stands there twice is noted once. */
export function encodeNote(note: Note): string {
  const lines = ({ rules, closed }: Noted) => ({ closed, rules: [...new Set(rules.map(keyOf))] });
  return JSON.stringify({ format: FORMAT, ipv4: lines(note.ipv4), ipv6: lines(note.ipv6) });
}

/** Whole or not at all; not synced, since it is of no use after a reboot. */
export function writeNote(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Nothing when there is none, or none that makes sense: what is in the kernel then counts as somebody else's until it is wanted. */
export function readNote(path: string, log: Log): Note {
  let text: string;
  try { text = readFileSync(path, 'utf8'); }
  catch (error) {
    if (errnoOf(error) !== 'ENOENT') log.warn('the note on firewall rules cannot be read: rules of an earlier daemon may stay', { path, error });
    return nothingNoted();
  }
  try {
    const said = JSON.parse(text) as Record<Family, { closed: boolean; rules: string[] }> & { format: number };
    if (said.format !== FORMAT) throw new Error(`unknown format ${said.format}`);
    return { ipv4: notedOf(said.ipv4), ipv6: notedOf(said.ipv6) };
  } catch (error) {
    log.warn('the note on firewall rules makes no sense: rules of an earlier daemon may stay', { path, error });
    return nothingNoted();
  }
}

function notedOf({ closed, rules }: { closed: boolean; rules: readonly string[] }): Noted {
  return { closed, rules: rules.map((line) => {
    const [, table = '', chain = '', text = ''] = /^(\S+) (\S+) (.+)$/.exec(line) ?? [];
    if (!TABLES.includes(table)) throw new Error(`no rule: ${JSON.stringify(line)}`);
    return { table: table as Table, chain, text };
  }) };
}
