// `reference` filter: shell patterns over familiar names, as Docker matches them.
import { invalid } from '../../lib/errors.ts';

/** A pattern with a tag must fit name and tag, one without fits the name alone; `*` and `?` stop at a slash. Error: `invalid` for what is no pattern. */
export function matcherOf(pattern: string): (familiar: string) => boolean {
  const expression = expressionOf(pattern);
  return (familiar) => expression.test(familiar) || expression.test(familiar.replace(/@.*$/, '').replace(/:[^/:]*$/, ''));
}

/** The parts of a pattern as Go has them: `*`, `?`, a class in brackets, one character behind a backslash, any other character. */
const PART = /\*|\?|\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|([^[\\])/suy;

function expressionOf(pattern: string): RegExp {
  let source = '';
  PART.lastIndex = 0;
  while (PART.lastIndex < pattern.length) {
    const part = PART.exec(pattern);
    if (!part) throw badPattern();
    const [whole, not, members, escaped, plain] = part;
    if (whole === '*') source += '[^/]*';
    else if (whole === '?') source += '[^/]';
    else if (members === undefined) source += literal(escaped ?? plain ?? '');
    else source += `[${not}${members.replace(/\\?(.)/gsu, (all, one: string) => (one === '-' ? all : literal(one)))}]`;
  }
  try { return new RegExp(`^${source}$`, 'su'); }
  catch (cause) { throw badPattern(cause); }
}

const literal = (character: string) => character.replace(/[.*+?^${}()|[\]\\/]/u, '\\$&');

const badPattern = (cause?: unknown) => invalid('syntax error in pattern', { cause });
