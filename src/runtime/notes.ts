// Texts that the engine keeps beside a task, in its folder: on tmpfs, and gone with it.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { assert } from '../lib/errors.ts';

/** Files there besides notes: those being written. */
const STAGED = '.';

export function saveNote(bundle: string, { name, text }: { name: string; text: string }): void {
  assert(/^[a-z][a-z0-9-]*$/.test(name), `${JSON.stringify(name)} can be the name of a note`);
  const folder = `${bundle}/notes`;
  if (text === '') return rmSync(`${folder}/${name}`, { force: true });
  if (!existsSync(bundle)) return; // the task has just gone, and what is to be said of it with it
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(`${folder}/${STAGED}${name}`, text, { mode: 0o600 });
  renameSync(`${folder}/${STAGED}${name}`, `${folder}/${name}`);
}

export function readNotes(bundle: string): ReadonlyMap<string, string> {
  const folder = `${bundle}/notes`;
  if (!existsSync(folder)) return new Map();
  return new Map(readdirSync(folder).filter((name) => !name.startsWith(STAGED)).map((name) => [name, readFileSync(`${folder}/${name}`, 'utf8')]));
}
