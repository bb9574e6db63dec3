// wait: the outcome of this run, of the next one, or of the container's life.
import type { ContainersFace } from '../index.ts';
import type { Container, Exit } from './container.ts';

type Outcome = Awaited<Awaited<ReturnType<ContainersFace['wait']>>['exited']>;

/** Registered when it returns: an exit that happens from now on is not missed. One that is just being recorded is waited for: who asks finds nothing of the run left. */
export function waitFor(container: Container, { condition, signal }: { condition: 'not-running' | 'next-exit' | 'removed'; signal: AbortSignal }): { exited: Promise<Outcome> } {
  const { state } = container;
  if (condition === 'not-running' && !container.ending && (state.status === 'created' || state.status === 'exited' || state.status === 'removing')) {
    const { ExitCode: exitCode, Error: error } = container.record.State;
    return { exited: Promise.resolve(outcomeOf({ exitCode, error: error || undefined })) };
  }
  return { exited: (condition === 'removed' ? container.removed(signal) : container.ended(signal)).then(outcomeOf) };
}

const outcomeOf = ({ exitCode, error }: Exit): Outcome => ({ statusCode: exitCode, error });
