// Help texts: usage line, what it is for, aliases, flags in two columns.
import { usageLine, type Command, type Group } from './command.ts';
import type { FlagSpec } from './flags.ts';

/** Where lines are broken, in columns, when nobody looks at a terminal. */
const WIDTH = 80;
/** Below this many columns left for the text it is moved under the flags, and then not broken at all. */
const NARROW = 24;
/** A line is broken only if at least this many characters go to the next. */
const SLOP = 5;

export interface Overview { path: string; options: readonly FlagSpec[]; groups: readonly Group[]; commands: readonly Command[] }

export function commandHelp(command: Command, path: string, width: number | undefined): string {
  const name = path.slice(path.lastIndexOf(' ') + 1);
  const parts = [`\nUsage:  ${usageLine(command, path)}\n\n${command.short}\n`];
  if (command.aliases) parts.push(`Aliases:\n  ${[name, ...command.aliases.filter((alias) => alias !== name)].join(', ')}\n`);
  if (command.flags.length > 0) parts.push(`Options:\n${flagLines(command.flags, width)}`);
  return parts.join('\n');
}

export function groupHelp(group: Group, path: string): string {
  return `\nUsage:  ${path} COMMAND\n\n${group.short}\n\nCommands:\n${nameLines(group.commands)}\nRun '${path} COMMAND --help' for more information on a command.\n`;
}

export function overviewHelp(all: Overview, width: number | undefined): string {
  return `\nUsage:  ${all.path} [OPTIONS] COMMAND\n\nA container engine for devices that lose power, network and patience\n\n`
    + `Options:\n${flagLines(all.options, width)}\nManagement Commands:\n${nameLines(all.groups, widest(all.groups, all.commands))}\n`
    + `Commands:\n${nameLines(all.commands, widest(all.groups, all.commands))}\nRun '${all.path} COMMAND --help' for more information on a command.\n`;
}

type Named = { name: string; short: string };

const widest = (...lists: ReadonlyArray<readonly Named[]>): number => Math.max(...lists.flat().map((one) => one.name.length));

function nameLines(list: readonly Named[], width = Math.max(11, widest(list))): string {
  return list.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((one) => `  ${one.name.padEnd(Math.max(width, 11))} ${one.short}\n`).join('');
}

function flagLines(flags: readonly FlagSpec[], columns: number | undefined): string {
  const shown = flags.filter((spec) => !spec.hidden).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const heads = shown.map((spec) => `  ${spec.short === undefined ? '   ' : `-${spec.short},`} --${spec.name}${typeWord(spec)}`);
  const indent = Math.max(...heads.map((head) => head.length)) + 3;
  return shown.map((spec, at) => `${(heads[at] ?? '').padEnd(indent)}${wrap(spec.help + defaultText(spec), { indent, width: (columns ?? WIDTH) - 1 })}\n`).join('');
}

const typeWord = (spec: FlagSpec): string => (spec.type === 'bool' ? '' : ` ${spec.type === 'list-default' ? 'list' : spec.type}`);

function defaultText(spec: FlagSpec): string {
  if (spec.value !== undefined) return ` (default ${spec.type === 'string' ? JSON.stringify(spec.value) : spec.value})`;
  switch (spec.type) {
    case 'duration': return ' (default 0s)';
    case 'ulimit': case 'list-default': return ' (default [])';
    case 'map': return ' (default map[])';
    case 'uint16': return ' (default 0)';
    default: return '';
  }
}

function wrap(text: string, box: { indent: number; width: number }): string {
  let indent = box.indent;
  let lead = '';
  if (box.width - indent < NARROW) {
    indent = 16;
    lead = `\n${' '.repeat(indent)}`;
  }
  const room = box.width - indent;
  if (room < NARROW) return text;
  const lines: string[] = [];
  for (let rest = text; ;) {
    const cut = cutAt(rest, room - SLOP);
    lines.push(rest.slice(0, cut));
    if (cut >= rest.length) return lead + lines.join(`\n${' '.repeat(indent)}`);
    rest = rest.slice(cut + 1);
  }
}

function cutAt(text: string, room: number): number {
  if (room + SLOP > text.length) return text.length;
  const blank = Math.max(text.lastIndexOf(' ', room - 1), text.lastIndexOf('\n', room - 1), text.lastIndexOf('\t', room - 1));
  if (blank <= 0) return text.length;
  const newline = text.lastIndexOf('\n', room - 1);
  return newline > 0 && newline < blank ? newline : blank;
}
