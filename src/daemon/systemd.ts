// systemd, where it started us: the sockets it hands over, what it wants to be told, and how often it wants to hear that we live.
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { invalid } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** The first descriptor that is handed over. Source: sd_listen_fds(3). */
const FIRST_SOCKET_FD = 3;
/** More than this is no list of sockets but a mistake. */
const MAX_SOCKETS = 256;

export interface ServiceManager {
  /** Listening sockets in the order of the .socket unit. */
  readonly sockets: readonly { readonly fd: number; readonly name: string }[];
  /** How long we may be silent; undefined when nobody watches. */
  readonly watchdogMs: number | undefined;
  /** One state as in sd_notify(3), such as READY=1. Without systemd nothing happens; a manager that does not listen is no reason to stop. */
  notify(...assignments: readonly string[]): void;
}

type Environment = Record<string, string | undefined>;

/**
 * Reads what systemd says in the environment, and takes it out of there: no child of ours is meant by it. Sockets are marked close-on-exec,
 * or every conmon would keep them open. Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
 */
export function openServiceManager(env: Environment, { kernel, pid, log }: { kernel: Pick<Kernel, 'processes' | 'sockets'>; pid: number; log: Log }): ServiceManager {
  const sockets = socketsOf(env, pid);
  for (const { fd } of sockets) kernel.processes.closeOnExec(fd);
  const watchdogMs = watchdogOf(env, pid);
  const address = env['NOTIFY_SOCKET'];
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'WATCHDOG_PID', 'WATCHDOG_USEC', 'NOTIFY_SOCKET']) delete env[name];
  return {
    sockets, watchdogMs,
    notify(...assignments) {
      if (address === undefined || address === '') return;
      try {
        kernel.sockets.sendDatagram(address, Buffer.from(assignments.join('\n')));
      } catch (error) {
        log.warn('systemd could not be told of the state of the daemon', { state: assignments.join(' '), error });
      }
    },
  };
}

function socketsOf(env: Environment, pid: number): ServiceManager['sockets'] {
  const count = env['LISTEN_FDS'];
  if (count === undefined || env['LISTEN_PID'] !== String(pid)) return [];
  if (!/^\d{1,4}$/.test(count) || Number(count) > MAX_SOCKETS) throw invalid(`LISTEN_FDS=${count}: expected the number of sockets that systemd hands over`);
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':');
  return Array.from({ length: Number(count) }, (_, at) => ({ fd: FIRST_SOCKET_FD + at, name: names[at] || 'unknown' }));
}

function watchdogOf(env: Environment, pid: number): number | undefined {
  const micros = env['WATCHDOG_USEC'];
  if (micros === undefined || !/^[1-9]\d{0,15}$/.test(micros)) return undefined;
  if (env['WATCHDOG_PID'] !== undefined && env['WATCHDOG_PID'] !== String(pid)) return undefined;
  return Number(micros) / 1000;
}

/** Says that we live, twice per interval, as long as `alive` resolves with true: what hangs must not be called alive. */
export function keepWatchdog(manager: ServiceManager, { alive, clock, log }: { alive: () => Promise<boolean>; clock: Clock; log: Log }): Disposable {
  const { watchdogMs } = manager;
  if (watchdogMs === undefined) return { [Symbol.dispose]: () => {} };
  let timer: Disposable | undefined;
  let over = false;
  const look = async () => {
    const well = await alive().catch((error: unknown) => {
      log.error('the daemon does not answer itself', { error });
      return false;
    });
    if (over) return;
    if (well) manager.notify('WATCHDOG=1');
    timer = clock.after(watchdogMs / 2, () => void look());
  };
  void look();
  return { [Symbol.dispose]: () => { over = true; timer?.[Symbol.dispose](); } };
}

/** What `-H fd://REST` names: all sockets, one by its descriptor, or those of one name. Error: invalid, as dockerd refuses it. */
export function chooseSockets(manager: Pick<ServiceManager, 'sockets'>, rest: string): number[] {
  const { sockets } = manager;
  if (sockets.length === 0) throw invalid('no sockets found via socket activation: make sure the service was started by systemd');
  if (rest === '' || rest === '*') return sockets.map(({ fd }) => fd);
  const chosen = sockets.filter(({ fd, name }) => (/^\d+$/.test(rest) ? fd === Number(rest) : name === rest));
  if (chosen.length === 0) throw invalid(`fd://${rest}: systemd handed over ${sockets.map(({ fd, name }) => `${fd} (${name})`).join(', ')}`);
  return chosen.map(({ fd }) => fd);
}
