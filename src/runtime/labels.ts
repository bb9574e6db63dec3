// SELinux labels of a container: the policy's own for containers, with two categories that no other container has, or as the user says. Pure.
import { invalid } from '../lib/errors.ts';

/** From the policy's lxc_contexts: "user:role:type:level" of container processes and of their files. */
export interface LabelContexts { process: string; file: string }

const FIELDS = ['user', 'role', 'type', 'level'] as const;

/** Both are '' where SELinux is off or the label is disabled. Error: invalid, in Docker's words. */
export function decideLabels(options: readonly string[], contexts: LabelContexts | undefined, categories: () => readonly [number, number]): { process: string; mount: string } {
  if (contexts === undefined || options.includes('disable')) return { process: '', mount: '' };
  const [low, high] = categories().toSorted((a, b) => a - b);
  const process = { ...fieldsOf(contexts.process), level: `s0:c${low},c${high}` };
  const mount = { ...fieldsOf(contexts.file), level: process.level };
  for (const option of options) {
    const colon = option.indexOf(':');
    const [key, value] = colon < 0 ? [option, ''] : [option.slice(0, colon), option.slice(colon + 1)];
    if (value === '') throw invalid(`Bad label option ${JSON.stringify(option)}, valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value`);
    if (key === 'filetype') mount.type = value;
    else if (key === 'level') process.level = mount.level = value;
    else if (key === 'user') process.user = mount.user = value;
    else if (key === 'role' || key === 'type') process[key] = value;
    else throw invalid(`Bad label option ${JSON.stringify(key)}, valid options 'disable, user, role, level, type, filetype'`);
  }
  const text = (label: typeof process) => FIELDS.map((field) => label[field]).join(':');
  return { process: text(process), mount: text(mount) };
}

/** 'process = "system_u:system_r:container_t:s0"' and so on; undefined when a line is missing. */
export function parseContexts(text: string): LabelContexts | undefined {
  const value = (name: string) => new RegExp(`^\\s*${name}\\s*=\\s*"([^"]+)"`, 'm').exec(text)?.[1];
  const [process, file] = [value('process'), value('file')];
  return process === undefined || file === undefined ? undefined : { process, file };
}

function fieldsOf(context: string): Record<(typeof FIELDS)[number], string> {
  const [user = '', role = '', type = '', ...level] = context.split(':');
  return { user, role, type, level: level.join(':') };
}
