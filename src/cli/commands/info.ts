// info: what the daemon is, has and can do.
import type { Call, Command } from '../command.ts';
import { warn } from '../command.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { renderObject } from '../rows.ts';
import { bytesSize } from '../../wire/units.ts';

interface Info {
  ID: string;
  Containers: number; ContainersRunning: number; ContainersPaused: number; ContainersStopped: number;
  Images: number;
  Driver: string;
  DriverStatus?: Array<[string, string]> | null;
  Plugins: { Volume?: string[] | null; Network?: string[] | null; Authorization?: string[] | null; Log?: string[] | null };
  Swarm?: { NodeID: string; LocalNodeState: string; ControlAvailable: boolean; NodeAddr: string };
  Runtimes?: Record<string, unknown> | null;
  RegistryConfig?: { InsecureRegistryCIDRs?: string[] | null; IndexConfigs?: Record<string, { Name: string; Secure: boolean }> | null; Mirrors?: string[] | null } | null;
  SecurityOptions?: string[] | null;
  Labels?: string[] | null;
  Warnings?: string[] | null;
  Debug: boolean;
  [field: string]: unknown;
}

const CLIENT = 'Client:\n Context:    default\n Debug Mode: false\n\n';

export const info: Command = {
  name: 'info', usage: '[OPTIONS]', short: 'Display system-wide information', args: { min: 0, max: 0 },
  flags: [flag('f, format', 'string', 'Print by a Go template')],
  run: runInfo,
};

async function runInfo(call: Call): Promise<void> {
  const format = call.flags.text('format');
  const client = { Debug: false, Context: 'default', Plugins: [], Warnings: null };
  const asked = await call.client.json<Info>('GET', '/info').then((server) => ({ server }), (error: unknown) => ({ error: error as Error }));
  if ('error' in asked) {
    if (format !== '') throw asked.error;
    call.io.stdout.write(`${CLIENT}Server:\nERROR: ${asked.error.message}\n`);
    throw new Failure('errors pretty printing info');
  }
  if (format !== '') {
    call.io.stdout.write(`${renderObject(format, { ...asked.server, ClientInfo: client }, 'system.info')}\n`);
    return;
  }
  call.io.stdout.write(`${CLIENT}Server:\n${serverText(asked.server)}\n`);
  for (const warning of asked.server.Warnings ?? []) warn(call, warning);
}

function serverText(server: Info): string {
  const lines = [...counts(server), ...drivers(server), ...plugins(server), ...swarm(server), ...runtimes(server), ...security(server), ...machine(server), ...registries(server)];
  return lines.map((line) => `${line}\n`).join('');
}

const text = (server: Info, field: string): string => String((server[field] ?? '') as string | number | boolean);
const given = (server: Info, field: string, title: string): string[] => (text(server, field) === '' ? [] : [` ${title}: ${text(server, field)}`]);

function counts(server: Info): string[] {
  return [` Containers: ${server.Containers}`, `  Running: ${server.ContainersRunning}`, `  Paused: ${server.ContainersPaused}`, `  Stopped: ${server.ContainersStopped}`, ` Images: ${server.Images}`];
}

function drivers(server: Info): string[] {
  const status = (server.DriverStatus ?? []).map(([key, value]) => `  ${key}: ${value}`);
  return [
    ...given(server, 'ServerVersion', 'Server Version'), ` Storage Driver: ${server.Driver}`, ...status,
    ...given(server, 'LoggingDriver', 'Logging Driver'), ...given(server, 'CgroupDriver', 'Cgroup Driver'), ...given(server, 'CgroupVersion', 'Cgroup Version'),
  ];
}

function plugins({ Plugins }: Info): string[] {
  const list = (names: string[] | null | undefined) => (names ?? []).join(' ');
  return [
    ' Plugins:', `  Volume: ${list(Plugins.Volume)}`, `  Network: ${list(Plugins.Network)}`,
    ...(Plugins.Authorization?.length ? [`  Authorization: ${list(Plugins.Authorization)}`] : []), `  Log: ${list(Plugins.Log)}`,
  ];
}

