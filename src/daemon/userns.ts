// --userns-remap: from the user that was named to the ranges of numbers in which containers live, as the files of the machine have them.
import { readFileSync, writeFileSync, appendFileSync } from 'node:fs';
import { EngineError, errnoOf, invalid, messageOf } from '../lib/errors.ts';
import type { IdMap, IdRange } from '../lib/ids.ts';
import type { Log } from '../lib/log.ts';

/** The user of 'default', made when it is not there. Source: dockerd's documentation of --userns-remap. */
const DEFAULT_USER = 'dockremap';
/** What useradd itself gives to a new user, and from where on. Source: login.defs(5). */
const RANGE_SIZE = 65_536;
const FIRST_SUBORDINATE_ID = 100_000;

export interface UserTables { passwd: string; group: string; subuid: string; subgid: string }

export interface RemapNeeds {
  log: Log;
  /** Folder of passwd, group, subuid and subgid. */
  etc?: string;
  /** Runs a program to its end; its words are in the error. */
  run: (command: readonly [string, ...string[]]) => Promise<unknown>;
}

/** undefined: no remapping ('' was named, or root, which cannot be anybody else). Error: invalid, in dockerd's words. */
export async function openIdMap(wanted: string, { log, etc = '/etc', run }: RemapNeeds): Promise<IdMap | undefined> {
  if (wanted === '') return undefined;
  const read = () => ({ passwd: textOf(`${etc}/passwd`), group: textOf(`${etc}/group`), subuid: textOf(`${etc}/subuid`), subgid: textOf(`${etc}/subgid`) });
  if (wanted === 'default' && findUser(DEFAULT_USER, read().passwd) === undefined) await makeDefaultUser(run);
  if (wanted === 'default') giveRanges(etc, read());
  const user = remapUser(wanted, read());
  if (user === 'root') {
    log.warn('user namespaces: root cannot be remapped with itself; user namespaces are off');
    return undefined;
  }
  return idMapOf(user, read());
}

/** The name of the user whose ranges are meant; a group is only looked up, as in Docker since 20.10. Pure. */
export function remapUser(wanted: string, tables: UserTables): string {
  const [userPart = '', groupPart, more] = wanted.split(':');
  if (more !== undefined || userPart === '') throw invalid(`Invalid user/group specification in --userns-remap: "${wanted}"`);
  const name = userPart === 'default' ? DEFAULT_USER : userPart;
  const user = findUser(name, tables.passwd);
  if (user === undefined) {
    const unable = `unable to find entry "${name}" in passwd database`;
    throw invalid(isNumber(name) ? `Uid ${name} has no entry in /etc/passwd: ${unable}` : `Error during uid lookup for "${name}": ${unable}`);
  }
  // Without a group, the one that is called (or numbered) like the user.
  const group = groupPart ?? name;
  if (findGroup(group, tables.group)) return user;
  const unable = `unable to find entry "${group}" in group database`;
  if (isNumber(group)) throw invalid(`Gid ${group} has no entry in ${groupPart === undefined ? '/etc/group' : '/etc/passwd'}: ${unable}`);
  throw invalid(`Error during ${groupPart === undefined ? 'gid' : 'groupname'} lookup for "${group}": ${unable}`);
}

/** The ranges that subuid and subgid give to the user, one after another from 0 on. Pure. */
export function idMapOf(user: string, tables: UserTables): IdMap {
  const uids = rangesOf(user, tables.subuid);
  if (uids.length === 0) throw invalid(`Can't create ID mappings: no subuid ranges found for user "${user}"`);
  const gids = rangesOf(user, tables.subgid);
  if (gids.length === 0) throw invalid(`Can't create ID mappings: no subgid ranges found for user "${user}"`);
  return { uids, gids };
}

/** Lines such as "dockremap:100000:65536". Source: subuid(5). */
function rangesOf(user: string, text: string): IdRange[] {
  const ranges: IdRange[] = [];
  for (const line of text.split('\n')) {
    const [name, first, size] = line.trim().split(':');
    if ((name !== user && name !== 'ALL') || !isNumber(first) || !isNumber(size) || Number(size) === 0) continue;
    const containerId = ranges.reduce((sum, range) => sum + range.size, 0);
    ranges.push({ containerId, hostId: Number(first), size: Number(size) });
  }
  return ranges;
}

async function makeDefaultUser(run: RemapNeeds['run']): Promise<void> {
  try {
    await run(['useradd', '--system', '--no-create-home', '--user-group', '--shell', '/bin/false', DEFAULT_USER]);
  } catch (error) {
    throw new EngineError('system', `Error during "${DEFAULT_USER}" user creation: ${messageOf(error)}`, { cause: error });
  }
}

/** A system user gets no ranges from useradd; those it already has stay. */
function giveRanges(etc: string, tables: UserTables): void {
  for (const file of ['subuid', 'subgid'] as const) {
    const text = tables[file];
    if (rangesOf(DEFAULT_USER, text).length > 0) continue;
    const line = `${DEFAULT_USER}:${nextFree(text)}:${RANGE_SIZE}\n`;
    if (text === '') writeFileSync(`${etc}/${file}`, line, { mode: 0o644 });
    else appendFileSync(`${etc}/${file}`, text.endsWith('\n') ? line : `\n${line}`);
  }
}

/** Behind all that is given away. */
function nextFree(text: string): number {
  const ends = text.split('\n').map((line) => line.split(':')).filter(([, first, size]) => isNumber(first) && isNumber(size)).map(([, first, size]) => Number(first) + Number(size));
  return Math.max(FIRST_SUBORDINATE_ID, ...ends);
}

function findUser(wanted: string, passwd: string): string | undefined {
  return fieldsOf(passwd).find(([name, , uid]) => (isNumber(wanted) ? Number(uid) === Number(wanted) : name === wanted))?.[0];
}

function findGroup(wanted: string, group: string): boolean {
  return fieldsOf(group).some(([name, , gid]) => (isNumber(wanted) ? Number(gid) === Number(wanted) : name === wanted));
}

const fieldsOf = (text: string) => text.split('\n').map((line) => line.split(':')).filter(([name, , id]) => name !== undefined && name !== '' && isNumber(id));
const isNumber = (text: string | undefined): boolean => text !== undefined && /^\d{1,10}$/.test(text);

function textOf(path: string): string {
  try { return readFileSync(path, 'utf8'); } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
