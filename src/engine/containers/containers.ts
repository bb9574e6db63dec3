// The verbs on containers, put together from their parts.
import { conflict, EngineError, kindOf, messageOf } from '../../lib/errors.ts';
import type { ContainersFace } from '../index.ts';
import { attachContainer } from './attach.ts';
import { createContainer } from './create.ts';
import { listContainers } from './list.ts';
import { readLogs } from './log.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { pruneContainers } from './prune.ts';
import { removeContainer, removeLink } from './remove.ts';
import { renameContainer } from './rename.ts';
import { restartByHand, startByHand } from './restart.ts';
import { killContainer, pauseContainer, stopContainer, unpauseContainer } from './stop.ts';
import { openStats } from './stats.ts';
import { topOf } from './top.ts';
import { updateContainer } from './update.ts';
import { viewContainer } from './view.ts';
import { waitFor } from './wait.ts';

export function openContainers(needs: ContainerNeeds): ContainersFace {
  const { table } = needs;
  return {
    create: (options) => needs.metrics.timed('create', () => createContainer(needs, options)),
    list: (options) => listContainers(needs, options),
    inspect: (name, options) => viewContainer(needs, table.find(name), options),
    start: (name, { signal }) => needs.metrics.timed('start', () => startByHand(needs, table.find(name), signal)),
    stop: (name, options) => stopContainer(needs, table.find(name), options),
    async restart(name, options) {
      const container = table.find(name);
      try { await restartByHand(needs, container, options); }
      catch (cause) { throw new EngineError(kindOf(cause) === 'not-found' ? 'system' : kindOf(cause), `Cannot restart container ${name}: ${messageOf(cause)}`, { cause }); }
    },
    async kill(name, { killSignal }) {
      try { await killContainer(needs, table.find(name), killSignal); }
      catch (cause) {
        // Docker says so of these two, and clients read it.
        if (kindOf(cause) === 'not-found' || kindOf(cause) === 'conflict') throw new EngineError(kindOf(cause), `Cannot kill container: ${name}: ${messageOf(cause)}`, { cause });
        throw cause;
      }
    },
    pause: (name) => pauseContainer(needs, table.find(name)),
    unpause: (name) => unpauseContainer(needs, table.find(name)),
    rename: (name, newName) => renameContainer(needs, table.find(name), newName),
    remove: async (name, { force, volumes, link }) => {
      const container = table.find(name);
      if (link) return await removeLink(needs, name);
      await needs.metrics.timed('delete', () => removeContainer(needs, container, { force, volumes }));
    },
    prune: ({ filters }) => pruneContainers(needs, filters),
    wait: async (name, { condition, signal }) => waitFor(table.find(name), { condition, signal }),
    logs: async (name, options) => readLogs(needs, table.find(name), options),
    attach: (name, options) => attachContainer(needs, table.find(name), options),
    async resize(name, size) {
      const container = table.find(name);
      if (!container.running) throw conflict(`Container ${container.id} is not running`);
      await needs.runtime.resize(container.id, size);
      publish(needs, container, { action: 'resize', extra: { height: String(size.height), width: String(size.width) } });
    },
    top: (name, psArgs) => topOf(needs, table.find(name), psArgs),
    stats: openStats(needs),
    update: async (name, body) => updateContainer(needs, table.find(name), body),
  };
}
