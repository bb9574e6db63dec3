// The seccomp part of a bundle: our default profile for a machine and a set of capabilities, or a profile of the user's in Docker's format.
import { EngineError } from '../lib/errors.ts';
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

/** What a profile's conditions ask about. */
export interface ProfileGiven { arch: string; /** Release of the kernel, such as 6.1.0-18-amd64. */ kernel: string; capabilities: readonly string[] }

/**
 * A profile as `--security-opt seccomp=FILE` sends it: conditions (includes, excludes) are decided here, since OCI knows none. undefined for
 * one that says nothing at all, which turns seccomp off. Error: system, in the words of Docker, who also only looks when it starts.
 */
export function parseProfile(text: string, given: ProfileGiven): Profile | undefined {
  const raw = parseObject(text);
  const [architectures, archMap] = [stringsOf(raw['architectures']), listOf(raw['archMap'])];
  if (architectures.length > 0 && archMap.length > 0) throw wrong("'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'");
  const defaultAction = typeof raw['defaultAction'] === 'string' ? raw['defaultAction'] : '';
  if (defaultAction === '' && listOf(raw['syscalls']).length === 0) return undefined;
  const syscalls = listOf(raw['syscalls']).filter((entry) => applies(entry, given)).map(ruleOf);
  const wanted = archMap.length > 0 ? archMapOf(archMap, given.arch) : architectures;
  return {
    defaultAction,
    ...(typeof raw['defaultErrnoRet'] === 'number' ? { defaultErrnoRet: raw['defaultErrnoRet'] } : {}),
    ...(wanted.length > 0 ? { architectures: wanted } : {}),
    ...(stringsOf(raw['flags']).length > 0 ? { flags: stringsOf(raw['flags']) } : {}),
    syscalls,
  };
}

type Json = Readonly<Record<string, unknown>>;

const wrong = (words: string, options?: ErrorOptions) => new EngineError('system', words, options);
const undecodable = (words: string, options?: ErrorOptions) => wrong(`Decoding seccomp profile failed: ${words}`, options);

/** Docker's names of machines in conditions, by ours. */
const DOCKER_ARCH: Readonly<Record<string, string>> = {
  x64: 'amd64', ia32: '386', arm64: 'arm64', arm: 'arm', riscv64: 'riscv64', ppc64: 'ppc64le', s390x: 's390x', loong64: 'loong64', mipsel: 'mipsle',
};

function applies(entry: Json, { arch: machine, kernel, capabilities }: ProfileGiven): boolean {
  const includes = objectOf(entry['includes']);
  const excludes = objectOf(entry['excludes']);
  const arch = DOCKER_ARCH[machine] ?? machine;
  const [least, below] = [includes['minKernel'], excludes['minKernel']];
  if (typeof least === 'string' && !isAtLeast(kernel, least)) return false;
  if (typeof below === 'string' && isAtLeast(kernel, below)) return false;
  const has = (name: string) => capabilities.includes(name);
  const wantedArches = stringsOf(includes['arches']);
  if (wantedArches.length > 0 && !wantedArches.includes(arch)) return false;
  if (stringsOf(excludes['arches']).includes(arch)) return false;
  return stringsOf(includes['caps']).every(has) && !stringsOf(excludes['caps']).some(has);
}

/** By the first two numbers of a release. */
function isAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [leastMajor = 0, leastMinor = 0] = wanted.split('.').map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

function ruleOf(entry: Json): Rule {
  const names = stringsOf(entry['names']);
  if (names.length > 0 && entry['name']) throw wrong("'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'");
  if (names.length === 0 && typeof entry['name'] === 'string') names.push(entry['name']);
  if (names.length === 0 || typeof entry['action'] !== 'string') throw undecodable('a rule without names or action');
  const args = listOf(entry['args']).map(argumentOf);
  return {
    names, action: entry['action'],
    ...(typeof entry['errnoRet'] === 'number' ? { errnoRet: entry['errnoRet'] } : {}),
    ...(args.length > 0 ? { args } : {}),
  };
}

function argumentOf(arg: Json): Argument {
  const { index, value, valueTwo, op } = arg;
  if (typeof index !== 'number' || typeof value !== 'number' || typeof op !== 'string') throw undecodable('an argument needs index, value and op');
  return { index, value, ...(typeof valueTwo === 'number' ? { valueTwo } : {}), op };
}

function archMapOf(map: readonly Json[], machine: string): string[] {
  const own = ARCHITECTURES[machine]?.[0];
  const entry = map.find((candidate) => candidate['architecture'] === own);
  return entry && own ? [own, ...stringsOf(entry['subArchitectures'])] : [...(ARCHITECTURES[machine] ?? [])];
}

function parseObject(text: string): Json {
  let value: unknown;
  try { value = JSON.parse(text); } catch (cause) { throw undecodable(syntaxTrouble(text), { cause }); }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw undecodable(`json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value} into Go value of type seccomp.Seccomp`);
}

/** As Go's decoder says it: that is how people know that they have given a path to the wrong flag. */
function syntaxTrouble(text: string): string {
  const start = text.trimStart();
  const first = start.charAt(0);
  if (first === '') return 'unexpected end of JSON input';
  const literal = ['null', 'true', 'false'].find((word) => word.startsWith(first));
  if (literal === undefined) return /[-{["0-9]/.test(first) ? 'invalid JSON' : `invalid character '${first}' looking for beginning of value`;
  const at = literal.split('').findIndex((letter, n) => start.charAt(n) !== letter);
  if (start.charAt(at) === '') return 'unexpected end of JSON input';
  return at < 0 ? 'invalid JSON' : `invalid character '${start.charAt(at)}' in literal ${literal} (expecting '${literal.charAt(at)}')`;
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
