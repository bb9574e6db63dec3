// version: of this program and of the daemon it talks to.
import { arch } from 'node:os';
import { hostPlatform } from '../../oci/platform.ts';
import { BUILD_TIME, GIT_COMMIT, VERSION } from '../../lib/version.ts';
import type { Call, Command } from '../command.ts';
import { flag } from '../flags.ts';
import { renderObject } from '../rows.ts';
import { buildTime } from '../time.ts';
import { Failure } from '../failure.ts';

interface ServerVersion {
  Platform?: { Name: string };
  Version: string;
  Components?: Array<{ Name: string; Version: string; Details?: Record<string, string> }>;
  [field: string]: unknown;
}

const KEY_COLUMNS = 20;

export const version: Command = {
  name: 'version', usage: '[OPTIONS]', short: 'Show the versions of this program and of the daemon', args: { min: 0, max: 0 },
  flags: [flag('f, format', 'string', 'Print by a Go template'), flag('kubeconfig', 'string', 'Accepted and ignored', { hidden: true })],
  run: runVersion,
};

async function runVersion(call: Call): Promise<void> {
  const client = clientVersion(call);
  const asked = await call.client.json<ServerVersion>('GET', '/version').then((server) => ({ server }), (error: unknown) => ({ error: error as Error }));
  const server = 'server' in asked ? asked.server : undefined;
  const format = call.flags.text('format');
  call.io.stdout.write(format === '' ? clientText(client) + (server ? `\n${serverText(server)}` : '') : `${renderObject(format, { Client: withGoName(client), Server: server ? withGoName(server) : null }, 'system.versionInfo')}\n`);
  // What is known is shown even when there is no daemon, which then is the error.
  if ('error' in asked) throw asked.error instanceof Failure ? asked.error : new Failure(asked.error.message);
}

function clientVersion(call: Call) {
  return {
    Platform: { Name: '' }, Version: VERSION, ApiVersion: call.client.apiVersion, DefaultAPIVersion: call.client.apiVersion, GitCommit: GIT_COMMIT,
    GoVersion: '', Os: 'linux', Arch: hostPlatform(arch(), '').architecture, BuildTime: BUILD_TIME, Context: 'default', Experimental: true,
  };
}

/** Templates may say APIVersion, as Docker's do; JSON goes on saying ApiVersion. */
const withGoName = (version: object): object =>
  Object.defineProperty({ ...version }, 'APIVersion', { value: 'ApiVersion' in version ? version.ApiVersion : '', enumerable: false });

const line = (indent: string, key: string, value: string): string => `${(`${indent}${key}:`).padEnd(KEY_COLUMNS)}${value}\n`;

function clientText(client: ReturnType<typeof clientVersion>): string {
  const rest = [['Git commit', client.GitCommit], ['Built', buildTime(client.BuildTime)]].filter(([, value]) => value !== '');
  return `Client:\n${line(' ', 'Version', client.Version)}${line(' ', 'API version', client.ApiVersion)}${rest.map(([key, value]) => line(' ', key ?? '', value ?? '')).join('')}`;
}

function serverText(server: ServerVersion): string {
  const name = server.Platform?.Name ?? '';
  const components = server.Components ?? [{ Name: 'Engine', Version: server.Version, Details: server as unknown as Record<string, string> }];
  return `Server:${name === '' ? '' : ` ${name}`}\n${components.map((component) => componentText(component)).join('')}`;
}

function componentText({ Name, Version, Details = {} }: { Name: string; Version: string; Details?: Record<string, string> }): string {
  const head = ` ${Name}:\n${line('  ', 'Version', Version)}`;
  if (Name !== 'Engine') return head + Object.keys(Details).toSorted().map((key) => line('  ', key, Details[key] ?? '')).join('');
  return head
    + line('  ', 'API version', `${Details['ApiVersion'] ?? ''} (minimum version ${Details['MinAPIVersion'] ?? ''})`)
    + (Details['GoVersion'] ? line('  ', 'Go version', Details['GoVersion']) : '')
    + line('  ', 'Git commit', Details['GitCommit'] ?? '')
    + line('  ', 'Built', buildTime(Details['BuildTime'] ?? ''))
    + line('  ', 'OS/Arch', `${Details['Os'] ?? ''}/${Details['Arch'] ?? ''}`)
    + line('  ', 'Experimental', Details['Experimental'] ?? 'false');
}
