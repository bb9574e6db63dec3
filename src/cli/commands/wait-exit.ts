// Waiting for a container's end: asked for before it starts, answered after.
import { messageOf } from '../../lib/errors.ts';
import type { DaemonClient } from '../client.ts';
import { containerPath } from '../command.ts';
import { EXIT_USAGE, Failure } from '../failure.ts';

/** Wrapped, so that the wait can be awaited for its beginning without being awaited for its end. */
export interface ExitPromise { code: Promise<number> }

/** Resolves when the daemon is listening for the exit; `code` then is the exit code. */
export async function waitFor(client: DaemonClient, id: string, condition: 'next-exit' | 'removed'): Promise<ExitPromise> {
  const stream = await client.stream('POST', containerPath(id, '/wait'), { query: { condition } });
  const code = exitCode(stream);
  code.catch(() => {});
  return { code };
}

async function exitCode(stream: AsyncIterable<Uint8Array>): Promise<number> {
  const chunks: Uint8Array[] = [];
  try { for await (const chunk of stream) chunks.push(chunk); } catch (error) { throw new Failure(`error waiting for container: ${messageOf(error)}`, EXIT_USAGE); }
  const text = Buffer.concat(chunks).toString('utf8').trim();
  if (text === '') throw new Failure('error waiting for container: the daemon went away', EXIT_USAGE);
  const answer = JSON.parse(text) as { StatusCode: number; Error?: { Message: string } | null };
  if (answer.Error && answer.Error.Message !== '') throw new Failure(`error waiting for container: ${answer.Error.Message}`, EXIT_USAGE);
  return answer.StatusCode;
}
