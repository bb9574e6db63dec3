// Who a process runs as: a client's "name:group" looked up in the container's own passwd and group files. Pure.
import { EngineError } from '../lib/errors.ts';

export interface UserFiles { passwd: string; group: string }
export interface ResolvedUser { uid: number; gid: number; additionalGids: number[] }

/** Ids above this are refused: older kernels and file systems read them as negative. */
const MAX_ID = 2_147_483_647;

/** `wanted` is name or uid, optionally :group, or '' for root; `groupAdd` are more groups by name or number. */
export function resolveUser(wanted: string, files: UserFiles, groupAdd: readonly string[] = []): ResolvedUser {
  const colon = wanted.indexOf(':');
  const userPart = colon < 0 ? wanted : wanted.slice(0, colon);
  const groupPart = colon < 0 ? '' : wanted.slice(colon + 1);
  const groups = parseGroups(files.group);
  const user = findUser(userPart, files.passwd);
  const gid = groupPart === '' ? user.gid : findGroup(groupPart, groups, `unable to find group ${groupPart}: no matching entries in group file`);
  // Naming a group replaces the user's memberships; so it is in every engine.
  const memberships = groupPart === '' && user.name !== '' ? groups.filter((group) => group.members.includes(user.name)).map((group) => group.gid) : [];
  const added = groupAdd.map((name) => findGroup(name, groups, `Unable to find group ${name}: no matching entries in group file`));
  // The primary group is among them, so that dropping it from a file's permissions cannot be got round.
  return { uid: user.uid, gid, additionalGids: [...new Set([gid, ...memberships, ...added])] };
}

/** Whether passwd has an entry for it. */
export function isKnown(uid: number, files: Pick<UserFiles, 'passwd'>): boolean {
  return files.passwd.split('\n').some((line) => {
    const [name = '', , uidText = ''] = line.split(':');
    return name !== '' && !name.startsWith('#') && numeric(uidText) === uid;
  });
}

interface Group { name: string; gid: number; members: string[] }

function findUser(wanted: string, passwd: string): { name: string; uid: number; gid: number } {
  const id = numeric(wanted === '' ? '0' : wanted);
  for (const line of passwd.split('\n')) {
    const [name = '', , uidText = '', gidText = ''] = line.split(':');
    const uid = numeric(uidText);
    if (name === '' || name.startsWith('#') || uid === undefined) continue;
    if (name === wanted || uid === id) return { name, uid, gid: numeric(gidText) ?? 0 };
  }
  if (id === undefined) throw failed(`unable to find user ${wanted}: no matching entries in passwd file`);
  return { name: '', uid: inRange(id), gid: 0 };
}

function findGroup(wanted: string, groups: readonly Group[], otherwise: string): number {
  const id = numeric(wanted);
  const found = groups.find((group) => group.name === wanted || group.gid === id);
  if (found) return found.gid;
  if (id === undefined) throw failed(otherwise);
  return inRange(id);
}

function parseGroups(text: string): Group[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , gidText = '', members = ''] = line.split(':');
    const gid = numeric(gidText);
    return name === '' || name.startsWith('#') || gid === undefined ? [] : [{ name, gid, members: members.trim().split(',') }];
  });
}

/** Docker too finds out only when it starts, and calls it a failure of its own. */
const failed = (words: string) => new EngineError('system', words);

function numeric(text: string): number | undefined {
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function inRange(id: number): number {
  if (id < 0 || id > MAX_ID) throw failed(`uids and gids must be in range 0-${MAX_ID}`);
  return id;
}
