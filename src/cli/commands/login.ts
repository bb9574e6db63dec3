// login and logout: credentials for registries, checked by the daemon and kept in config.json.
import { print, warn, type Call, type Command } from '../command.ts';
import { configPath, findAuth, readConfig, serverKey, writeConfig } from '../config.ts';
import { DaemonError, Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { rawTerminal } from '../terminal.ts';

export const login: Command = {
  name: 'login', usage: '[OPTIONS] [SERVER]', short: 'Log in to a registry; without a name, to the daemon\'s default', args: { min: 0, max: 1 },
  flags: [flag('p, password', 'string', 'Password'), flag('password-stdin', 'bool', 'Read the password from stdin'), flag('u, username', 'string', 'Username')],
  run: runLogin,
};

export const logout: Command = {
  name: 'logout', usage: '[SERVER]', short: 'Log out from a registry; without a name, from the daemon\'s default', args: { min: 0, max: 1 }, flags: [],
  run: async (call) => {
    const key = serverKey(call.args[0] ?? 'docker.io');
    const config = await readConfig(call);
    print(call, `Removing login credentials for ${key}`);
    if (Object.hasOwn(config.auths ?? {}, key)) await writeConfig(call, { ...config, auths: Object.fromEntries(Object.entries(config.auths ?? {}).filter(([name]) => name !== key)) });
  },
};

const NOT_INTERACTIVE = 'Error: Cannot perform an interactive login from a non TTY device';

interface Given { username: string; password: string }

async function runLogin(call: Call): Promise<void> {
  const server = serverKey((call.args[0] ?? 'docker.io').replace(/\/+$/, ''));
  const given = await credentials(call, server);
  const answer = await call.client.json<{ Status: string; IdentityToken?: string }>('POST', '/auth', { body: { ...given, serveraddress: server } }).catch((error: unknown) => {
    if (error instanceof DaemonError && error.status === 401) throw new Failure(error.message);
    throw error;
  });
  const config = await readConfig(call);
  const token = answer.IdentityToken ?? '';
  const pair = `${given.username}:${token === '' ? given.password : ''}`;
  const kept = { auth: Buffer.from(pair).toString('base64'), ...(token === '' ? {} : { identitytoken: token }) };
  await writeConfig(call, { ...config, auths: { ...config.auths, [server]: kept } });
  warn(call, `WARNING! Your password will be stored unencrypted in ${configPath(call)}.`);
  print(call, `\n${answer.Status}`);
}

async function credentials(call: Call, server: string): Promise<Given> {
  const { flags, io } = call;
  const username = flags.text('username');
  if (flags.bool('password-stdin')) {
    if (flags.given('password')) throw new Failure('--password and --password-stdin are mutually exclusive');
    if (username === '') throw new Failure('Must provide --username with --password-stdin');
    const password = await readAllInput(call);
    if (password === '') throw new Failure(NOT_INTERACTIVE);
    return { username, password };
  }
  if (flags.given('password')) warn(call, 'WARNING! Using --password via the CLI is insecure. Use --password-stdin.');
  if (username !== '' && flags.text('password') !== '') return { username, password: flags.text('password') };
  const known = findAuth(await readConfig(call), server);
  if (username === '' && known?.username && known.password) {
    print(call, 'Authenticating with existing credentials...');
    return { username: known.username, password: known.password };
  }
  if (!io.stdin.isTTY) throw new Failure(NOT_INTERACTIVE);
  return ask(call, username);
}

/** The daemon's answers come from one line each, the password without echo. */
async function ask(call: Call, typed: string): Promise<Given> {
  const { io } = call;
  const lines = inputLines(call);
  let username = typed;
  if (username === '') {
    io.stdout.write('Username: ');
    username = (await lines.next()).value?.trim() ?? '';
  }
  if (username === '') throw new Failure('Error: Non-null Username Required');
  io.stdout.write('Password: ');
  using _hidden = rawTerminal(io);
  const password = (await lines.next()).value ?? '';
  io.stdout.write('\n');
  if (password === '') throw new Failure('Error: Password Required');
  return { username, password };
}

async function* inputLines(call: Call): AsyncGenerator<string> {
  let held = '';
  for await (const chunk of call.io.stdin.chunks()) {
    for (const char of Buffer.from(chunk).toString('utf8')) {
      if (char === '\x03') throw new Failure('', 130); // ctrl-c, which a raw terminal no longer turns into a signal
      if (char === '\x7f' || char === '\b') held = held.slice(0, -1);
      else if (char !== '\n' && char !== '\r') held += char;
      else {
        yield held;
        held = '';
      }
    }
  }
  if (held !== '') yield held;
}

async function readAllInput(call: Call): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of call.io.stdin.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8').replace(/\r?\n$/, '');
}
