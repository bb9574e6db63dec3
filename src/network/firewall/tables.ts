// The rules of one family in the kernel, by the two programs that read and change them.
import type { NetNamespace, Programs } from '../../kernel/index.ts';
import { parseSave, type Standing } from './standing.ts';

export interface Tables {
  readonly backend: 'nf_tables' | 'legacy';
  /** As the program tells it: "iptables v1.8.9 (nf_tables)". */
  readonly version: string;
  /** Whether the kernel has this table for this family. */
  has(table: string): Promise<boolean>;
  read(): Promise<Standing>;
  /** One table after the other; of each all lines or none. Rejects with the program's words. */
  change(text: string): Promise<void>;
}

/** For another program that holds the lock of xtables: longer than any sane one does. */
const LOCK_SECONDS = 20;

/** `name`: iptables or ip6tables, or one of their kind. ENOENT when it is not installed. */
export async function openTables({ net, programs }: { net: NetNamespace; programs: Programs }, name: string): Promise<Tables> {
  const [save, restore] = [programs.find(`${name}-save`), programs.find(`${name}-restore`)];
  if (save === undefined || restore === undefined) throw Object.assign(new Error(`${name}-restore: not found`), { code: 'ENOENT' });
  const version = (await net.run([restore, '--version'])).trim();
  return {
    backend: version.includes('nf_tables') ? 'nf_tables' : 'legacy',
    version,
    has: (table) => net.run([save, '-t', table]).then(() => true, () => false),
    read: async () => parseSave(await net.run([save])),
    change: async (text) => { await net.run([restore, '--noflush', `--wait=${LOCK_SECONDS}`], text); },
  };
}
