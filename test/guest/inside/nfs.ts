// Inside a guest: an NFS server of the kernel's own, which needs no program, and volumes of it; also a server that never says a word.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from './engine.ts';
import { tell } from './tell.ts';

/** Seconds since the epoch, far ahead: what the kernel is told here holds as long as the guest. */
const FOREVER = 4_000_000_000;
const EXPORTED = '/bench/exported';
/** NFSEXP_INSECURE_PORT and NFSEXP_FSID. Source: include/uapi/linux/nfsd/export.h */
const EXPORT_FLAGS = 0x2002;
const SILENT_PORT = 2050;

/** Volumes of a server by its name, and of one that does not answer while others are to be served. */
export async function nfsVolumes(engine: Engine): Promise<void> {
  startServer();
  const volume = (name: string, o: string) => engine.api('POST', '/volumes/create', { body: { Name: name, DriverOpts: { type: 'nfs4', device: ':/', o } }, status: 201 });
  await volume('nas', 'addr=nas.example,vers=4.2,clientaddr=127.0.0.1');
  const id = await engine.run(['sh', '-c', 'cat /nas/there; echo by a container > /nas/written; grep -o " /nas nfs4 rw.*addr=127.0.0.1" /proc/mounts | cut -c1-14'], { Binds: ['nas:/nas', 'nas:/etc'] });
  const code = await engine.wait(id);
  tell('nfs', { code, said: await engine.logs(id), written: readFileSync(`${EXPORTED}/written`, 'utf8'), ofImage: readdirSync(EXPORTED).filter((name) => ['passwd', 'group'].includes(name)), mounted: readFileSync('/proc/mounts', 'utf8').includes(' nfs4 ') });
  await engine.api('DELETE', `/containers/${id}?force=1`, { status: 204 });

  await volume('silent', `addr=127.0.0.1,port=${SILENT_PORT}`);
  const sockets: Socket[] = [];
  const server = createServer((socket) => { sockets.push(socket.on('error', () => {})); }).listen(SILENT_PORT);
  const waiting = refusal(engine, 'silent');
  while (sockets.length === 0) await sleep(20);
  const info = engine.api<{ Containers: number }>('GET', '/info').then(() => 'answered');
  tell('nfs silent', await Promise.race([info, waiting.then(() => 'too late')]));
  server.close();
  for (const socket of sockets) socket.destroy();
  tell('nfs silence ended', await waiting);
  for (const name of ['nas', 'silent']) await engine.api('DELETE', `/volumes/${name}`, { status: 204 });
}

/** Why a container with this volume is not started. */
async function refusal(engine: Engine, volume: string): Promise<string> {
  const { Id } = await engine.api<{ Id: string }>('POST', '/containers/create', { body: { Image: readFileSync('/bench/image', 'utf8'), Cmd: ['true'], HostConfig: { NetworkMode: 'none', Binds: [`${volume}:/nas`] } }, status: 201 });
  const { status, text } = await engine.raw('POST', `/containers/${Id}/start`);
  await engine.api('DELETE', `/containers/${Id}?force=1`, { status: 204 });
  return `${status}: ${(JSON.parse(text) as { message: string }).message}`;
}

/**
 * What mountd would answer when the kernel asks is written into its caches beforehand: which clients there are, what they may have, and which number
 * stands for which directory. Source: the parsers in net/sunrpc/svcauth_unix.c and fs/nfsd/export.c.
 */
function startServer(): void {
  for (const module of ['nfsd', 'nfsv4']) execFileSync('/bin/busybox', ['modprobe', module]);
  mkdirSync('/var/lib/nfs/v4recovery', { recursive: true }); // without it no client may do anything for a while after the start
  mkdirSync(EXPORTED, { recursive: true });
  writeFileSync(`${EXPORTED}/there`, 'from the server\n');
  writeFileSync('/etc/nsswitch.conf', 'hosts: files\n');
  writeFileSync('/etc/hosts', '127.0.0.1 nas.example\n');
  execFileSync('/bin/busybox', ['mount', '-t', 'nfsd', 'nfsd', '/proc/fs/nfsd']);
  for (const [file, text] of [
    ['/proc/fs/nfsd/nfsv4leasetime', '10'], ['/proc/fs/nfsd/nfsv4gracetime', '10'],
    ['/proc/net/rpc/auth.unix.ip/channel', `nfsd 127.0.0.1 ${FOREVER} guest`], ['/proc/net/rpc/nfsd.export/channel', `guest ${EXPORTED} ${FOREVER} ${EXPORT_FLAGS} 65534 65534 0`],
    ['/proc/net/rpc/nfsd.fh/channel', `guest 1 \\x00000000 ${FOREVER} ${EXPORTED}`],
    ['/proc/fs/nfsd/versions', '-2 -3 +4 +4.1 +4.2'], ['/proc/fs/nfsd/portlist', 'tcp 2049'], ['/proc/fs/nfsd/threads', '1'], ['/proc/fs/nfsd/v4_end_grace', 'Y'],
  ] as const) put(file, `${text}\n`);
}

/** In one write, without creating or cutting anything: these are no files. */
function put(path: string, text: string): void {
  const fd = openSync(path, 'r+');
  try { writeSync(fd, text); } finally { closeSync(fd); }
}
