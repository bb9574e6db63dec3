// The verbs on files of containers: each is a view of one container, handed to a worker that sees nothing else.
import { EngineError, kindOf, messageOf, notFound } from '../../lib/errors.ts';
import { openRootFs, type RootFs, type View } from '../../rootfs/index.ts';
import type { Container } from '../containers/container.ts';
import { publish, type ContainerNeeds } from '../containers/needs.ts';
import type { FilesFace } from '../index.ts';
import { commitContainer } from './commit.ts';
import { openView } from './view.ts';

export function openFiles(needs: ContainerNeeds, engineVersion: string): FilesFace {
  const rootfs = openRootFs({ kernel: needs.kernel, idMap: needs.store.idMap });
  const find = (name: string) => needs.table.find(name);
  /** Under the lock until the worker has put the view together: after that the container may start, stop and go. */
  const seen = async <T>(container: Container, use: (view: View) => Promise<T>): Promise<T> => {
    using _lock = await needs.table.hold(container);
    await using held = await openView(needs, container);
    return await use(held.view);
  };
  return {
    stat: (name, path, { signal }) => named({ name, path }, () => seen(find(name), (view) => rootfs.stat(view, path, { signal }))),
    read: (name, path, { signal }) => named({ name, path }, async () => {
      const container = find(name);
      const found = await seen(container, (view) => rootfs.read(view, path, { signal }));
      publish(needs, container, { action: 'archive-path' });
      return found;
    }),
    write: (name, path, body, options) => named({ name, path }, () => write({ needs, rootfs }, find(name), { path, body, options })),
    async export(name, { signal }) {
      const container = find(name);
      assertStays(container, 'export');
      const tar = await seen(container, (view) => rootfs.export(view, { signal }));
      publish(needs, container, { action: 'export' });
      return tar;
    },
    changes: (name, { signal }) => needs.metrics.timed('changes', () => seen(find(name), (view) => rootfs.changes(view, { signal }))),
    async commit(name, options) {
      const container = find(name);
      assertStays(container, 'commit');
      return { id: await needs.metrics.timed('commit', () => commitContainer({ needs, rootfs, engineVersion }, container, options)) };
    },
  };
}

interface WriteInput { path: string; body: AsyncIterable<Uint8Array>; options: Parameters<FilesFace['write']>[3] }

/** A container that does not run may not start meanwhile: its file system would be mounted twice. One that runs has it mounted, and lives on. */
async function write({ needs, rootfs }: { needs: ContainerNeeds; rootfs: RootFs }, container: Container, { path, body, options }: WriteInput): Promise<void> {
  const { signal, keepKinds, ownUser } = options;
  const lock = await needs.table.hold(container);
  try {
    await using held = await openView(needs, container);
    if (held.view.pid !== undefined) lock[Symbol.dispose]();
    await rootfs.write(held.view, path, body, { signal, keepKinds, user: ownUser ? container.record.Config.User : '' });
  } finally { lock[Symbol.dispose](); }
  publish(needs, container, { action: 'extract-to-dir' });
}

/** Docker's words, with the names as the client gave them. */
async function named<T>({ name, path }: { name: string; path: string }, work: () => Promise<T>): Promise<T> {
  try { return await work(); } catch (cause) {
    if (kindOf(cause) !== 'not-found' || messageOf(cause).startsWith('No such container')) throw cause;
    throw notFound(`Could not find the file ${path} in container ${name}`, { cause });
  }
}

function assertStays(container: Container, verb: 'export' | 'commit'): void {
  if (container.state.status === 'removing') throw new EngineError('conflict', `You cannot ${verb} container ${container.id} which is being removed`);
}
