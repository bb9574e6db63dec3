// Bytes between the terminal and a container: frames taken apart, or raw when it has a terminal of its own.
import type { Duplex } from 'node:stream';
import { FrameDecoder } from '../wire/frames.ts';
import type { Io, Output } from './io.ts';
import { parseDetachKeys, rawTerminal, untilDetachKeys, Detached } from './terminal.ts';

/** Writes a stream of the daemon to stdout and stderr until it ends. */
export async function copyOutput(bytes: AsyncIterable<Uint8Array>, to: { io: Io; tty: boolean; stdout?: boolean; stderr?: boolean }): Promise<void> {
  const put = async (output: Output, data: Uint8Array) => {
    output.write(data);
    await output.drained();
  };
  if (to.tty) {
    for await (const chunk of bytes) await put(to.io.stdout, chunk);
    return;
  }
  const frames = new FrameDecoder();
  for await (const chunk of bytes) {
    for (const frame of frames.push(chunk)) {
      if (frame.stream === 'stderr' ? to.stderr !== false : to.stdout !== false) await put(frame.stream === 'stderr' ? to.io.stderr : to.io.stdout, frame.bytes);
    }
  }
}

export interface Session {
  io: Io;
  connection: Duplex;
  tty: boolean;
  stdin: boolean;
  stdout?: boolean;
  stderr?: boolean;
  detachKeys: string;
}

/** Both directions until the container's side ends. Throws Detached when the keys for it were typed. */
export async function runSession(session: Session): Promise<void> {
  const { io, connection, tty } = session;
  // Parsed first: a mistake in the keys must not leave a terminal without echo behind.
  const keys = tty ? parseDetachKeys(session.detachKeys) : undefined;
  using _raw = tty && session.stdin && io.stdin.isTTY ? rawTerminal(io) : undefined;
  const output = copyOutput(quietEnd(connection), session);
  if (!session.stdin) {
    await output;
    return;
  }
  const detached = Promise.withResolvers<never>();
  const input = copyInput(keys ? untilDetachKeys(io.stdin.chunks(), keys) : io.stdin.chunks(), connection);
  input.catch((error: unknown) => {
    if (error instanceof Detached) detached.reject(error);
  });
  try {
    // The end of output decides. Input may still be waiting for a key that nobody will press.
    await Promise.race([output, detached.promise]);
  } finally {
    connection.destroy();
  }
}

async function copyInput(chunks: AsyncIterable<Uint8Array>, connection: Duplex): Promise<void> {
  for await (const chunk of chunks) {
    if (connection.destroyed || connection.writableEnded) return;
    if (!connection.write(chunk)) await drain(connection);
  }
  connection.end();
}

const drain = (connection: Duplex): Promise<void> => new Promise((resolve) => {
  const go = () => { connection.off('drain', go); connection.off('close', go); resolve(); };
  connection.once('drain', go);
  connection.once('close', go);
});

/** A connection that breaks ends the stream: what became of the container is asked for afterwards. */
async function* quietEnd(connection: Duplex): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of connection as AsyncIterable<Uint8Array>) yield chunk;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code !== 'ECONNRESET' && code !== 'EPIPE' && code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
