// What a container is doing: one union, its allowed moves, and its form in Docker's record.
import { ZERO_TIME } from '../../lib/clock.ts';
import { conflict, EngineError, unreachable } from '../../lib/errors.ts';
import type { ContainerState } from '../../wire/types.ts';

export type State =
  | { status: 'created' }
  | { status: 'running'; pid: number }
  | { status: 'paused'; pid: number }
  | { status: 'restarting' }
  | { status: 'exited'; exitCode: number }
  | { status: 'removing' };

export const NEVER_STARTED: ContainerState = {
  Running: false, Paused: false, Restarting: false, OOMKilled: false, RemovalInProgress: false, Dead: false,
  Pid: 0, ExitCode: 0, Error: '', StartedAt: ZERO_TIME, FinishedAt: ZERO_TIME, Health: null,
};

/** Reads the union off a record; what Docker stores beside it (Restarting, Dead) is part of the answer, never of our own state. */
export function stateOf(state: ContainerState): State {
  if (state.RemovalInProgress || state.Dead) return { status: 'removing' };
  if (state.Restarting) return { status: 'restarting' };
  if (state.Running) return { status: state.Paused ? 'paused' : 'running', pid: state.Pid };
  if (state.StartedAt === ZERO_TIME && state.FinishedAt === ZERO_TIME) return { status: 'created' };
  return { status: 'exited', exitCode: state.ExitCode };
}

/** The word that lists and inspect show. */
export function statusWord(state: ContainerState): string {
  if (state.Dead) return 'dead';
  // A failed start leaves a code and a message, but the program never ran.
  if (!state.Running && !state.RemovalInProgress && !state.Restarting && state.StartedAt === ZERO_TIME) return 'created';
  return stateOf(state).status;
}

export const isAlive = (state: ContainerState): boolean => state.Running;

export function assertStartable(state: State): void {
  switch (state.status) {
    case 'created': case 'exited': case 'restarting': return;
    case 'running': throw new EngineError('not-modified', 'container is already running');
    case 'paused': throw conflict('cannot start a paused container, try unpause instead');
    case 'removing': throw conflict('container is marked for removal and cannot be started');
    default: unreachable(state);
  }
}
