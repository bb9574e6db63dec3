// Whether two engines said the same, apart from what is never the same twice, and whether a row differs as it says.
import { isDeepStrictEqual } from 'node:util';
import type { Differs } from './rows.ts';
import type { Reply } from './world.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Paths of a container that are one engine's own: identities, places, times, and where layers lie. */
const OWN = /^(Id|Created|Name|LogPath|State\.(Pid|StartedAt|FinishedAt)|ResolvConfPath|HostnamePath|HostsPath|GraphDriver\..*|HostConfig\.ContainerIDEnv|NetworkSettings\.(SandboxID|SandboxKey)|(NetworkSettings\.)?Networks\.\w+\.(NetworkID|EndpointID))$/;

export const jsonOf = (reply: Reply): Json => { try { return JSON.parse(reply.text) as Json; } catch { return reply.text; } };

/** IDs and times written alike. */
export const neutral = (text: string): string => text.trim()
  .replace(/(Less than a|About an?|\d+) (second|minute)s?/g, '<while>').replace(/(sha256:)?\b[0-9a-f]{64}\b/g, (id, digest: string | undefined) => (digest ? id : '<id>')).replace(/\b[0-9a-f]{12}\b/g, '<short id>');

/** Every field whose values differ, as `path: ours | theirs`. */
export function differences(ours: Json, theirs: Json, path = ''): string[] {
  if (OWN.test(path)) return [];
  if (typeof ours === 'object' && ours !== null && typeof theirs === 'object' && theirs !== null && Array.isArray(ours) === Array.isArray(theirs)) {
    const [a, b] = [ours as Record<string, Json>, theirs as Record<string, Json>];
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) => differences(a[key] ?? (key in a ? null : '<absent>'), b[key] ?? (key in b ? null : '<absent>'), path === '' ? key : `${path}.${key}`));
  }
  const alike = typeof ours === 'string' && typeof theirs === 'string' ? neutral(ours) === neutral(theirs) : isDeepStrictEqual(ours, theirs);
  return alike ? [] : [`${path}: ${JSON.stringify(ours)} | ${JSON.stringify(theirs)}`];
}

/** What is wrong with a pair of answers, or undefined. `same` tells whether bodies of successful answers agree. */
export function wrongWith([ours, theirs]: readonly [Reply, Reply], { differs, same }: { differs: Differs | undefined; same: boolean }): string | undefined {
  const refused = ({ status }: Reply) => status >= 400;
  const bothRefuse = refused(ours) && refused(theirs);
  const words = neutral(ours.text) === neutral(theirs.text);
  const equal = ours.status === theirs.status && (bothRefuse ? words : same);
  const asSaid = (() => {
    switch (differs?.how) {
      case undefined: case 'inspect': return equal;
      case 'words': return bothRefuse && ours.status === theirs.status && !words;
      case 'status': return bothRefuse && ours.status !== theirs.status;
      case 'refused here': return refused(ours) && !refused(theirs);
      case 'taken here': return !refused(ours) && refused(theirs);
      case 'answer': return !refused(ours) && !refused(theirs) && !equal;
    }
  })();
  if (ours.status >= 500 && !equal) return `this engine failed: ${shown(ours)}`;
  return asSaid ? undefined : `${differs ? `should differ by ${differs.how} (${differs.why})` : 'should be the same'}\n  this engine: ${shown(ours)}\n  dockerd:     ${shown(theirs)}`;
}

const shown = ({ status, text }: Reply): string => `${status} ${neutral(text).slice(0, 500)}`;
