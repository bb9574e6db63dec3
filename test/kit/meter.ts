// A way to a server over a loopback port of its own that counts every byte of it: what a pull costs is read off the socket, not out of the engine's own words.
import { connect, createServer, type Socket } from 'node:net';

export interface Meter extends AsyncDisposable {
  /** To be used instead of the server's own address, such as 127.0.0.1:40123. */
  readonly host: string;
  /** From the server, headers included, since the start or the last `reset`. */
  readonly receivedBytes: number;
  /** To the server. */
  readonly sentBytes: number;
  reset(): void;
}

/** `server`: host:port. Connections that are open at the end are cut. */
export async function openMeter(server: string): Promise<Meter> {
  const [host = '', port = ''] = server.split(':');
  const open = new Set<Socket>();
  const counted = { receivedBytes: 0, sentBytes: 0 };
  const listener = createServer((near) => {
    const far = connect(Number(port), host);
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('close', () => { open.delete(socket); near.destroy(); far.destroy(); }).on('error', () => {});
    }
    near.on('data', (bytes: Buffer) => { counted.sentBytes += bytes.length; });
    far.on('data', (bytes: Buffer) => { counted.receivedBytes += bytes.length; });
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('a meter without a port');
  return {
    host: `127.0.0.1:${address.port}`,
    get receivedBytes() { return counted.receivedBytes; },
    get sentBytes() { return counted.sentBytes; },
    reset() { counted.receivedBytes = counted.sentBytes = 0; },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => { listener.close(() => { resolve(); }); });
    },
  };
}
