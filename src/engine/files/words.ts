// Quotes, backslashes and $variables of a Dockerfile: words apart, and what each of them means.

export type Variables = ReadonlyMap<string, string>;

/** Apart at blanks outside of quotes; quotes and backslashes stay, for `expanded`. */
export function wordsOf(text: string): string[] {
  return text.match(/(?:\\.|"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s\\"'])+/gs) ?? [];
}

/** Without its quotes, variables in their places: '…' keeps all, "…" and the rest know $name, ${name}, ${name:-instead} and ${name:+then}. */
export const expanded = (text: string, variables: Variables): string => meaning(text, { variables, inDouble: false });

/** Between double quotes a quote is a character, and a backslash means something before $, " and itself only. */
function meaning(text: string, how: { variables: Variables; inDouble: boolean }): string {
  let result = '';
  for (let at = 0; at < text.length;) {
    const c = text.charAt(at);
    if (!how.inDouble && (c === "'" || c === '"')) {
      const end = closing(text, at, c);
      const inside = text.slice(at + 1, end);
      result += c === "'" ? inside : meaning(inside, { ...how, inDouble: true });
      at = end + 1;
    } else if (c === '\\') {
      const next = text.charAt(at + 1);
      result += !how.inDouble || (next !== '' && '$"\\'.includes(next)) ? next : `\\${next}`;
      at += 2;
    } else if (c === '$') {
      const [value, length] = variableAt(text.slice(at), how.variables);
      result += value;
      at += length;
    } else { result += c; at++; }
  }
  return result;
}

function closing(text: string, open: number, quote: string): number {
  for (let at = open + 1; at < text.length; at++) {
    if (quote === '"' && text.charAt(at) === '\\') at++;
    else if (text.charAt(at) === quote) return at;
  }
  return text.length;
}

/** Its value, and how many characters name it; a lone $ is one. */
function variableAt(text: string, variables: Variables): [value: string, length: number] {
  const plain = /^\$(\w+|[@*#?$!-])/.exec(text);
  if (plain) return [variables.get(plain[1] ?? '') ?? '', plain[0].length];
  const braced = /^\$\{(\w+)(?::([-+])([^}]*))?\}/.exec(text);
  if (!braced) return ['$', 1];
  const [all, name = '', how, word = ''] = braced;
  const value = variables.get(name) ?? '';
  if (how === '-') return [value === '' ? expanded(word, variables) : value, all.length];
  if (how === '+') return [value === '' ? '' : expanded(word, variables), all.length];
  return [value, all.length];
}
