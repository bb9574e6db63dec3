// Bodies with one field of a wrong JSON type or out of its range, made of the very shape that reads them.
import type { Shape } from '../../../src/api/shape.ts';

export interface Broken { path: readonly string[]; value: unknown }

/** Every field that the shape knows, each with every kind of value that it does not take. */
export function brokenBodies(shape: Shape): Broken[] {
  const { takes } = shape;
  if (takes.kind !== 'record') throw new Error('a body is a record');
  return [...takes.fields].flatMap(([name, field]) => broken(field, [name]));
}

/** `{ HostConfig: { Memory: value } }` for `HostConfig.Memory`; "[0]" behind a name is a list of one. */
export function withField(path: readonly string[], value: unknown): Record<string, unknown> {
  const [first = '', ...rest] = path;
  const inner = rest.length > 0 ? withField(rest, value) : value;
  const name = first.replaceAll('[0]', '');
  return { [name]: [...first.matchAll(/\[0\]/g)].reduce<unknown>((so) => [so], inner) };
}

function broken(shape: Shape, path: readonly string[]): Broken[] {
  const { takes } = shape;
  const here = (...values: readonly unknown[]) => values.map((value) => ({ path, value }));
  const last = path.at(-1) ?? '';
  const inList = [...path.slice(0, -1), `${last}[0]`];
  switch (takes.kind) {
    case 'text': return here(1, true, {}, []);
    case 'flag': return here(0, 'true', {}, []);
    case 'object': return here(1, 'x', true, []);
    case 'words': return here(1, true, {}, [1], [['x']]);
    case 'whole': return here('1', true, {}, [], 1.5, takes.max * 4, takes.min < 0 ? takes.min * 4 : -1);
    case 'list': return [...here('x', 1, true, {}), ...broken(takes.item, inList)];
    case 'numbers': return [...here('x', 1, true, {}), ...broken(takes.item, inList)];
    case 'map': return [...here('x', 1, true, []), ...broken(takes.item, [...path, 'key']).map((one) => (one.path.at(-1) === 'key' ? { path, value: { [last]: one.value } } : one))];
    case 'record': return [...here('x', 1, true, []), ...[...takes.fields].flatMap(([name, field]) => broken(field, [...path, name]))];
  }
}
