// What a client library was answered, made comparable: IDs, times, paths and names of one engine are written as what they stand for.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { commonText, type Normals } from '../differences.ts';
import { CLIENT_DIFFERENCES, type ClientDifference } from './differences.ts';

/** One line of a telling: what was asked, and the answer or the error as the library gave it. */
export interface Said { says: string; answer?: unknown; error?: unknown }

/** Whole numbers in these are moments or sizes of one run. */
const MOMENTS = /^(time|timeNano|Created|SystemTime)$/;
/** Seconds since 1970 in this decade: also where no field's name tells. */
const NOW_SECONDS = [1.7e9, 2e9] as const;

/** `where` is the client's and the story's name, in front of what the differences look for. Nothing when all of it may differ. */
export function normalSaid(said: Said, normals: Normals, where: string): Said | undefined {
  const whole = `${where}: ${said.says}`;
  const differences = CLIENT_DIFFERENCES.filter((one) => one.where.test(whole));
  if (differences.some((one) => one.at === undefined && one.written === undefined)) return undefined;
  return normalValue(JSON.parse(JSON.stringify(said)), [], { normals, differences }) as Said;
}

interface How { normals: Normals; differences: readonly ClientDifference[] }

function normalValue(value: unknown, path: readonly string[], how: How): unknown {
  if (how.differences.some(({ at, written }) => written === undefined && at?.test(path.slice(1).join('.')))) return '<may differ>';
  if (Array.isArray(value)) return (path.at(-1) === 'Mounts' ? value.toSorted(byDestination) : value).map((one, at) => normalValue(one, [...path, String(at)], how));
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => [commonText(key, how.normals), field] as const);
    return Object.fromEntries(fields.flatMap(([key, field]) => {
      const here = [...path, key], dotted = here.slice(1).join('.');
      if (how.differences.some(({ at, written }) => written === undefined && at?.test(dotted))) return []; // it may also be missing
      return [[key, normalValue(field, here, how)]];
    }));
  }
  const dotted = path.slice(1).join('.');
  const name = path.at(-1) ?? '';
  if (typeof value === 'number') {
    if (name === 'Pid' || name === 'pid') return value > 0 ? '<pid>' : value;
    const written = how.differences.find(({ at, written: pattern }) => at?.test(dotted) && pattern?.[0].test(String(value)))?.written;
    if (written) return String(value).replace(written[0], written[1]);
    const moment = MOMENTS.test(name) || (value > NOW_SECONDS[0] && value < NOW_SECONDS[1]);
    if (moment && value > 0) return '<time>';
  }
  if (typeof value !== 'string') return value;
  const written = how.differences.filter(({ at }) => at === undefined || at.test(dotted)).flatMap((one) => (one.written ? [one.written] : []));
  return written.reduce((text, [pattern, as]) => text.replace(pattern, as), commonText(value, how.normals));
}

/** Docker keeps them in a map, which it walks in any order. */
const byDestination = (a: { Destination?: string }, b: { Destination?: string }): number => String(a.Destination).localeCompare(String(b.Destination));

/** Compares line by line and field by field, and tells all that differ at once. A line that only one side has does not shift the others. */
export function assertSameSaid(ours: readonly Said[], theirs: readonly Said[]): void {
  const [left, right] = [numbered(ours), numbered(theirs)];
  const wrong = [...new Set([...right.keys(), ...left.keys()])].flatMap((says) => {
    const lines = differencesOf(left.get(says), right.get(says));
    return lines.length === 0 ? [] : [`${says}\n${lines.map((line) => `    ${line}`).join('\n')}`];
  });
  assert.equal(wrong.length, 0, `${wrong.length} answers differ:\n${wrong.join('\n')}`);
}

/** The same may be asked twice. */
function numbered(said: readonly Said[]): Map<string, Omit<Said, 'says'>> {
  const lines = new Map<string, Omit<Said, 'says'>>();
  for (const { says, ...answer } of said) {
    let name = says;
    for (let n = 2; lines.has(name); n++) name = `${says} (${n})`;
    lines.set(name, answer);
  }
  return lines;
}

const SHOWN_LENGTH = 400;
const shown = (value: unknown): string => {
  const text = value === undefined ? '(nothing)' : JSON.stringify(value);
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}… (${text.length} characters)` : text;
};

function differencesOf(ours: unknown, theirs: unknown, path = ''): string[] {
  if (isDeepStrictEqual(ours, theirs)) return [];
  const bothObjects = typeof ours === 'object' && typeof theirs === 'object' && ours !== null && theirs !== null && Array.isArray(ours) === Array.isArray(theirs);
  if (!bothObjects) return [`${path || 'all'}: this engine ${shown(ours)}, dockerd ${shown(theirs)}`];
  const [left, right] = [ours, theirs].map((value) => new Map(Object.entries(value ?? {}))) as [Map<string, unknown>, Map<string, unknown>];
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((key) => differencesOf(left.get(key), right.get(key), path === '' ? key : `${path}.${key}`));
}
