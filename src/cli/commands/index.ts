// Every word of the command line, and the nouns that gather them.
import type { Command, Group } from '../command.ts';
import { load, save } from './archives.ts';
import { cp } from './cp.ts';
import { create } from './create.ts';
import { delta, deltas } from './delta.ts';
import { df } from './df.ts';
import { events } from './events.ts';
import { exec } from './exec.ts';
import { commit, diff, exportContainer } from './files.ts';
import { history } from './history.ts';
import { images } from './images.ts';
import { info } from './info.ts';
import { inspect, inspectContainer, inspectImage, inspectNetwork, inspectVolume } from './inspect.ts';
import { kill, pause, rename, restart, rm, stop, unpause, wait } from './lifecycle.ts';
import { login, logout } from './login.ts';
import { logs } from './logs.ts';
import { connectNetwork, createNetwork, disconnectNetwork, listNetworks, removeNetworks } from './network.ts';
import { pruneContainers, pruneImages, pruneNetworks, pruneSystem, pruneVolumes } from './prune.ts';
import { ps } from './ps.ts';
import { pull } from './pull.ts';
import { publishDeltas, push } from './push.ts';
import { rmi, tag } from './remove-images.ts';
import { run } from './run.ts';
import { attach, start } from './start.ts';
import { stats } from './stats.ts';
import { port, top } from './top-port.ts';
import { update } from './update.ts';
import { version } from './version.ts';
import { createVolume, listVolumes, removeVolumes } from './volume.ts';

export const commands: readonly Command[] = [
  attach, commit, cp, create, diff, events, exec, exportContainer, history, images, info, inspect, kill, load, login, logout, logs, pause, port, ps, pull, push, rename, restart, rm, rmi, run, save, start, stats, stop, tag,
  top, unpause, update, version, wait,
];

export const groups: readonly Group[] = [
  {
    name: 'container', short: 'Manage containers',
    commands: [
      attach, commit, cp, create, diff, exec, exportContainer, inspectContainer, kill, logs, { ...ps, name: 'ls', aliases: ['ls', 'ps', 'list'] }, pause, port, pruneContainers, rename, restart,
      { ...rm, aliases: ['rm', 'remove'] }, run, start, stats, stop, top, unpause, update, wait,
    ],
  },
  {
    name: 'image', short: 'Manage images',
    commands: [delta, deltas, history, inspectImage, load, { ...images, name: 'ls', aliases: ['ls', 'list'] }, pruneImages, publishDeltas, pull, push, { ...rmi, name: 'rm', aliases: ['rm', 'rmi', 'remove'] }, save, tag],
  },
  { name: 'network', short: 'Manage networks', commands: [connectNetwork, createNetwork, disconnectNetwork, inspectNetwork, listNetworks, pruneNetworks, removeNetworks] },
  { name: 'system', short: 'Look after the engine', commands: [df, events, info, pruneSystem] },
  { name: 'volume', short: 'Manage volumes', commands: [createVolume, inspectVolume, listVolumes, pruneVolumes, removeVolumes] },
];
