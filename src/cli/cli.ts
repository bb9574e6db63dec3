// The command line: words in, text out, and an exit code. It meets the daemon over the API like any other client.
import { EngineError } from '../lib/errors.ts';
import { GIT_COMMIT, VERSION } from '../lib/version.ts';
import { checkArguments, PROGRAM, type Call, type Command, type Group } from './command.ts';
import { DEFAULT_HOST, openClient, type DaemonClient, type Tls } from './client.ts';
import { commands, groups } from './commands/index.ts';
import { DaemonError, EXIT_USAGE, Failure } from './failure.ts';
import { flag, parseFlags, usageFailure, type Flags } from './flags.ts';
import { commandHelp, groupHelp, overviewHelp } from './help.ts';
import type { Io } from './io.ts';
import { missingCommand } from './missing.ts';

export { openClient, type ClientOptions, type DaemonClient } from './client.ts';
export type { Input, Io, Output, Size } from './io.ts';

/** Carries out what `words` say (without the program's name); the exit code is the result. */
export async function runCli(words: readonly string[], client: DaemonClient, io: Io): Promise<number> {
  try {
    return await dispatch(words, client, io);
  } catch (error) {
    return report(error, io);
  } finally {
    await io.stdout.drained();
    await io.stderr.drained();
  }
}

/** The same, and finds out first which daemon to talk to. */
export async function runCommandLine(words: readonly string[], io: Io): Promise<number> {
  let client: DaemonClient;
  try {
    client = await openClientFor(words, io);
  } catch (error) {
    return report(error, io);
  }
  return runCli(words, client, io);
}

/** A client for the daemon that flags and environment name: -H, then DOCKER_HOST, then the engine's own socket. */
export async function openClientFor(words: readonly string[], io: Io): Promise<DaemonClient> {
  let flags: Flags;
  try {
    flags = parseFlags(words, { specs: globalFlags(io), interspersed: false, path: PROGRAM }).flags;
  } catch {
    return openClient({ host: DEFAULT_HOST }); // runCli finds the same mistake and says so
  }
  const host = flags.list('host').at(-1) ?? (io.env['DOCKER_HOST'] || DEFAULT_HOST);
  return openClient({ host: completeHost(host), tls: await tlsOf(flags, io), apiVersion: io.env['DOCKER_API_VERSION'] || undefined });
}

function globalFlags(io: Io) {
  const certificates = io.env['DOCKER_CERT_PATH'] || configDirectoryOf(io);
  return [
    flag('config', 'string', 'Directory of the client\'s config files', { value: configDirectoryOf(io) }),
    flag('D, debug', 'bool', 'Show more about what goes wrong'),
    flag('H, host', 'list', 'Socket of the daemon to talk to'),
    flag('l, log-level', 'string', 'How much to log: debug, info, warn, error or fatal', { value: 'info' }),
    flag('tls', 'bool', 'Talk over TLS; --tlsverify implies it'),
    flag('tlscacert', 'string', 'Authority that must have signed the daemon\'s certificate', { value: `${certificates}/ca.pem` }),
    flag('tlscert', 'string', 'Our own certificate', { value: `${certificates}/cert.pem` }),
    flag('tlskey', 'string', 'Key of our own certificate', { value: `${certificates}/key.pem` }),
    flag('tlsverify', 'bool', 'Talk over TLS and refuse a daemon that cannot prove itself'),
    flag('v, version', 'bool', 'Print the version and leave'),
  ];
}

const configDirectoryOf = (io: Io): string => io.env['DOCKER_CONFIG'] || `${io.home}/.vaquita`;
const completeHost = (host: string): string => (host.includes('://') ? host : host.startsWith('/') ? `unix://${host}` : `tcp://${host}`);

