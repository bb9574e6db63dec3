// Go's text templates, as far as --format uses them: text and actions → a tree.
import { EngineError } from '../lib/errors.ts';

export type Node =
  | { kind: 'text'; text: string }
  | { kind: 'print'; pipe: Pipe }
  | { kind: 'if' | 'with'; pipe: Pipe; body: Node[]; otherwise: Node[] }
  | { kind: 'range'; pipe: Pipe; body: Node[]; otherwise: Node[] };
/** `$a, $b := first | second`: the value of each command is the last argument of the next. */
export interface Pipe { declare: string[]; assign: boolean; commands: Operand[][] }
export type Operand =
  | { kind: 'constant'; value: string | number | boolean | null }
  | { kind: 'dot' }
  | { kind: 'field'; names: string[]; at: number; text: string }
  | { kind: 'variable'; name: string; names: string[]; at: number; text: string }
  | { kind: 'call'; name: string; at: number }
  | { kind: 'pipe'; pipe: Pipe; names: string[]; at: number; text: string };

/** Longest template taken, in characters, and deepest nesting: --format is typed by people. */
const MAX_LENGTH = 64 * 1024;
const MAX_DEPTH = 100;

export const FUNCTION_NAMES = ['and', 'call', 'eq', 'ge', 'gt', 'html', 'index', 'join', 'js', 'json', 'le', 'len', 'lower', 'lt', 'ne', 'not', 'or', 'pad', 'print', 'printf', 'println', 'slice', 'split', 'title', 'truncate', 'upper', 'urlquery'] as const;

/** The tree of a template; refusals read like Go's: `template: :1: unclosed action`. */
export function parseTemplate(source: string): Node[] {
  if (source.length > MAX_LENGTH) throw new EngineError('invalid', `template: longer than ${MAX_LENGTH} characters`);
  const parser: Parser = { pieces: splitPieces(source), at: 0 };
  const { nodes, closedBy } = parseList(parser, 0);
  if (closedBy) throw malformed(source, closedBy.start, `unexpected {{${closedBy.word}}}`);
  return nodes;
}

interface Piece { action: boolean; text: string; start: number }
interface Parser { pieces: Piece[]; at: number }
interface Closer { word: string; rest: string; start: number }
interface Token { type: 'string' | 'number' | 'field' | 'variable' | 'word' | 'punct'; text: string; at: number; spaced: boolean }
interface Tokens { list: Token[]; at: number; depth: number; source: string }

const malformed = (source: string, at: number, what: string) =>
  new EngineError('invalid', `template: :${source.slice(0, at).split('\n').length}: ${what}`);

/** Cuts the source at `{{` and `}}`; `{{-` and `-}}` eat the blanks next to them. */
function splitPieces(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimNext = false;
  while (at <= source.length) {
    const open = source.indexOf('{{', at);
    let text = open < 0 ? source.slice(at) : source.slice(at, open);
    if (trimNext) text = text.trimStart();
    const trimBefore = open >= 0 && /^\{\{-\s/.test(source.slice(open, open + 4));
    if (trimBefore) text = text.trimEnd();
    if (text !== '') pieces.push({ action: false, text, start: at });
    if (open < 0) break;
    const close = closingOf(source, open + 2);
    const body = source.slice(open + 2 + (trimBefore ? 1 : 0), close);
    trimNext = /\s-$/.test(body);
    const inner = trimNext ? body.slice(0, -1) : body;
    if (!/^\s*\/\*.*\*\/\s*$/s.test(inner)) pieces.push({ action: true, text: inner, start: open + 2 + (trimBefore ? 1 : 0) });
    at = close + 2;
  }
  return pieces;
}

function closingOf(source: string, from: number): number {
  for (let at = from; at < source.length; at++) {
    const char = source[at];
    if (char === '"' || char === '`' || char === "'") {
      const end = quoteEnd(source, at);
      if (end < 0) throw malformed(source, at, char === '`' ? 'unterminated raw quoted string' : 'unterminated quoted string');
      at = end;
    } else if (source.startsWith('}}', at)) return at;
  }
  throw malformed(source, from, 'unclosed action');
}

function quoteEnd(text: string, at: number): number {
  const quote = text[at];
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === '\\' && quote !== '`') end++;
    else if (text[end] === quote) return end;
  }
  return -1;
}

