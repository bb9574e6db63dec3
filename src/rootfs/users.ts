// Who a user of a container is: by the container's own passwd and group files, or by number.
import { EngineError } from '../lib/errors.ts';

/** "name", "uid", either with ":group"; `read` gives the text of a file in the container, '' where there is none. Error: in Docker's words. */
export function ownerOf(user: string, read: (path: string) => string): { uid: number; gid: number } {
  const [name = '', group] = user.split(':');
  const account = rowsOf(read('/etc/passwd')).find(([login, , uid]) => login === name || (isNumber(name) && uid === name));
  if (account === undefined && !isNumber(name)) throw new EngineError('system', `unable to find user ${name}: no matching entries in passwd file`);
  const uid = Number(account?.[2] ?? name);
  if (group === undefined || group === '') return { uid, gid: Number(account?.[3] ?? 0) };
  const entry = rowsOf(read('/etc/group')).find(([label]) => label === group);
  if (entry === undefined && !isNumber(group)) throw new EngineError('system', `unable to find group ${group}: no matching entries in group file`);
  return { uid, gid: Number(entry?.[2] ?? group) };
}

const rowsOf = (text: string): string[][] => text.split('\n').map((line) => line.split(':'));
const isNumber = (word: string): boolean => /^\d{1,10}$/.test(word) && Number(word) < 0xffff_ffff;
