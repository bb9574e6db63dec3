// Reads TypeScript just well enough to judge its shape: code without the insides of strings and comments, imports, function bodies.

export interface Import {
  specifier: string;
  /** 'types' vanish when types are stripped; 'dynamic' is loaded later, if at all. */
  how: 'static' | 'types' | 'dynamic';
}

export interface Body { name: string; line: number; lines: number }

/** Keywords after which a slash begins a regular expression, and never divides. */
const BEFORE_REGEX = new Set(['return', 'typeof', 'case', 'in', 'of', 'void', 'delete', 'do', 'else', 'yield', 'await', 'throw', 'new', 'instanceof']);
/** Words before a bracket that make it the head of a statement, not the parameters of a function. */
const CONTROL = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await']);
/** No type holds these words: whoever meets one is not reading a return type. */
const NO_TYPE = new Set(['if', 'for', 'while', 'switch', 'return', 'const', 'let', 'throw', 'break', 'continue', 'try', 'do', 'case', 'default', 'else']);

/**
 * The same text, of the same length and lines, with everything inside of comments, strings, templates and regular expressions blank.
 * Code within templates stays. Throws when the brackets of what is left do not match: the scan would then be worth nothing.
 */
export function bareCode(text: string): string {
  const out = text.split('');
  const blank = (from: number, to: number) => { for (let i = from; i < to; i++) if (out[i] !== '\n') out[i] = ' '; };
  const open: Array<{ at: number; bracket: string }> = [];
  let before = ''; // the last word or sign of code
  let i = 0;
  const template = () => { // from behind the backtick, or behind the brace that ended an expression
    const from = i;
    while (i < text.length && text[i] !== '`' && !text.startsWith('${', i)) i += text[i] === '\\' ? 2 : 1;
    blank(from, i);
    if (text[i] === '`') { i++; before = '`'; } else { open.push({ at: i, bracket: '${' }); i += 2; before = '{'; }
  };
  while (i < text.length) {
    const sign = text.charAt(i);
    const skipped = skipAside(text, i, before);
    if (skipped !== undefined) {
      const keepsQuotes = sign === "'" || sign === '"';
      blank(i + (keepsQuotes ? 1 : 0), skipped - (keepsQuotes ? 1 : 0));
      if (keepsQuotes || (sign === '/' && !/^\/[/*]/.test(text.slice(i, i + 2)))) before = "'";
      i = skipped;
    } else if (sign === '`') {
      i++;
      template();
    } else if ('([{'.includes(sign)) {
      open.push({ at: i++, bracket: sign === '(' && CONTROL.has(before) ? 'control' : sign });
      before = sign;
    } else if (')]}'.includes(sign)) {
      const last = open.pop();
      if (!last || !matches(last.bracket, sign)) throw new Error(`a ${sign} without its partner in line ${lineOf(text, i)}`);
      i++;
      before = last.bracket === 'control' ? 'control' : sign;
      if (last.bracket === '${') template();
    } else {
      const word = /[\w$#]+|\S|\s+/y;
      word.lastIndex = i;
      const [found = sign] = word.exec(text) ?? [];
      if (found.trim() !== '') before = found;
      i += found.length;
    }
  }
  const left = open.pop();
  if (left) throw new Error(`a ${left.bracket} without its partner in line ${lineOf(text, left.at)}`);
  return out.join('');
}

/** Where the comment, string or regular expression that starts at `i` ends; undefined when none starts there. */
function skipAside(text: string, i: number, before: string): number | undefined {
  const sign = text[i];
  if (text.startsWith('//', i)) return endOf(text, '\n', i, 0);
  if (text.startsWith('/*', i)) return endOf(text, '*/', i + 2, 2);
  if (sign === "'" || sign === '"') return stringEnd(text, i, sign);
  const divides = /^[\w$#)\]}'`]/.test(before) && before !== 'control' && !BEFORE_REGEX.has(before);
  return sign === '/' && !divides ? regexEnd(text, i) : undefined;
}

function endOf(text: string, what: string, from: number, length: number): number {
  const at = text.indexOf(what, from);
  return at < 0 ? text.length : at + length;
}

function stringEnd(text: string, start: number, quote: string): number {
  let i = start + 1;
  while (i < text.length && text[i] !== quote && text[i] !== '\n') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function regexEnd(text: string, start: number): number {
  let inClass = false;
  for (let i = start + 1; i < text.length; i++) {
    const sign = text[i];
    if (sign === '\n') break;
    if (sign === '\\') i++;
    else if (sign === '[') inClass = true;
    else if (sign === ']') inClass = false;
    else if (sign === '/' && !inClass) return i + 1;
  }
  throw new Error(`a regular expression without end in line ${lineOf(text, start)}`);
}

function matches(bracket: string, closing: string): boolean {
  return { ')': ['(', 'control'], ']': ['['], '}': ['{', '${'] }[closing]?.includes(bracket) ?? false;
}

function lineOf(text: string, at: number): number {
  let line = 1;
  for (let end = text.indexOf('\n'); end >= 0 && end < at; end = text.indexOf('\n', end + 1)) line++;
  return line;
}

/** Every import and re-export of a module, by what is written in the quotes. */
export function importsOf(text: string, code = bareCode(text)): Import[] {
  const found: Import[] = [];
  const take = (pattern: RegExp, how: (match: RegExpExecArray) => Import['how']) => {
    for (const match of code.matchAll(pattern)) {
      const end = match.index + match[0].length - 1; // the closing quote; the inside is blank in `code`, so the name is taken from `text`
      const start = code.lastIndexOf(code.charAt(end), end - 1) + 1;
      found.push({ specifier: text.slice(start, end), how: how(match) });
    }
  };
  take(/^[ \t]*(?:import|export)\s(\s*type\b)?[^;'"()=]*?\bfrom\s*(?:'[^']*'|"[^"]*")/gm, (match) => (match[1] === undefined ? 'static' : 'types'));
  take(/^[ \t]*import\s*(?:'[^']*'|"[^"]*")/gm, () => 'static');
  take(/\bimport\s*\(\s*(?:'[^']*'|"[^"]*")/g, () => 'dynamic');
  return found;
}

/** Every function with a body in braces. One that is a single expression has none: its length is that of a table or a chain. */
export function bodiesOf(text: string, code = bareCode(text)): Body[] {
  const partner = partnersOf(code);
  const bodies: Body[] = [];
  const add = (name: string, from: number, brace: number) => {
    const line = lineOf(code, from);
    bodies.push({ name, line, lines: lineOf(code, partner.get(brace) ?? brace) - line + 1 });
  };
  for (const match of code.matchAll(/=>\s*\{/g)) {
    const line = text.slice(text.lastIndexOf('\n', match.index) + 1, match.index).trim();
    add(line.slice(0, 60), match.index, match.index + match[0].length - 1);
  }
  for (const [at, close] of partner) {
    if (code[at] !== '(') continue;
    const brace = bodyAfter(code, close + 1, partner);
    if (brace === undefined) continue;
    const name = /([\w$#]*)\s*(?:<[^()]*>)?\s*$/.exec(code.slice(Math.max(0, at - 200), at))?.[1] ?? '';
    if (!CONTROL.has(name)) add(name, at, brace);
  }
  return bodies.sort((a, b) => a.line - b.line);
}

/** Where every bracket ends. */
function partnersOf(code: string): Map<number, number> {
  const partner = new Map<number, number>();
  const open: number[] = [];
  for (let i = 0; i < code.length; i++) {
    if ('([{'.includes(code.charAt(i))) open.push(i);
    else if (')]}'.includes(code.charAt(i))) partner.set(open.pop() ?? 0, i);
  }
  return partner;
}

/** The brace of the body that follows a parameter list, with or without a return type between; undefined when there is none. */
function bodyAfter(code: string, from: number, partner: ReadonlyMap<number, number>): number | undefined {
  const start = /\s*(.)/sy;
  start.lastIndex = from;
  const sign = start.exec(code)?.[1];
  if (sign === '{') return start.lastIndex - 1;
  if (sign !== ':') return undefined;
  let complete = false; // a brace behind a complete type is the body, any other one belongs to the type
  for (let i = start.lastIndex; i < code.length; i++) {
    const here = code.charAt(i);
    if (/\s/.test(here)) continue;
    if (here === '{' && complete) return i;
    if ('([{'.includes(here)) { i = partner.get(i) ?? i; complete = true; }
    else if (')]};,?'.includes(here)) return undefined;
    else if (code.startsWith('=>', i)) { i++; complete = false; }
    else if ('|&<:='.includes(here)) complete = false;
    else if (/[\w$]/.test(here)) {
      const word = /^[\w$]+/.exec(code.slice(i, i + 100))?.[0] ?? here;
      if (NO_TYPE.has(word)) return undefined;
      i += word.length - 1;
      complete = !['is', 'extends', 'keyof', 'typeof', 'readonly', 'asserts', 'infer', 'unique'].includes(word);
    } else complete = true;
  }
  return undefined;
}
