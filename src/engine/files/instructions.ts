// Instructions of a Dockerfile as commit takes them: each changes a configuration, none runs anything. Refusals are in Docker's words.
import { invalid } from '../../lib/errors.ts';
import { parseDuration } from '../../wire/duration.ts';
import type { ContainerConfig, HealthConfig } from '../../wire/types.ts';
import { expanded, wordsOf, type Variables } from './words.ts';

const DEFAULT_SHELL = ['/bin/sh', '-c'];
const MIN_DURATION_NS = 1_000_000n;
/** More lines are no command line's. */
const MAX_INSTRUCTIONS = 1024;

type Apply = (config: ContainerConfig, rest: string) => ContainerConfig;

const INSTRUCTIONS: Readonly<Record<string, Apply>> = {
  CMD: (config, rest) => ({ ...config, Cmd: commandOf(config, rest) }),
  // An entrypoint of one's own leaves no place for a command that was meant for another one.
  ENTRYPOINT: (config, rest) => ({ ...config, Entrypoint: rest === '' ? null : commandOf(config, rest), Cmd: null }),
  ENV: (config, rest) => ({ ...config, Env: pairsOf(config, 'ENV', rest).reduce(withVariable, config.Env ?? []) }),
  LABEL: (config, rest) => ({ ...config, Labels: { ...config.Labels, ...Object.fromEntries(pairsOf(config, 'LABEL', rest)) } }),
  EXPOSE: (config, rest) => ({ ...config, ExposedPorts: { ...config.ExposedPorts, ...Object.fromEntries(portsOf(config, rest).map((port) => [port, {}])) } }),
  VOLUME: (config, rest) => ({ ...config, Volumes: { ...config.Volumes, ...Object.fromEntries(volumesOf(config, rest).map((path) => [path, {}])) } }),
  USER: (config, rest) => ({ ...config, User: expanded(one('USER', rest), variablesOf(config)) }),
  WORKDIR: (config, rest) => ({ ...config, WorkingDir: directoryOf(config.WorkingDir, expanded(one('WORKDIR', rest), variablesOf(config))) }),
  ONBUILD: (config, rest) => ({ ...config, OnBuild: [...config.OnBuild ?? [], triggerOf(rest)] }),
  STOPSIGNAL: (config, rest) => ({ ...config, StopSignal: expanded(one('STOPSIGNAL', rest), variablesOf(config)) }),
  HEALTHCHECK: (config, rest) => ({ ...config, Healthcheck: healthcheckOf(rest) }),
};

/** The configuration with all changes made, in their order; itself when there are none. */
export function appliedChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  if (changes.length === 0) return config;
  const lines = logicalLines(changes.join('\n')).map(parsedLine);
  if (lines.length === 0) throw invalid('file with no instructions');
  if (lines.length > MAX_INSTRUCTIONS) throw invalid(`more than ${MAX_INSTRUCTIONS} changes`);
  for (const { word } of lines) if (!Object.hasOwn(INSTRUCTIONS, word)) throw invalid(`${word.toLowerCase()} is not a valid change command`);
  let commandSet = false;
  return lines.reduce((so, { word, rest }) => {
    const next = INSTRUCTIONS[word]?.(so, rest) ?? so;
    if (word === 'CMD') commandSet = true;
    return word === 'ENTRYPOINT' && commandSet ? { ...next, Cmd: so.Cmd } : next;
  }, config);
}

/** Comments and empty lines apart; a backslash at the end goes on with the next line. */
function logicalLines(text: string): string[] {
  const lines: string[] = [];
  let begun = '';
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(#|$)/.test(line)) continue;
    const more = /\\[ \t]*$/.test(line);
    begun += more ? line.replace(/\\[ \t]*$/, '') : line;
    if (more) continue;
    lines.push(begun);
    begun = '';
  }
  if (begun.trim() !== '') lines.push(begun);
  return lines;
}

function parsedLine(line: string): { word: string; rest: string } {
  const [, word = '', rest = ''] = /^\s*(\S+)\s*([\s\S]*?)\s*$/.exec(line) ?? [];
  return { word: word.toUpperCase(), rest };
}

/** A JSON list of words, or one line for the shell; null for an empty list. */
function commandOf(config: ContainerConfig, rest: string): string[] | null {
  const words = jsonWords(rest);
  if (words) return words.length === 0 ? null : words;
  const shell = config.Shell ?? DEFAULT_SHELL;
  return rest === '' ? [...shell] : [...shell, rest];
}

function jsonWords(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((word) => typeof word === 'string') ? value : undefined;
  } catch { return undefined; } // then it is a line
}

function variablesOf(config: ContainerConfig): Variables {
  return new Map((config.Env ?? []).map((entry) => { const at = entry.indexOf('='); return [at < 0 ? entry : entry.slice(0, at), at < 0 ? '' : entry.slice(at + 1)] as const; }));
}

function withVariable(env: readonly string[], [key, value]: readonly [string, string]): string[] {
  const at = env.findIndex((entry) => entry.split('=', 1)[0] === key);
  return at < 0 ? [...env, `${key}=${value}`] : env.with(at, `${key}=${value}`);
}

