// Between a container and its log: what the log must know, and reading it for a client.
import type { LogRecord, LogSubject } from '../../logs/index.ts';
import type { ContainersFace, LogsOptions } from '../index.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';

export function logSubject(needs: Pick<ContainerNeeds, 'store'>, container: Container): LogSubject {
  const { record, hostConfig: { LogConfig: config } } = container;
  return {
    id: container.id, name: container.name, driver: config.Type, options: config.Config ?? {}, image: { id: record.Image, name: record.Config.Image },
    argv: [record.Path, ...record.Args], env: record.Config.Env ?? [], labels: record.Config.Labels ?? {}, folder: needs.store.containers.directory(container.id),
  };
}

/** Error: not-implemented for a driver that cannot be read back. */
export function readLogs(needs: ContainerNeeds, container: Container, options: LogsOptions): Awaited<ReturnType<ContainersFace['logs']>> {
  const tty = container.record.Config.Tty;
  const subject = logSubject(needs, container);
  const { running } = container;
  // A container that does not run writes nothing more; one that runs, until its exit is on record, or until it is gone.
  if (!options.follow || !running) return { tty, records: needs.logs.read(subject, { ...options, running, ended: Promise.resolve() }) };
  const left = new AbortController();
  const ended = container.ended(left.signal).then(() => {}, () => {});
  const read = needs.logs.read(subject, { ...options, running, ended }); // before the headers go: a refusal is an answer of its own
  async function* records(): AsyncGenerator<LogRecord> {
    try { yield* read; } finally { left.abort(); }
  }
  return { tty, records: records() };
}
