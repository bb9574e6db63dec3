// A name server as a process of its own, for a network namespace: knows upstream.test, and says of everything else at once that there is none.
import { createSocket } from 'node:dgram';

const [address = '0.0.0.0', port = '53'] = process.argv.slice(2);
const NAME = '\x08upstream\x04test\0';
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');

socket.on('message', (query, from) => {
  const end = query.indexOf(0, 12) + 5; // name, type, class
  const asked = query.subarray(12, end);
  const known = asked.subarray(0, -4).toString('latin1').toLowerCase() === NAME;
  const isAddress = known && asked.readUInt16BE(asked.length - 4) === 1;
  const answer = Buffer.from('c00c000100010000003c0004c0000235', 'hex'); // 192.0.2.53, for 60 s
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (known ? 0 : 3), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(isAddress ? 1 : 0, 6);
  socket.send(Buffer.concat([head, asked, ...isAddress ? [answer] : []]), from.port, from.address);
});
socket.bind(Number(port), address, () => { console.log('ready'); });
