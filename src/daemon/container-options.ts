// The flags that decide what runs containers and what they get: runtimes, user namespaces, init, and the defaults of their security.
import { readFileSync } from 'node:fs';
import type { ContainerDefaults } from '../engine/index.ts';
import { errnoOf, invalid, messageOf } from '../lib/errors.ts';
import { validateLogConfig } from '../logs/index.ts';
import type { BundleSettings } from '../runtime/index.ts';

export interface ContainerOptions {
  /** 'default', or a user (name or number) with or without a group; '' for none. */
  readonly usernsRemap: string;
  /** Beside the engine's own. */
  readonly runtimes: Readonly<Record<string, RuntimeOption>>;
  readonly defaultRuntime: string;
  readonly init: boolean;
  /** '' finds docker-init or tini. */
  readonly initPath: string;
  readonly noNewPrivileges: boolean;
  /** Path of a profile, or '' (or 'builtin') for the engine's own, or 'unconfined'. */
  readonly seccompProfile: string;
  readonly ipcMode: 'private' | 'shareable';
  /** '' lets the kernel's cgroup version decide. */
  readonly cgroupnsMode: '' | 'host' | 'private';
  readonly selinux: boolean;
  readonly log: { readonly driver: string; readonly options: Readonly<Record<string, string>> };
}

export interface RuntimeOption { readonly path: string; readonly args: readonly string[] }

/** Names that are the engine's own runtime, whatever a client calls it. */
export const STOCK_RUNTIMES: readonly string[] = ['runc', 'crun', 'io.containerd.runc.v2', 'io.containerd.runtime.v1.linux'];

interface Given { text: (name: string, fallback: string) => string; flag: (name: string) => boolean; map: (name: string) => readonly string[] }

/** Error: invalid, in dockerd's words. */
export function containerOptionsOf({ text, flag, map }: Given): ContainerOptions {
  const runtimes: Record<string, RuntimeOption> = {};
  for (const entry of map('add-runtime')) {
    const [name, option] = runtimeOf(entry);
    if (runtimes[name]) throw invalid(`runtime '${name}' was already defined`);
    runtimes[name] = option;
  }
  const defaultRuntime = text('default-runtime', '') || 'runc';
  if (!STOCK_RUNTIMES.includes(defaultRuntime) && !runtimes[defaultRuntime]) throw invalid(`specified default runtime '${defaultRuntime}' does not exist`);
  return {
    usernsRemap: text('userns-remap', ''), runtimes, defaultRuntime, init: flag('init'), initPath: text('init-path', ''), noNewPrivileges: flag('no-new-privileges'),
    seccompProfile: text('seccomp-profile', ''), ipcMode: ipcModeOf(text('default-ipc-mode', 'private')), cgroupnsMode: cgroupnsModeOf(text('default-cgroupns-mode', '')),
    selinux: flag('selinux-enabled'), log: logOf(text('log-driver', '') || 'json-file', map('log-opt')),
  };
}

/** Error: invalid, when the profile cannot be read. */
export function bundleSettings(options: ContainerOptions): BundleSettings {
  const { noNewPrivileges, selinux, init, initPath } = options;
  return { noNewPrivileges, selinux, init, initPath, seccompProfile: profileText(options.seccompProfile), seccompName: options.seccompProfile || 'builtin' };
}

export const containerDefaults = ({ defaultRuntime: runtime, ipcMode, cgroupnsMode, log }: ContainerOptions): Omit<ContainerDefaults, 'resources'> => ({ runtime, ipcMode, cgroupnsMode, log });

/** Held to what a container's own would be held to. */
function logOf(driver: string, words: readonly string[]): ContainerOptions['log'] {
  const options = Object.fromEntries(words.map((word): [string, string] => (word.includes('=') ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] : [word, ''])));
  try { validateLogConfig({ driver, options }); } catch (cause) { throw invalid(`failed to set log opts: ${messageOf(cause)}`, { cause }); }
  return { driver, options };
}

function profileText(path: string): string {
  if (path === '' || path === 'builtin') return '';
  if (path === 'unconfined') return path;
  try { return readFileSync(path, 'utf8'); } catch (error) {
    throw invalid(`opening seccomp profile (${path}) failed: ${errnoOf(error) === 'ENOENT' ? `open ${path}: no such file or directory` : messageOf(error)}`, { cause: error });
  }
}

function ipcModeOf(mode: string): ContainerOptions['ipcMode'] {
  if (mode === 'private' || mode === 'shareable') return mode;
  if (mode === 'host' || mode === 'none' || mode.startsWith('container:')) throw invalid(`IPC mode "${mode}" is not supported as default value; use "shareable" or "private"`);
  throw invalid(`default IPC mode setting (${mode}) is invalid; use "shareable" or "private"`);
}

function cgroupnsModeOf(mode: string): ContainerOptions['cgroupnsMode'] {
  if (mode === '' || mode === 'host' || mode === 'private') return mode;
  throw invalid(`default cgroup namespace mode (${mode}) is invalid; use "host" or "private"`);
}

/** "name=/path/of/it", or "name={"path":…,"runtimeArgs":[…]}" from daemon.json. */
function runtimeOf(entry: string): [name: string, option: RuntimeOption] {
  const equals = entry.indexOf('=');
  const name = entry.slice(0, equals).trim().toLowerCase();
  const value = entry.slice(equals + 1).trim();
  if (equals < 0 || name === '' || value === '') throw invalid(`invalid runtime argument: ${entry}`);
  if (STOCK_RUNTIMES.includes(name)) throw invalid(`runtime name '${name}' is reserved`);
  if (!value.startsWith('{')) return [name, { path: value, args: [] }];
  const { path, runtimeArgs = [] } = JSON.parse(value) as { path?: unknown; runtimeArgs?: unknown };
  if (typeof path !== 'string' || path === '') throw invalid(`runtime '${name}' needs a path`);
  if (!Array.isArray(runtimeArgs) || !runtimeArgs.every((arg) => typeof arg === 'string')) throw invalid(`runtimeArgs of runtime '${name}' must be a list of strings`);
  return [name, { path, args: runtimeArgs }];
}