function parseList(parser: Parser, depth: number): { nodes: Node[]; closedBy: Closer | undefined } {
  if (depth > MAX_DEPTH) throw new EngineError('invalid', `template: nested deeper than ${MAX_DEPTH}`);
  const nodes: Node[] = [];
  for (let piece = parser.pieces[parser.at]; piece; piece = parser.pieces[parser.at]) {
    parser.at++;
    if (!piece.action) {
      nodes.push({ kind: 'text', text: piece.text });
      continue;
    }
    const [, word = '', rest = ''] = /^\s*(if|range|with|else|end)?\b\s*(.*)$/s.exec(piece.text) ?? [];
    if (word === 'end' || word === 'else') return { nodes, closedBy: { word, rest, start: piece.start } };
    const pipe = parsePipeText(word === '' ? piece.text : rest, piece.start + piece.text.length - (word === '' ? piece.text : rest).length);
    if (word === 'if' || word === 'range' || word === 'with') nodes.push({ kind: word, pipe, ...parseBranches(parser, depth + 1) });
    else nodes.push({ kind: 'print', pipe });
  }
  return { nodes, closedBy: undefined };
}

function parseBranches(parser: Parser, depth: number): { body: Node[]; otherwise: Node[] } {
  const first = parseList(parser, depth);
  if (!first.closedBy) throw new EngineError('invalid', 'template: :1: unexpected EOF');
  if (first.closedBy.word === 'end') return { body: first.nodes, otherwise: [] };
  const chained = /^\s*(if|with)\b\s*(.*)$/s.exec(first.closedBy.rest);
  if (chained?.[1] === 'if' || chained?.[1] === 'with') {
    // `else if` is an if inside of the else that shares its end.
    const node: Node = { kind: chained[1], pipe: parsePipeText(chained[2] ?? '', first.closedBy.start), ...parseBranches(parser, depth + 1) };
    return { body: first.nodes, otherwise: [node] };
  }
  const second = parseList(parser, depth);
  if (second.closedBy?.word !== 'end') throw new EngineError('invalid', 'template: :1: unexpected EOF');
  return { body: first.nodes, otherwise: second.nodes };
}

function parsePipeText(text: string, start: number): Pipe {
  const tokens: Tokens = { list: tokenize(text, start), at: 0, depth: 0, source: text };
  if (tokens.list.length === 0) throw malformed(text, 0, 'missing value for command');
  const pipe = parsePipe(tokens);
  const left = tokens.list[tokens.at];
  if (left) throw malformed(text, 0, `unexpected ${JSON.stringify(left.text)} in operand`);
  return pipe;
}

const TOKEN = /("(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])*')|([-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?))|(\.[A-Za-z_]\w*)|(\$\w*)|([A-Za-z_]\w*)|(:=|[|(),=.])/y;

function tokenize(text: string, start: number): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length;) {
    if (/\s/.test(text[at] ?? '')) {
      at++;
      continue;
    }
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) throw malformed(text, 0, `unexpected ${JSON.stringify(text[at])} in command`);
    const type = (['string', 'number', 'field', 'variable', 'word', 'punct'] as const)[match.slice(1).findIndex((group) => group !== undefined)] ?? 'punct';
    tokens.push({ type, text: match[0], at: start + at, spaced: at === 0 || /\s/.test(text[at - 1] ?? '') });
    at += match[0].length;
  }
  return tokens;
}

