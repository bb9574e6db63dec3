// One end of a flow, as a process in whichever network namespace it is started: a sink that tells how much came, or a source that tells how long it took.
import { connect, createServer } from 'node:net';

const [role = '', address = '', port = '', megabytes = ''] = process.argv.slice(2);
const CHUNK = Buffer.alloc(1 << 20);

if (role === 'sink') {
  createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (chunk) => { bytes += chunk.length; }).on('end', () => socket.end(String(bytes))).on('error', () => { /* the source says so */ });
  }).listen(Number(port), address);
} else {
  const begun = performance.now();
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true });
  let left = Number(megabytes);
  const write = () => {
    while (left > 0 && !socket.writableNeedDrain) {
      socket.write(CHUNK);
      left--;
    }
    if (left === 0) socket.end();
  };
  let answer = '';
  socket.on('connect', write).on('drain', () => { if (left > 0) write(); }).setEncoding('utf8').on('data', (text: string) => { answer += text; })
    .on('end', () => { console.log(JSON.stringify({ arrived: Number(answer), ms: performance.now() - begun })); });
}
