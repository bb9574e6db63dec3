// `reference` filter: shell patterns over familiar names, as Docker matches them.

/** A pattern with a tag must fit name and tag, one without fits the name alone; `*` and `?` stop at a slash. */
export function matchesReference(pattern: string, familiar: string): boolean {
  const name = familiar.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  const expression = new RegExp(`^${pattern.replace(/[.+^${}()|\\]/g, '\\$&').replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]')}$`);
  return expression.test(familiar) || expression.test(name);
}
