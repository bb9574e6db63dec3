// network: make, list and remove networks, and connect containers to them.
import { filtersParameter } from '../client.ts';
import { print, warn, type Command } from '../command.ts';
import { commaList, pairs } from '../csv.ts';
import { readConfig } from '../config.ts';
import { DaemonError, Failure, Missing } from '../failure.ts';
import { flag } from '../flags.ts';
import { driverOption } from '../network-flag.ts';
import { naturalOrder } from '../order.ts';
import { renderRows, type Row } from '../rows.ts';
import { linkFormat } from '../run-flags.ts';
import { matchSubnets } from '../subnets.ts';
import { shortId } from '../table.ts';
import { goTimeOf } from '../time.ts';

interface Network { Id: string; Name: string; Driver: string; Scope: string; Created: string; EnableIPv6: boolean; Internal: boolean; Labels: Record<string, string> | null }

const HEADERS = { ID: 'NETWORK ID', Name: 'NAME', Driver: 'DRIVER', Scope: 'SCOPE', IPv6: 'IPV6', Internal: 'INTERNAL', Labels: 'LABELS', CreatedAt: 'CREATED AT' };
const TABLE = 'table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}';
const RAW = 'network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n';

const networkPath = (name: string, rest = ''): string => `/networks/${encodeURIComponent(name)}${rest}`;

export const createNetwork: Command = {
  name: 'create', usage: '[OPTIONS] NETWORK', short: 'Create a network', args: { min: 1, max: 1 },
  flags: [
    flag('attachable', 'bool', 'Accepted; every network here can be joined by hand'), flag('aux-address', 'map', 'Addresses that are somebody else\'s and never given to containers (name=address)'),
    flag('config-from', 'string', 'Take the configuration of this network'), flag('config-only', 'bool', 'Keep a configuration for other networks, and make no network'),
    flag('d, driver', 'string', 'Driver of the network: bridge or macvlan', { value: 'bridge' }), flag('gateway', 'strings', 'Gateway of a subnet'),
    flag('ingress', 'bool', 'Belongs to Swarm and is refused'), flag('internal', 'bool', 'Let nothing in or out'), flag('ip-range', 'strings', 'Give containers addresses of this part of the subnet'),
    flag('ipam-driver', 'string', 'Who gives out addresses', { value: 'default' }), flag('ipam-opt', 'map', 'Options of who gives out addresses'),
    flag('ipv4', 'bool', 'Give IPv4 addresses', { value: 'true' }), flag('ipv6', 'bool', 'Give IPv6 addresses'), flag('label', 'list', 'Attach a label to the network'),
    flag('o, opt', 'map', 'Options of the driver'), flag('scope', 'string', 'Reach of the network: local'), flag('subnet', 'strings', 'Subnet of the network (10.1.0.0/16)'),
  ],
  run: async (call) => {
    const { flags } = call;
    const config = matchSubnets({ subnets: commaList(flags.list('subnet')), ranges: commaList(flags.list('ip-range')), gateways: commaList(flags.list('gateway')), aux: pairs(flags.list('aux-address')) });
    const body = {
      Name: call.args[0], CheckDuplicate: true, Driver: flags.text('driver'), Scope: flags.text('scope'), EnableIPv6: flags.bool('ipv6'), ...(flags.given('ipv4') ? { EnableIPv4: flags.bool('ipv4') } : {}),
      IPAM: { Driver: flags.text('ipam-driver'), Options: pairs(flags.list('ipam-opt')), Config: config },
      Internal: flags.bool('internal'), Attachable: flags.bool('attachable'), Ingress: flags.bool('ingress'), ConfigOnly: flags.bool('config-only'),
      ConfigFrom: flags.text('config-from') === '' ? null : { Network: flags.text('config-from') }, Options: pairs(flags.list('opt')), Labels: pairs(flags.list('label')),
    };
    const made = await call.client.json<{ Id: string; Warning?: string }>('POST', '/networks/create', { body });
    if (made.Warning) warn(call, `WARNING: ${made.Warning}`);
    print(call, made.Id);
  },
};