function swarm({ Swarm }: Info): string[] {
  if (!Swarm) return [];
  const state = ` Swarm: ${Swarm.LocalNodeState}`;
  if (Swarm.LocalNodeState === 'inactive' || Swarm.LocalNodeState === 'locked') return [state];
  return [state, `  NodeID: ${Swarm.NodeID}`, `  Is Manager: ${Swarm.ControlAvailable}`, `  Node Address: ${Swarm.NodeAddr}`];
}

function runtimes(server: Info): string[] {
  const names = Object.keys(server.Runtimes ?? {}).toSorted();
  const commit = (field: string, title: string) => {
    const { ID = '', Expected = ID } = (server[field] ?? {}) as { ID?: string; Expected?: string };
    return ` ${title} version: ${ID}${ID === Expected || Expected === '' ? '' : ` (expected: ${Expected})`}`;
  };
  return [
    ...(names.length > 0 ? [` Runtimes: ${names.join(' ')}`, ` Default Runtime: ${text(server, 'DefaultRuntime')}`] : []),
    ` Init Binary: ${text(server, 'InitBinary')}`, commit('ContainerdCommit', 'containerd'), commit('RuncCommit', 'runc'), commit('InitCommit', 'init'),
  ];
}

function security({ SecurityOptions }: Info): string[] {
  if (!SecurityOptions || SecurityOptions.length === 0) return [];
  const options = SecurityOptions.map((option) => new Map(option.split(',').map((pair): [string, string] => [pair.split('=')[0] ?? '', pair.split('=').slice(1).join('=')])));
  return [' Security Options:', ...options.flatMap((option) => [`  ${option.get('name') ?? ''}`, ...[...option].filter(([key]) => key !== 'name').map(([key, value]) => `   ${key[0]?.toUpperCase() ?? ''}${key.slice(1)}: ${value}`)])];
}

function machine(server: Info): string[] {
  return [
    ...given(server, 'KernelVersion', 'Kernel Version'), ...given(server, 'OperatingSystem', 'Operating System'), ...given(server, 'OSType', 'OSType'),
    ...given(server, 'Architecture', 'Architecture'), ` CPUs: ${text(server, 'NCPU')}`, ` Total Memory: ${bytesSize(Number(server['MemTotal'] ?? 0))}`,
    ...given(server, 'Name', 'Name'), ...given(server, 'ID', 'ID'), ` Docker Root Dir: ${text(server, 'DockerRootDir')}`, ` Debug Mode: ${server.Debug}`,
    ...(server.Debug ? [`  File Descriptors: ${text(server, 'NFd')}`, `  Goroutines: ${text(server, 'NGoroutines')}`, `  System Time: ${text(server, 'SystemTime')}`, `  EventsListeners: ${text(server, 'NEventsListener')}`] : []),
    ...given(server, 'HttpProxy', 'HTTP Proxy'), ...given(server, 'HttpsProxy', 'HTTPS Proxy'), ...given(server, 'NoProxy', 'No Proxy'),
    ...given(server, 'IndexServerAddress', 'Registry'), ' Labels:', ...(server.Labels ?? []).map((label) => `  ${label}`), ` Experimental: ${text(server, 'ExperimentalBuild')}`,
  ];
}

function registries(server: Info): string[] {
  const config = server.RegistryConfig;
  const insecure = [...Object.values(config?.IndexConfigs ?? {}).filter((one) => !one.Secure).map((one) => one.Name), ...config?.InsecureRegistryCIDRs ?? []];
  return [
    ...(insecure.length > 0 ? [' Insecure Registries:', ...insecure.map((one) => `  ${one}`)] : []),
    ...(config?.Mirrors?.length ? [' Registry Mirrors:', ...config.Mirrors.map((one) => `  ${one}`)] : []),
    ` Live Restore Enabled: ${text(server, 'LiveRestoreEnabled')}`,
    ...given(server, 'ProductLicense', 'Product License'),
  ];
}
