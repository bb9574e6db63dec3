// WWW-Authenticate headers: several challenges, each a scheme with parameters, in one line.

export interface Challenge { scheme: string; params: ReadonlyMap<string, string> }

/** More than one server has needed; the header itself is limited by the HTTP parser. */
const MAX_CHALLENGES = 16;

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const SPACE = /[ \t]*/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/**
 * The challenges of a header, schemes and parameter names in lower case. What does not parse ends the reading: the
 * challenges before it still count. Source: RFC 9110, 11.6.1.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match) at = pattern.lastIndex;
    return match;
  };
  const skipCommas = () => { do take(SPACE); while (header[at] === ',' && ++at); };

  for (skipCommas(); at < header.length && challenges.length < MAX_CHALLENGES; skipCommas()) {
    const scheme = take(TOKEN)?.[0].toLowerCase();
    if (scheme === undefined) return challenges;
    const params = new Map<string, string>();
    challenges.push({ scheme, params });
    take(SPACE);
    if (take(TOKEN68)) continue;
    for (;;) {
      skipCommas();
      const before = at;
      const name = take(TOKEN)?.[0].toLowerCase();
      take(SPACE);
      // A word without "=" is the next scheme.
      if (name === undefined || header[at] !== '=') { at = before; break; }
      at++;
      take(SPACE);
      const quoted = take(QUOTED);
      const value = quoted ? quoted[1]?.replace(/\\(.)/g, '$1') : take(TOKEN)?.[0];
      if (value === undefined) return challenges;
      if (!params.has(name)) params.set(name, value);
    }
  }
  return challenges;
}
