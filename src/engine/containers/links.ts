// Links to other containers, as old clients ask for them: looked up and shown as Docker does. Without a bridge network they have no effect.
import { invalid, kindOf } from '../../lib/errors.ts';
import type { Container } from './container.ts';

interface Table { find(word: string): Container }

/** "web:db" → "/web:/self/db". Error: invalid, for a container that is not there or has no network of its own. */
export function resolvedLinks(table: Table, links: readonly string[] | null, self: string): string[] | null {
  return links && links.map((link) => {
    const { name, alias } = parseLink(link);
    const other = found(table, name);
    if (hasHostNetwork(table, other)) throw invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
    return `${other.record.Name}:/${self.replace(/^\//, '')}/${alias}`;
  });
}

/** Also in the form that inspect shows, "/web:/self/db". */
function parseLink(link: string): { name: string; alias: string } {
  const [name = '', alias = name, ...more] = link.split(':');
  if (name === '' || more.length > 0) throw invalid(`invalid Links: bad format for links: ${link}`);
  return name.startsWith('/') && alias.startsWith('/') ? { name: name.slice(1), alias: alias.slice(alias.lastIndexOf('/') + 1) } : { name, alias };
}

function found(table: Table, name: string): Container {
  try { return table.find(name); }
  catch (cause) {
    if (kindOf(cause) !== 'not-found') throw cause;
    throw invalid(`could not get container for ${name}: No such container: ${name}`, { cause });
  }
}

function hasHostNetwork(table: Table, container: Container): boolean {
  const { NetworkMode: mode } = container.hostConfig;
  return mode.startsWith('container:') ? hasHostNetwork(table, found(table, mode.slice('container:'.length))) : mode === 'host';
}
