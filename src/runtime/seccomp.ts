// The seccomp part of a bundle: our default profile for a machine and a set of capabilities, or a profile of the user's in Docker's format.
import { invalid } from '../lib/errors.ts';
import { AF_VSOCK, ALLOWED, ALLOWED_ON, ALLOWED_WITH, ARCHITECTURES, CLONE_NAMESPACE_FLAGS, PERSONALITIES } from './seccomp-table.ts';

export interface Rule { names: readonly string[]; action: string; errnoRet?: number; args?: readonly Argument[] }
interface Argument { index: number; value: number; valueTwo?: number; op: string }
export interface Profile { defaultAction: string; defaultErrnoRet?: number; architectures?: readonly string[]; flags?: readonly string[]; syscalls: readonly Rule[] }

const ALLOW = 'SCMP_ACT_ALLOW';
const ERRNO = 'SCMP_ACT_ERRNO';
const EPERM = 1;
const ENOSYS = 38;

/** Everything that is not named fails with EPERM, as if the capability for it were missing. */
export function defaultProfile(machine: string, capabilities: readonly string[]): Profile {
  const conditional = capabilities.flatMap((name) => ALLOWED_WITH[name] ?? []);
  const names = [...new Set([...ALLOWED, ...(ALLOWED_ON[machine] ?? []), ...conditional])].toSorted();
  const syscalls: Rule[] = [
    { names, action: ALLOW },
    { names: ['socket'], action: ALLOW, args: [{ index: 0, value: AF_VSOCK, op: 'SCMP_CMP_NE' }] },
    ...PERSONALITIES.map((value) => ({ names: ['personality'], action: ALLOW, args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] })),
  ];
  if (!capabilities.includes('CAP_SYS_ADMIN')) {
    const index = machine === 's390x' ? 1 : 0; // where clone's flags and stack are the other way round
    syscalls.push({ names: ['clone'], action: ALLOW, args: [{ index, value: CLONE_NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] });
    // clone3 hides its flags behind a pointer; ENOSYS makes the C library take clone instead, EPERM would make it give up.
    syscalls.push({ names: ['clone3'], action: ERRNO, errnoRet: ENOSYS });
  }
  return { defaultAction: ERRNO, defaultErrnoRet: EPERM, architectures: ARCHITECTURES[machine] ?? [], syscalls };
}

/** A profile as `--security-opt seccomp=FILE` sends it: conditions (includes, excludes) are decided here, since OCI knows none. */
export function parseProfile(text: string, machine: string, capabilities: readonly string[]): Profile {
  const raw = parseObject(text);
  const syscalls = listOf(raw['syscalls']).filter((entry) => applies(entry, machine, capabilities)).map(ruleOf);
  const architectures = raw['archMap'] === undefined ? stringsOf(raw['architectures']) : archMapOf(listOf(raw['archMap']), machine);
  if (typeof raw['defaultAction'] !== 'string') throw invalid('Decoding seccomp profile failed: defaultAction is missing');
  return {
    defaultAction: raw['defaultAction'],
    ...(typeof raw['defaultErrnoRet'] === 'number' ? { defaultErrnoRet: raw['defaultErrnoRet'] } : {}),
    ...(architectures.length > 0 ? { architectures } : {}),
    ...(stringsOf(raw['flags']).length > 0 ? { flags: stringsOf(raw['flags']) } : {}),
    syscalls,
  };
}

type Json = Readonly<Record<string, unknown>>;

/** Docker's names of machines in conditions, by ours. */
const DOCKER_ARCH: Readonly<Record<string, string>> = {
  x64: 'amd64', ia32: '386', arm64: 'arm64', arm: 'arm', riscv64: 'riscv64', ppc64: 'ppc64le', s390x: 's390x', loong64: 'loong64', mipsel: 'mipsle',
};

function applies(entry: Json, machine: string, capabilities: readonly string[]): boolean {
  const includes = objectOf(entry['includes']);
  const excludes = objectOf(entry['excludes']);
  const arch = DOCKER_ARCH[machine] ?? machine;
  const has = (name: string) => capabilities.includes(name);
  const wantedArches = stringsOf(includes['arches']);
  if (wantedArches.length > 0 && !wantedArches.includes(arch)) return false;
  if (stringsOf(excludes['arches']).includes(arch)) return false;
  return stringsOf(includes['caps']).every(has) && !stringsOf(excludes['caps']).some(has);
}

function ruleOf(entry: Json): Rule {
  const names = stringsOf(entry['names']);
  if (names.length === 0 && typeof entry['name'] === 'string') names.push(entry['name']);
  if (names.length === 0 || typeof entry['action'] !== 'string') throw invalid('Decoding seccomp profile failed: a rule without names or action');
  const args = listOf(entry['args']).map(argumentOf);
  return {
    names, action: entry['action'],
    ...(typeof entry['errnoRet'] === 'number' ? { errnoRet: entry['errnoRet'] } : {}),
    ...(args.length > 0 ? { args } : {}),
  };
}

function argumentOf(arg: Json): Argument {
  const { index, value, valueTwo, op } = arg;
  if (typeof index !== 'number' || typeof value !== 'number' || typeof op !== 'string') throw invalid('Decoding seccomp profile failed: an argument needs index, value and op');
  return { index, value, ...(typeof valueTwo === 'number' ? { valueTwo } : {}), op };
}

function archMapOf(map: readonly Json[], machine: string): string[] {
  const own = ARCHITECTURES[machine]?.[0];
  const entry = map.find((candidate) => candidate['architecture'] === own);
  return entry && own ? [own, ...stringsOf(entry['subArchitectures'])] : [...(ARCHITECTURES[machine] ?? [])];
}

function parseObject(text: string): Json {
  let value: unknown;
  try { value = JSON.parse(text); } catch (cause) { throw invalid('Decoding seccomp profile failed: it is no JSON', { cause }); }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('Decoding seccomp profile failed: it is no object');
  return value as Json;
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Json : {};
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
