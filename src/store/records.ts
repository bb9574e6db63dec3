// Reading small records: JSON objects, single words, and what to say when they are damaged.
import { corrupt } from '../lib/errors.ts';
import type { Disk } from './disk.ts';

/** Far above any real record (a container with thousands of labels stays below 1 MiB), far below what would hurt a small device. */
export const MAX_RECORD_BYTES = 8 * 2 ** 20;
const MAX_WORD_BYTES = 1024;

export type JsonObject = Record<string, unknown>;
export const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The JSON object in a file; undefined when there is no file; `corrupt` when it holds anything else. */
export function readObject(disk: Pick<Disk, 'read'>, path: string): JsonObject | undefined {
  const value = readJson(disk, path);
  if (value === undefined) return undefined;
  if (!isObject(value)) throw corrupt(`${path}: no JSON object`);
  return value;
}

export function readJson(disk: Pick<Disk, 'read'>, path: string): unknown {
  const bytes = disk.read(path, MAX_RECORD_BYTES);
  if (bytes === undefined) return undefined;
  if (bytes.length === 0) throw corrupt(`${path}: empty file`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (cause) {
    throw corrupt(`${path}: no JSON`, { cause });
  }
}

/** A file of one word, parsed; undefined when there is no file; `corrupt` when `parse` refuses it. */
export function readWord<T>(disk: Pick<Disk, 'read'>, path: string, parse: (text: string) => T): T | undefined {
  const bytes = disk.read(path, MAX_WORD_BYTES);
  if (bytes === undefined) return undefined;
  const text = new TextDecoder().decode(bytes).trim();
  try {
    return parse(text);
  } catch (cause) {
    throw corrupt(`${path}: ${text === '' ? 'empty file' : 'unreadable'}`, { cause });
  }
}

/** As readWord, but the file must be there. */
export function needWord<T>(disk: Pick<Disk, 'read'>, path: string, parse: (text: string) => T): T {
  const value = readWord(disk, path, parse);
  if (value === undefined) throw corrupt(`${path}: missing`);
  return value;
}

/** A parser that accepts exactly the texts of a predicate. */
export const matching = (accept: (text: string) => boolean, what: string) => (text: string): string => {
  if (!accept(text)) throw corrupt(`no ${what}`);
  return text;
};

export const parseSize = (text: string): number => {
  const size = Number(text);
  if (!/^-?\d{1,16}$/.test(text) || !Number.isSafeInteger(size)) throw corrupt('no size');
  return Math.max(0, size);
};
