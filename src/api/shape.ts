// How a request body is checked, as Go's decoder would: names in any case, null for "not said", unknown fields passed over, wrong types refused.
// A shape reads a value and can say what it takes, so that one table serves the check and the test that breaks every field.
import { invalid } from '../lib/errors.ts';

export type Takes =
  | { readonly kind: 'text' | 'flag' | 'object' | 'words' }
  | { readonly kind: 'whole'; readonly min: number; readonly max: number }
  | { readonly kind: 'list' | 'map'; readonly item: Shape }
  | { readonly kind: 'numbers'; readonly count: number; readonly item: Shape }
  | { readonly kind: 'record'; readonly fields: ReadonlyMap<string, Shape> };

/** Reads a value or refuses it; `path` is how the message calls it. Returning undefined leaves the field out. */
export interface Shape {
  (value: unknown, path: string): unknown;
  readonly takes: Takes;
}

/** One shape for every field of T: a field that is added to the type and not here does not compile. */
export type Fields<T> = { readonly [K in keyof Required<T>]: Shape };

const shapeOf = (takes: Takes, read: (value: unknown, path: string) => unknown): Shape => Object.assign(read, { takes });

/** null is how Go's clients say nothing. */
const saying = (takes: Takes, read: (value: unknown, path: string) => unknown): Shape =>
  shapeOf(takes, (value, path) => (value === null || value === undefined ? undefined : read(value, path)));

const refuse = (path: string, want: string, value: unknown): never => {
  const got = Array.isArray(value) ? 'an array' : value === null ? 'null' : typeof value === 'object' ? 'an object' : typeof value === 'number' ? `the number ${value}` : `a ${typeof value}`;
  throw invalid(`invalid JSON: ${path || 'the body'}: ${want} is needed, not ${got}`);
};

export const text: Shape = saying({ kind: 'text' }, (value, path) => (typeof value === 'string' ? value : refuse(path, 'a string', value)));
export const flag: Shape = saying({ kind: 'flag' }, (value, path) => (typeof value === 'boolean' ? value : refuse(path, 'true or false', value)));

/** `min` and `max` are those of the Go type that Docker has for the field. */
const wholeBetween = (min: number, max: number, range: string): Shape => saying({ kind: 'whole', min, max }, (value, path) => {
  if (typeof value !== 'number' || !Number.isInteger(value)) return refuse(path, 'a whole number', value);
  return value >= min && value <= max ? value : refuse(path, `a whole number ${range}`, value);
});
export const whole: Shape = wholeBetween(-(2 ** 63), 2 ** 63, 'of 64 bits');
export const natural: Shape = wholeBetween(0, 2 ** 64, 'of 64 bits and not below zero');
export const natural32: Shape = wholeBetween(0, 0xffff_ffff, 'from 0 to 4294967295');
export const natural16: Shape = wholeBetween(0, 0xffff, 'from 0 to 65535');

/** `absent` stands where an item is null. */
export const list = (item: Shape, absent?: unknown): Shape => saying({ kind: 'list', item }, (value, path) => {
  if (!Array.isArray(value)) return refuse(path, 'an array', value);
  return value.map((entry, i) => item(entry, `${path}[${i}]`) ?? absent ?? refuse(`${path}[${i}]`, 'a value', null));
});
export const texts: Shape = list(text, '');
/** Go's strslice: one word may stand for a list of one. */
export const words: Shape = saying({ kind: 'words' }, (value, path) => (typeof value === 'string' ? [value] : texts(value, path)));

/** A Go array: what is missing is zero, what is too much is passed over. */
export const numbers = (count: number, item: Shape): Shape => saying({ kind: 'numbers', count, item }, (value, path) => {
  if (!Array.isArray(value)) return refuse(path, 'an array', value);
  return Array.from({ length: count }, (_none, i) => item(value[i], `${path}[${i}]`) ?? 0);
});

/** `absent` stands where a value is null. fromEntries, because a key may be called __proto__. */
export const map = (item: Shape, absent: unknown): Shape => saying({ kind: 'map', item }, (value, path) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(path, 'an object', value);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => {
    const read = item(entry, `${path}.${key}`);
    return [key, read === undefined ? absent : read];
  }));
});
export const textMap: Shape = map(text, '');
const emptyObject: Shape = saying({ kind: 'object' }, (value, path) => (typeof value === 'object' && !Array.isArray(value) ? {} : refuse(path, 'an object', value)));
/** Go's way to write a set: {"80/tcp": {}}. */
export const keySet: Shape = map(emptyObject, {});

/** `zero` fills what was not said, as Go's zero values do, where the type promises a value. */
export const record = <T>(fields: Fields<T>, zero?: T): Shape => {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  const shapes = new Map(Object.entries<Shape>(fields));
  return saying({ kind: 'record', fields: shapes }, (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(path, 'an object', value);
    const read: Record<string, unknown> = { ...zero };
    for (const [key, entry] of Object.entries(value)) {
      const name = names.get(key.toLowerCase());
      const result = name === undefined ? undefined : shapes.get(name)?.(entry, path === '' ? name : `${path}.${name}`);
      if (name !== undefined && result !== undefined) read[name] = result;
    }
    return read;
  });
};
