// JSON laid out for reading without being parsed: numbers, order and escapes stay exactly what the daemon sent.

const STEP = '    ';

/** Four blanks per level; `{}` and `[]` stay on one line. */
export function indentJson(text: string): string {
  const out: string[] = [];
  let depth = 0;
  const line = () => `\n${STEP.repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:\\.|[^"\\])*"|[{}[\]:,]|[^\s{}[\]:,"]+/g)) {
    const last = out.at(-1);
    if (token === '}' || token === ']') {
      depth--;
      if (last !== '{' && last !== '[') out.push(line());
      out.push(token);
      continue;
    }
    if (last === '{' || last === '[') out.push(line());
    if (token === '{' || token === '[') depth++;
    if (token === ',') out.push(',', line());
    else if (token === ':') out.push(': ');
    else out.push(token);
  }
  return out.join('');
}
