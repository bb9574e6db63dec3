// hostname, hosts and resolv.conf of a container: written anew at every start, into the container's folder, and bound over the image's own.
import { invalid } from '../../lib/errors.ts';
import type { Endpoint, Sandbox } from '../../network/index.ts';
import type { BundleMount } from '../../runtime/index.ts';
import type { ContainerRecord } from '../../store/index.ts';
import type { Container } from './container.ts';
import { hostLine, type LiveLink } from './links.ts';
import { joinedName } from './namespaces.ts';
import type { ContainerNeeds } from './needs.ts';
import { splitExtraHost } from './validate-network.ts';

/** Nobody's /etc/hosts is larger; what is, is not changed any more. */
const HOSTS_LIMIT_BYTES = 1 << 20;
/** What dockerd 20.10 writes first. */
const STANDARD_HOSTS = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n`;

type Paths = Pick<ContainerRecord, 'HostnamePath' | 'HostsPath' | 'ResolvConfPath'>;

/** Writes them for a run and gives the binds. A container without any network of ours has its host name only, as with Docker. */
export async function ownFiles(needs: ContainerNeeds, container: Container, run: { sandbox: Sandbox | undefined; links: readonly LiveLink[] }): Promise<BundleMount[]> {
  const { Config: config } = container.record;
  const joined = joinedName(container.hostConfig.NetworkMode);
  if (joined !== undefined) return bindFiles(container, needs.table.find(joined).record); // names belong to a network
  const write = (name: string, content: string) => needs.store.containers.writeFile(container.id, name, content);
  const HostnamePath = await write('hostname', `${config.Hostname}\n`);
  if (config.NetworkDisabled) return bindFiles(container, { HostnamePath, HostsPath: '', ResolvConfPath: '' });
  return bindFiles(container, { HostnamePath, HostsPath: await write('hosts', hostsText(needs, container, run)), ResolvConfPath: await write('resolv.conf', resolvConf(needs, container, run.sandbox)) });
}

function bindFiles(container: Container, { HostnamePath, HostsPath, ResolvConfPath }: Paths): BundleMount[] {
  container.record = { ...container.record, HostnamePath, HostsPath, ResolvConfPath };
  return [[ResolvConfPath, '/etc/resolv.conf'], [HostnamePath, '/etc/hostname'], [HostsPath, '/etc/hosts']].flatMap(([source = '', destination = '']): BundleMount[] =>
    (source === '' ? [] : [{ type: 'bind', source, destination, options: ['rbind', 'rprivate'] }]));
}

function hostsText(needs: ContainerNeeds, container: Container, { sandbox, links }: { sandbox: Sandbox | undefined; links: readonly LiveLink[] }): string {
  const asked = container.hostConfig.ExtraHosts ?? [];
  // Who adds to the host's file gets none of it, as with dockerd.
  const standard = container.hostConfig.NetworkMode === 'host' && asked.length === 0 ? fileOf(needs, '/etc/hosts') ?? '' : STANDARD_HOSTS;
  const extra = asked.map(splitExtraHost).map(({ name, address }) => `${address === 'host-gateway' ? hostGateway(needs) : address}\t${name}\n`);
  return [standard, ...extra, ...links.map(hostLine), ...[...sandbox?.endpoints.values() ?? []].flatMap((endpoint) => ownLines(container, endpoint))].join('');
}

function hostGateway(needs: ContainerNeeds): string {
  const address = needs.network.hostGateway();
  if (!address) throw invalid("unable to derive the IP value for host-gateway");
  return address;
}

/** A container finds itself by its host name, with its domain and by the first part alone. */
function ownLines({ record: { Config: { Hostname: host, Domainname: domain } } }: Container, { ipv4, ipv6 }: Pick<Endpoint, 'ipv4' | 'ipv6'>): string[] {
  const full = domain === '' ? host : `${host}.${domain}`;
  const names = full.includes('.') ? `${full} ${full.slice(0, full.indexOf('.'))}` : full;
  return [ipv4, ipv6].filter((address) => address !== '').map((address) => `${address}\t${names}\n`);
}

function resolvConf(needs: ContainerNeeds, { hostConfig }: Container, sandbox: Sandbox | undefined): string {
  return sandbox?.resolvConf ?? needs.network.resolvConf(ownServers(hostConfig), hostConfig.NetworkMode === 'host' ? 'host' : 'none');
}

export const ownServers = ({ Dns, DnsSearch, DnsOptions }: Container['hostConfig']): { dns: readonly string[]; dnsSearch: readonly string[]; dnsOptions: readonly string[] } =>
  ({ dns: Dns ?? [], dnsSearch: DnsSearch ?? [], dnsOptions: DnsOptions ?? [] });

/** The files of a running container after its networks have changed; lines of hosts that its user wrote stay. `before`: what resolv.conf was to say then. */
export async function followNetworks(needs: ContainerNeeds, container: Container, change: { before: string; joined?: Endpoint; left?: Pick<Endpoint, 'ipv4' | 'ipv6'> }): Promise<void> {
  const gone = change.left ? ownLines(container, change.left) : [];
  await rewriteHosts(needs, container, (lines) => [...lines.filter((line) => !gone.includes(line)), ...(change.joined ? ownLines(container, change.joined) : [])]);
  const now = needs.network.sandbox(container.id)?.resolvConf;
  const path = container.record.ResolvConfPath;
  if (now === undefined || now === change.before || path === '') return;
  await needs.store.containers.writeFile(container.id, 'resolv.conf', now);
}

/** The line of a link in the file of a running container, put where the old one was; without a link it goes. */
export async function followLink(needs: ContainerNeeds, container: Container, { alias, link }: { alias: string; link: LiveLink | undefined }): Promise<void> {
  const own = link ? [hostLine(link)] : [];
  await rewriteHosts(needs, container, (lines) => {
    const at = lines.findIndex((line) => line.split(/\s+/)[1] === alias);
    return at < 0 ? [...lines, ...own] : [...lines.slice(0, at), ...own, ...lines.slice(at + 1)];
  });
}

/**
 * In place: it is bound into the container, which would keep the old one. One change after the other: containers that it links to start without its
 * own lock, and who reads what another has half written would lose the rest.
 */
async function rewriteHosts(needs: ContainerNeeds, container: Container, change: (lines: string[]) => string[]): Promise<void> {
  using _alone = await needs.table.locks.hold(`hosts of ${container.id}`);
  const { HostsPath: path } = container.record;
  const before = path === '' ? undefined : fileOf(needs, path);
  if (before === undefined) return;
  const after = change(before.match(/[^\n]*\n|[^\n]+$/g) ?? []).join('');
  if (after !== before) await needs.store.containers.writeFile(container.id, 'hosts', after);
}

function fileOf(needs: Pick<ContainerNeeds, 'kernel'>, path: string): string | undefined {
  const bytes = needs.kernel.files.readInRoot('/', path, HOSTS_LIMIT_BYTES);
  return bytes && new TextDecoder().decode(bytes);
}
