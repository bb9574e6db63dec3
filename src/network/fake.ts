// Networks in memory for tests: who is open, and failures where told. Subnets are the next free one, whatever is asked.
import type { NetworkPools, NetworkRecord } from '../store/index.ts';
import type { Network, NetworkSettings } from './index.ts';

export interface FakeNetworkOptions {
  /** Called before every change with its name and the network's; may throw. */
  onCall?: (call: string) => void;
  /** Default: there is no default network. */
  settings?: Partial<NetworkSettings>;
}

export interface FakeNetwork extends Network {
  /** IDs of the networks that have a device. */
  readonly opened: ReadonlySet<string>;
}

export const FAKE_SETTINGS: NetworkSettings = {
  bridge: 'none', bip: '', fixedCidr: '', fixedCidrV6: '', defaultGateway: '', defaultGatewayV6: '', ipv6: false, mtu: 0, icc: true, ipMasq: true, ipForward: true, iptables: true,
  ip6tables: false, hostIp: '', userlandProxy: true, dns: [], dnsSearch: [], dnsOptions: [], hostGatewayIp: '', addressPools: [],
};

export function openFakeNetwork({ onCall = () => {}, settings: given }: FakeNetworkOptions = {}): FakeNetwork {
  const opened = new Set<string>();
  const settings = { ...FAKE_SETTINGS, ...given };
  const poolsBeside = (others: readonly NetworkRecord[]): NetworkPools => {
    const taken = new Set(others.flatMap(({ pools }) => pools.v4.map(({ subnet }) => subnet)));
    const free = Array.from({ length: 255 }, (_none, i) => `172.${i + 17}.0`).find((base) => !taken.has(`${base}.0/16`)) ?? '';
    return { v4: [{ subnet: `${free}.0/16`, range: `${free}.0/16`, gateway: `${free}.1`, aux: {} }], v6: [] };
  };
  const none = async (): Promise<never> => { throw new Error('the fake has no sandboxes'); };
  return {
    opened, settings, facts: { firewall: 'none', note: '' },
    plan(_wish, others) { onCall('plan'); return poolsBeside(others); },
    planDefault(others) { onCall('planDefault'); return settings.bridge === 'none' ? undefined : poolsBeside(others); },
    remains: () => ({ bridge: undefined, elsewhere: false }),
    async open({ Id, Name }) { onCall(`open ${Name}`); opened.add(Id); },
    async close({ Id, Name }) { onCall(`close ${Name}`); opened.delete(Id); },
    prepare: none, adopt: none, sandbox: () => undefined, resolvConf: () => '', settle: async () => { onCall('settle'); }, hostGateway: () => undefined, end: async () => {},
  };
}
