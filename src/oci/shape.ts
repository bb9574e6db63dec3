// Reading JSON that strangers wrote: each reader gives the promised type or says which field is wrong.
import { invalid } from '../lib/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** The object in `bytes`. `what` opens every message about it: 'manifest', 'image config'. */
export function parseJsonObject(bytes: Uint8Array, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid(`${what} is not JSON`, { cause });
  }
  return asObject(value, what);
}

export function asObject(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw wrong(where, 'an object', value);
  return value;
}

export function asArray(value: unknown, where: string, maxEntries: number): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(where, 'an array', value);
  if (value.length > maxEntries) throw invalid(`${where}: ${value.length} entries, at most ${maxEntries} are allowed`);
  return value;
}

/** Go writes nothing, null and the zero value for the same thing; so absent and null are zero here, as for every optional field. */
export function optionalString(value: unknown, where: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw wrong(where, 'a string', value);
  return value;
}

export function optionalBoolean(value: unknown, where: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw wrong(where, 'true or false', value);
  return value;
}

export function optionalNumber(value: unknown, where: string): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw wrong(where, 'a whole number', value);
  return value;
}

export function optionalObject(value: unknown, where: string): JsonObject | null {
  return value === undefined || value === null ? null : asObject(value, where);
}

export function optionalStrings(value: unknown, where: string, maxEntries: number): string[] | null {
  if (value === undefined || value === null) return null;
  return asArray(value, where, maxEntries).map((entry, i) => {
    if (typeof entry !== 'string') throw wrong(`${where}[${i}]`, 'a string', entry);
    return entry;
  });
}

/** A map of strings; fromEntries, because a key may be called __proto__. */
export function optionalStringMap(value: unknown, where: string): Record<string, string> | null {
  const object = optionalObject(value, where);
  return object && Object.fromEntries(Object.entries(object).map(([key, entry]) => [key, optionalString(entry, `${where}.${key}`)]));
}

/** A set as Go writes it: each key with an empty object. */
export function optionalKeySet(value: unknown, where: string): Record<string, Record<string, never>> | null {
  const object = optionalObject(value, where);
  if (!object) return null;
  for (const [key, entry] of Object.entries(object)) optionalObject(entry, `${where}.${key}`);
  return Object.fromEntries(Object.keys(object).map((key) => [key, {}]));
}

export function requiredString(value: unknown, where: string): string {
  if (typeof value !== 'string' || value === '') throw wrong(where, 'a string', value);
  return value;
}

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);

function wrong(where: string, wanted: string, value: unknown) {
  const got = value === undefined ? 'nothing' : value === null ? 'null' : Array.isArray(value) ? 'an array' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
  return invalid(`${where}: ${wanted} is needed, ${got} is there`);
}