async function tlsOf(flags: Flags, io: Io): Promise<Tls | undefined> {
  const verify = flags.given('tlsverify') ? flags.bool('tlsverify') : Boolean(io.env['DOCKER_TLS_VERIFY']);
  if (!verify && !flags.bool('tls')) return undefined;
  // Files named by a flag must be there; those at the usual places are taken if they are.
  const file = async (name: string) => (flags.given(name) || await io.exists(flags.text(name)) ? io.readFile(flags.text(name)) : undefined);
  const [ca, cert, key] = await Promise.all([file('tlscacert'), file('tlscert'), file('tlskey')]);
  return { verify, ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
}

const LOG_LEVELS = new Set(['debug', 'info', 'warn', 'warning', 'error', 'fatal', 'panic', 'trace']);

async function dispatch(words: readonly string[], client: DaemonClient, io: Io): Promise<number> {
  const specs = globalFlags(io);
  const width = io.size()?.columns;
  const overview = () => overviewHelp({ path: PROGRAM, options: specs, groups, commands }, width);
  let parsed;
  try {
    parsed = parseFlags(words, { specs, interspersed: false, path: PROGRAM });
  } catch (error) {
    if (error instanceof Failure) throw new Failure(`${error.message}\n${overview()}`, error.code);
    throw error;
  }
  const { flags, args: [word, ...rest], help } = parsed;
  if (flags.bool('version')) return say(io, `${PROGRAM[0]?.toUpperCase()}${PROGRAM.slice(1)} version ${VERSION}, build ${GIT_COMMIT}\n`);
  if (!LOG_LEVELS.has(flags.text('log-level'))) throw new Failure(`Unable to parse logging level: ${flags.text('log-level')}`);
  if (word === undefined || help) return say(io, overview());
  const configDirectory = flags.text('config');
  if (word === 'help') return explain(rest, io, overview);
  const group = groups.find((one) => one.name === word);
  if (group) return runInGroup(group, rest, { client, io, configDirectory });
  const command = findCommand(commands, word);
  const missing = command ? undefined : missingCommand(word);
  if (missing) throw missing;
  if (!command && rest.includes('--help')) return say(io, overview());
  if (!command) throw new Failure(`${PROGRAM}: '${word}' is not a ${PROGRAM} command.\nSee '${PROGRAM} --help'`);
  return runCommand(command, rest, { client, io, configDirectory, path: `${PROGRAM} ${command.name}` });
}

type Surroundings = Pick<Call, 'client' | 'io' | 'configDirectory'>;

async function runInGroup(group: Group, words: readonly string[], around: Surroundings): Promise<number> {
  const path = `${PROGRAM} ${group.name}`;
  const [word, ...rest] = words;
  const command = word === undefined ? undefined : findCommand(group.commands, word);
  if (command) return runCommand(command, rest, { ...around, path: `${path} ${command.name}` });
  const missing = word === undefined ? undefined : missingCommand(word, group.name);
  if (missing) throw missing;
  if (word !== undefined && word.startsWith('-') && word !== '--help' && word !== '-h') {
    throw new Failure(`${usageFailure(unknownFlag(word), path).message}\n${groupHelp(group, path)}`, EXIT_USAGE);
  }
  const asked = word !== undefined && word.startsWith('-');
  (asked ? around.io.stdout : around.io.stderr).write(groupHelp(group, path));
  return word === undefined || asked ? 0 : 1;
}

const unknownFlag = (word: string): string => (word.startsWith('--') ? `unknown flag: ${word}` : `unknown shorthand flag: '${word.charAt(1)}' in ${word}`);

async function runCommand(command: Command, words: readonly string[], call: Surroundings & { path: string }): Promise<number> {
  const { flags, args, help } = parseFlags(words, { specs: command.flags, interspersed: !command.flagsFirst, path: call.path });
  if (help) return say(call.io, commandHelp(command, call.path, call.io.size()?.columns));
  checkArguments(command, call.path, args.length);
  return await command.run({ ...call, flags, args }) ?? 0;
}

/** `help`, `help ps`, `help container ls`. */
function explain(words: readonly string[], io: Io, overview: () => string): number {
  const [first, second] = words;
  if (first === undefined) return say(io, overview());
  const group = groups.find((one) => one.name === first);
  const command = group ? findCommand(group.commands, second ?? '') : findCommand(commands, first);
  const path = [PROGRAM, ...(group ? [group.name] : []), ...(command ? [command.name] : [])].join(' ');
  if (command) return say(io, commandHelp(command, path, io.size()?.columns));
  if (group && second === undefined) return say(io, groupHelp(group, path));
  const missing = group ? missingCommand(second ?? '', group.name) : missingCommand(first);
  throw missing ?? new Failure(`unknown help topic: ${words.join(' ')}`);
}

const findCommand = (among: readonly Command[], word: string): Command | undefined =>
  among.find((one) => one.name === word) ?? among.find((one) => one.aliases?.includes(word));

function say(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

function report(error: unknown, io: Io): number {
  const known = error instanceof Failure || error instanceof DaemonError || error instanceof EngineError;
  const message = error instanceof Error ? error.message : String(error);
  if (message !== '') io.stderr.write(`${message}\n`);
  if (error instanceof Failure) return error.code;
  // Anything else is a mistake of ours: the place of it helps whoever reads the report.
  if (!known && error instanceof Error && io.env['VAQUITA_DEBUG']) io.stderr.write(`${error.stack ?? ''}\n`);
  return message === '' ? EXIT_USAGE : 1;
}