function parsePipe(tokens: Tokens): Pipe {
  if (++tokens.depth > MAX_DEPTH) throw new EngineError('invalid', `template: nested deeper than ${MAX_DEPTH}`);
  const declared = parseDeclaration(tokens);
  const commands: Operand[][] = [];
  for (;;) {
    const command: Operand[] = [];
    for (let token = tokens.list[tokens.at]; token && token.text !== '|' && token.text !== ')'; token = tokens.list[tokens.at]) command.push(parseOperand(tokens, token));
    if (command.length === 0) throw malformed(tokens.source, 0, 'missing value for command');
    commands.push(command);
    if (tokens.list[tokens.at]?.text !== '|') break;
    tokens.at++;
  }
  tokens.depth--;
  return { ...declared, commands };
}

function parseDeclaration(tokens: Tokens): { declare: string[]; assign: boolean } {
  const [a, b, c, d] = tokens.list.slice(tokens.at, tokens.at + 4);
  if (a?.type === 'variable' && (b?.text === ':=' || b?.text === '=')) {
    tokens.at += 2;
    return { declare: [a.text], assign: b.text === '=' };
  }
  if (a?.type === 'variable' && b?.text === ',' && c?.type === 'variable' && d?.text === ':=') {
    tokens.at += 4;
    return { declare: [a.text, c.text], assign: false };
  }
  return { declare: [], assign: false };
}

function parseOperand(tokens: Tokens, token: Token): Operand {
  tokens.at++;
  const at = token.at;
  switch (token.type) {
    case 'string': return { kind: 'constant', value: token.text.startsWith("'") ? unquote(token.text).codePointAt(0) ?? 0 : unquote(token.text) };
    case 'number': return { kind: 'constant', value: Number(token.text) };
    case 'field': {
      const names = [token.text.slice(1), ...fieldsAfter(tokens)];
      return { kind: 'field', names, at, text: `.${names.join('.')}` };
    }
    case 'variable': {
      const names = fieldsAfter(tokens);
      return { kind: 'variable', name: token.text, names, at, text: [token.text, ...names].join('.') };
    }
    case 'word':
      if (token.text === 'true' || token.text === 'false') return { kind: 'constant', value: token.text === 'true' };
      if (token.text === 'nil') return { kind: 'constant', value: null };
      if (!(FUNCTION_NAMES as readonly string[]).includes(token.text)) throw malformed(tokens.source, 0, `function ${JSON.stringify(token.text)} not defined`);
      return { kind: 'call', name: token.text, at };
    case 'punct': break;
  }
  if (token.text === '.') return { kind: 'dot' };
  if (token.text !== '(') throw malformed(tokens.source, 0, `unexpected ${JSON.stringify(token.text)} in operand`);
  const pipe = parsePipe(tokens);
  if (tokens.list[tokens.at]?.text !== ')') throw malformed(tokens.source, 0, 'unclosed left paren');
  tokens.at++;
  return { kind: 'pipe', pipe, names: fieldsAfter(tokens), at, text: '(…)' };
}

/** `.B.C` directly behind what they belong to; a blank before the dot begins the next argument. */
function fieldsAfter(tokens: Tokens): string[] {
  const names: string[] = [];
  for (let token = tokens.list[tokens.at]; token?.type === 'field' && !token.spaced; token = tokens.list[tokens.at]) {
    names.push(token.text.slice(1));
    tokens.at++;
  }
  return names;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' };

function unquote(text: string): string {
  const inner = text.slice(1, -1);
  if (text.startsWith('`')) return inner;
  return inner.replace(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-7]{3})|(.))/gs, (_all, hex?: string, unicode?: string, octal?: string, char?: string) => {
    if (hex ?? unicode) return String.fromCodePoint(parseInt(hex ?? unicode ?? '0', 16));
    return octal ? String.fromCodePoint(parseInt(octal, 8)) : ESCAPES[char ?? ''] ?? char ?? '';
  });
}
