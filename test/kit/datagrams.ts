// A receiver of unix datagrams, which Node has none of: a Python of its own binds the socket and tells of each message.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from './poll.ts';

export interface Datagrams extends AsyncDisposable {
  /** All that came, in order; one that was handed over as a file is its content. */
  readonly messages: readonly { bytes: Buffer; asFile: boolean; senderPid: number }[];
}

const RECEIVER = `
import array, base64, os, socket, struct, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
if path.startswith('@'):
    s.bind('\\0' + path[1:])
else:
    os.chdir(os.path.dirname(path)) # sun_path is short
    s.bind(os.path.basename(path))
print('ready', flush=True)
while True:
    data, ancillary, _flags, _address = s.recvmsg(1 << 20, 4096)
    kind, pid = 'message', 0
    for _level, what, content in ancillary:
        if what == socket.SCM_RIGHTS:
            [fd] = array.array('i', content[:4])
            kind, data = 'file', os.pread(fd, 1 << 26, 0)
            os.close(fd)
        else:
            pid = struct.unpack('3i', content[:12])[0]
    print(kind, pid, base64.b64encode(data).decode(), flush=True)
`;

export async function receiveDatagrams(path: string): Promise<Datagrams> {
  const child = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => { child.once('close', resolve); });
  const messages: { bytes: Buffer; asFile: boolean; senderPid: number }[] = [];
  let ready = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [kind, pid, text] = line.split(' ');
    if (kind === 'ready') ready = true;
    else messages.push({ bytes: Buffer.from(text ?? '', 'base64'), asFile: kind === 'file', senderPid: Number(pid) });
  });
  await until(`a receiver on ${path}`, () => ready);
  return { messages, [Symbol.asyncDispose]: async () => { child.kill('SIGKILL'); await ended; } };
}
