// Where to listen: hosts of the configuration as targets of the API, with their certificates and groups.
import { chmodSync, chownSync, existsSync, readFileSync, rmSync } from 'node:fs';
import type { ListenTarget, SocketFiles, TlsOptions } from '../api/index.ts';
import { invalid, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Config } from './config.ts';
import { chooseSockets, type ServiceManager } from './systemd.ts';

/** Reads certificates and the group file; warns about what anyone may reach. */
export function listenTargets(config: Config, manager: ServiceManager, log: Log): ListenTarget[] {
  const tls = tlsOf(config);
  return config.hosts.flatMap((host): ListenTarget | ListenTarget[] => {
    if (host.kind === 'unix') return { kind: 'unix', path: host.path, gid: gidOf(config.group) };
    if (host.kind === 'fd') return chooseSockets(manager, host.rest).map((fd) => ({ kind: 'fd', fd }));
    if (!tls) log.warn('the API listens on TCP without TLS: whoever reaches it is root on this machine', { host: host.host, port: host.port });
    return { kind: 'tcp', host: host.host, port: host.port, tls };
  });
}

export const socketFiles: SocketFiles = {
  async remove(path) { rmSync(path, { force: true }); },
  async protect(path, { mode, gid }) {
    chmodSync(path, mode);
    if (gid !== undefined) chownSync(path, 0, gid);
  },
};

function tlsOf({ tls }: Config): TlsOptions | undefined {
  if (!tls) return undefined;
  return { ca: tls.caPath === '' ? undefined : readPem(tls.caPath), cert: readPem(tls.certPath), key: readPem(tls.keyPath), verify: tls.verify };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`could not read certificate or key: ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** A number, a name of /etc/group, or nothing when there is no such group (the socket then belongs to root). */
function gidOf(group: string): number | undefined {
  if (/^\d+$/.test(group)) return Number(group);
  const groups = existsSync('/etc/group') ? readFileSync('/etc/group', 'utf8') : '';
  const line = groups.split('\n').find((entry) => entry.startsWith(`${group}:`));
  const gid = line?.split(':')[2];
  return gid === undefined ? undefined : Number(gid);
}