export const listNetworks: Command = {
  name: 'ls', usage: '[OPTIONS]', short: 'List networks', aliases: ['ls', 'list'], args: { min: 0, max: 0 },
  flags: [flag('f, filter', 'filter', 'Show only what meets the condition'), flag('format', 'string', 'Print each network by a Go template'), flag('no-trunc', 'bool', 'Don\'t truncate output'), flag('q, quiet', 'bool', 'Only display network IDs')],
  run: async (call) => {
    const { flags, client, io } = call;
    const found = await client.json<Network[] | null>('GET', '/networks', { query: { filters: filtersParameter(flags.filters()) } });
    const rows = (found ?? []).toSorted((a, b) => naturalOrder(a.Name, b.Name)).map((network) => networkRow(network, flags.bool('no-trunc')));
    const typed = flags.text('format') || (flags.bool('quiet') ? '' : (await readConfig(call)).networksFormat ?? '');
    const isTable = typed === '' || typed === 'table';
    if (flags.bool('quiet') && isTable) {
      for (const row of rows) print(call, String(row['ID']));
      return;
    }
    const format = isTable ? TABLE : typed === 'raw' ? (flags.bool('quiet') ? 'network_id: {{.ID}}' : RAW) : typed;
    io.stdout.write(renderRows({ format, headers: HEADERS, rows, typeName: '*network.networkContext' }));
  },
};

export const removeNetworks: Command = {
  name: 'rm', usage: 'NETWORK [NETWORK...]', short: 'Remove one or more networks', aliases: ['rm', 'remove'], args: { min: 1 },
  flags: [flag('f, force', 'bool', 'Do not mind networks that are not there')],
  run: async (call) => {
    let code = 0;
    for (const name of call.args) {
      try {
        await call.client.text('DELETE', networkPath(name), { missing: { object: 'network', name } });
        print(call, name);
      } catch (error) {
        if (error instanceof Missing && call.flags.bool('force')) continue;
        if (!(error instanceof Missing || error instanceof DaemonError)) throw error;
        warn(call, error.message);
        code = 1;
      }
    }
    return code;
  },
};

export const connectNetwork: Command = {
  name: 'connect', usage: '[OPTIONS] NETWORK CONTAINER', short: 'Connect a container to a network', args: { min: 2, max: 2 },
  flags: [
    flag('alias', 'strings', 'Further names of the container within the network'), flag('driver-opt', 'strings', 'Options of the driver for this container'), flag('gw-priority', 'int', 'The network with the highest is the way out'),
    flag('ip', 'string', 'IPv4 address (172.30.100.104)'), flag('ip6', 'string', 'IPv6 address (2001:db8::33)'), flag('link', 'list', 'Know another container by a name of one\'s own (name:alias)', { check: linkFormat }),
    flag('link-local-ip', 'strings', 'Link-local addresses of the container'),
  ],
  run: async ({ args: [network = '', container = ''], flags, client }) => {
    const linkLocal = commaList(flags.list('link-local-ip'));
    const endpoint = {
      IPAMConfig: {
        ...(flags.text('ip') === '' ? {} : { IPv4Address: flags.text('ip') }), ...(flags.text('ip6') === '' ? {} : { IPv6Address: flags.text('ip6') }), ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: linkLocal }),
      },
      Links: flags.given('link') ? flags.list('link') : null, Aliases: commaList(flags.list('alias')), DriverOpts: driverOptions(commaList(flags.list('driver-opt'))),
      ...(flags.given('gw-priority') ? { GwPriority: flags.number('gw-priority') } : {}),
    };
    await client.text('POST', networkPath(network, '/connect'), { body: { Container: container, EndpointConfig: endpoint } });
  },
};

export const disconnectNetwork: Command = {
  name: 'disconnect', usage: '[OPTIONS] NETWORK CONTAINER', short: 'Disconnect a container from a network', args: { min: 2, max: 2 }, flags: [flag('f, force', 'bool', 'Also when the container does not know of it')],
  run: async ({ args: [network = '', container = ''], flags, client }) => {
    await client.text('POST', networkPath(network, '/disconnect'), { body: { Container: container, Force: flags.bool('force') } });
  },
};

function driverOptions(list: readonly string[]): Record<string, string> {
  try {
    return Object.assign({}, ...list.map(driverOption)) as Record<string, string>;
  } catch {
    throw new Failure('invalid key/value pair format in driver options');
  }
}

function networkRow(network: Network, full: boolean): Row {
  const labels = network.Labels ?? {};
  return {
    CreatedAt: goTimeOf(network.Created), Driver: network.Driver, ID: full ? network.Id : shortId(network.Id), IPv6: String(network.EnableIPv6), Internal: String(network.Internal),
    Labels: Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(','), Name: network.Name, Scope: network.Scope, Label: (name: unknown) => labels[String(name)] ?? '',
  };
}