/** "a=b c=d", or "a b c" for one name with a long value. */
function pairsOf(config: ContainerConfig, instruction: string, rest: string): Array<[string, string]> {
  if (rest === '') throw invalid(`${instruction} requires at least one argument`);
  const variables = variablesOf(config);
  const words = wordsOf(rest);
  const pairs = words[0]?.includes('=') ? words.map((word) => pairOf(instruction, word)) : [longPair(instruction, rest)];
  return pairs.map(([key, value]) => {
    const name = expanded(key, variables);
    if (name === '') throw invalid(`${instruction} names can not be blank`);
    return [name, expanded(value, variables)];
  });
}

function pairOf(instruction: string, word: string): [string, string] {
  const at = word.indexOf('=');
  if (at < 0) throw invalid(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
  if (at === 0) throw invalid(`${instruction} names can not be blank`);
  return [word.slice(0, at), word.slice(at + 1)];
}

function longPair(instruction: string, rest: string): [string, string] {
  const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
  if (key === undefined || value === undefined) throw invalid(`${instruction} must have two arguments`);
  return [key, value];
}

function one(instruction: string, rest: string): string {
  if (rest === '') throw invalid(`${instruction} requires exactly one argument`);
  return rest;
}

function portsOf(config: ContainerConfig, rest: string): string[] {
  if (rest === '') throw invalid('EXPOSE requires at least one argument');
  const variables = variablesOf(config);
  return rest.split(/\s+/).flatMap((word) => expanded(word, variables).split(/\s+/)).flatMap(portRange).toSorted();
}

function portRange(spec: string): string[] {
  const [ports = '', protocol = 'tcp'] = spec.split('/');
  const proto = protocol.toLowerCase();
  const inside = ports.split(':').at(-1) ?? '';
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(inside) ?? [];
  if (first === undefined || Number(last) < Number(first) || Number(last) > 65535) throw invalid(`Invalid containerPort: ${inside}`);
  if (!['tcp', 'udp', 'sctp'].includes(proto)) throw invalid(`Invalid proto: ${protocol}`);
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_none, n) => `${Number(first) + n}/${proto}`);
}

function volumesOf(config: ContainerConfig, rest: string): string[] {
  if (rest === '') throw invalid('VOLUME requires at least one argument');
  return (jsonWords(rest) ?? rest.split(/\s+/)).map((word) => {
    const path = expanded(word, variablesOf(config)).trim();
    if (path === '') throw invalid('VOLUME specified can not be an empty string');
    return path;
  });
}

/** A relative one counts from the one before. */
function directoryOf(current: string, path: string): string {
  if (path.startsWith('/')) return path;
  const parts: string[] = [];
  for (const part of `${current}/${path}`.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

function triggerOf(rest: string): string {
  if (rest === '') throw invalid('ONBUILD requires at least one argument');
  const word = (rest.split(/\s/, 1)[0] ?? '').toUpperCase();
  if (word === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (word === 'FROM' || word === 'MAINTAINER') throw invalid(`${word} isn't allowed as an ONBUILD trigger`);
  return rest;
}

const DURATIONS = { interval: 'Interval', timeout: 'Timeout', 'start-period': 'StartPeriod', 'start-interval': 'StartInterval' } as const;

function healthcheckOf(rest: string): HealthConfig {
  if (rest === '') throw invalid('HEALTHCHECK requires at least one argument');
  const health: HealthConfig = {};
  let left = rest;
  for (let match; (match = /^--([\w-]+)(?:=(\S*))?\s*/.exec(left)); left = left.slice(match[0].length)) takeFlag(health, match[1] ?? '', match[2]);
  const { word, rest: command } = parsedLine(left);
  if (word === 'NONE') {
    if (command !== '') throw invalid('HEALTHCHECK NONE takes no arguments');
    return { Test: ['NONE'] };
  }
  if (word !== 'CMD') throw invalid(`Unknown type ${JSON.stringify(word)} in HEALTHCHECK (try CMD)`);
  if (command === '') throw invalid('Missing command after HEALTHCHECK CMD');
  const words = jsonWords(command);
  return { Test: words ? ['CMD', ...words] : ['CMD-SHELL', command], ...health };
}

function takeFlag(health: HealthConfig, name: string, value: string | undefined): void {
  if (name === 'retries') {
    if (!/^[+-]?\d+$/.test(value ?? '')) throw invalid(`strconv.ParseInt: parsing ${JSON.stringify(value ?? '')}: invalid syntax`);
    if (Number(value) < 1) throw invalid(`--retries must be at least 1 (not ${Number(value)})`);
    health.Retries = Number(value);
    return;
  }
  const field = Object.hasOwn(DURATIONS, name) ? DURATIONS[name as keyof typeof DURATIONS] : undefined;
  if (field === undefined) throw invalid(`Unknown flag: ${name}`);
  if (value === undefined || value === '') throw invalid(`Missing a value on flag: ${name}`);
  const nanos = parseDuration(value);
  if (typeof nanos === 'string') throw invalid(nanos);
  if (nanos !== 0n && nanos < MIN_DURATION_NS) throw invalid(`Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  health[field] = Number(nanos);
}
