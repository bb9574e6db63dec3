// The text of a container's /etc/resolv.conf, from its own wishes, the daemon's settings and the host's file as it is now.
import { readFileSync, statSync } from 'node:fs';
import { unreachable } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NetworkSettings, SandboxWish } from './index.ts';
import { bridgeResolvConf, DEFAULT_SERVERS, embeddedResolvConf, hostResolvConf } from './names/resolv-conf.ts';
import { HOST_FILE, readResolvConf } from './names/servers.ts';

const LIMIT_BYTES = 1 << 20;

export type OwnDns = Pick<SandboxWish, 'dns' | 'dnsSearch' | 'dnsOptions'>;
/** `names`: asks our resolver. `bridge`: asks servers itself, from another namespace than the host's. */
type ResolvMode = 'names' | 'bridge' | 'host' | 'none';

/** `log` is told when a container gets servers that nobody chose. */
export function resolvConf(own: OwnDns, { settings, mode, ipv6, log }: { settings: NetworkSettings; mode: ResolvMode; ipv6: boolean; log?: Log }): string {
  const first = (mine: readonly string[], daemons: readonly string[]) => (mine.length > 0 ? mine : daemons);
  const wish = {
    host: mode === 'host' ? readHostFile(HOST_FILE) ?? '' : readResolvConf(readHostFile), dns: first(own.dns, settings.dns), dnsSearch: first(own.dnsSearch, settings.dnsSearch), dnsOptions: first(own.dnsOptions, settings.dnsOptions),
  };
  switch (mode) {
    case 'names': return embeddedResolvConf(wish);
    case 'bridge': case 'none': {
      const { text, usesDefaults } = bridgeResolvConf(wish, ipv6);
      if (usesDefaults) log?.info('No non-localhost DNS nameservers are left in resolv.conf. Using default external servers', { servers: DEFAULT_SERVERS.ipv4 });
      return text;
    }
    case 'host': return hostResolvConf(wish);
    default: return unreachable(mode);
  }
}

/** undefined when there is no such file, or one that cannot be read. */
export function readHostFile(path: string): string | undefined {
  try { return statSync(path).size > LIMIT_BYTES ? undefined : readFileSync(path, 'utf8'); }
  catch { return undefined; }
}
