// The networks at the start of the daemon: what the records say, set up in the kernel before any container is looked at.
import { EngineError, kindOf, messageOf } from '../../lib/errors.ts';
import { formatNanos } from '../../lib/clock.ts';
import { bridgeOf, BRIDGE_NAME } from '../../network/index.ts';
import type { NetworkRecord } from '../../store/index.ts';
import type { StringMap } from '../../wire/types.ts';
import { Networks, type NetworksNeeds } from './networks.ts';
import { configOf, defaultNetwork, plainNetwork } from './predefined.ts';
import { lostNetworks } from './rebuild.ts';
import { planOf } from './wish.ts';

/** A network that cannot be set up is shown and tried again with its next container; without the default one, where it is wanted, nothing starts. */
export async function openNetworks(needs: NetworksNeeds & { daemonId: string }): Promise<Networks> {
  const { store, clock, daemonId, network: { settings } } = needs;
  const networks = new Networks(needs);
  const created = formatNanos(clock.nowNanos());
  const recorded = store.networks.loaded();
  const standard = await openDefault(needs, { recorded, created });
  if (standard) networks.add(standard, { opened: true });
  for (const name of ['host', 'none'] as const) networks.add(plainNetwork(name, { daemonId, created }));
  for (const network of recorded) networks.add(network);
  await rebuildLost(needs, networks);
  // At once: the rules of all of them go into the kernel in few calls.
  await Promise.all(recorded.map((network) => networks.open(network).catch(() => { /* tried again below */ })));
  for (const network of recorded.filter(({ Id }) => networks.brokenOf(Id) !== undefined)) {
    // Containers that run on may be in it: whatever was in the way for a moment must not cost them their network.
    try { await networks.open(network); } catch (error) { needs.log.error('could not set up a network', { network: network.Name, id: network.Id, error }); }
  }
  return networks;

  async function openDefault({ network, log }: NetworksNeeds, found: { recorded: readonly NetworkRecord[]; created: string }): Promise<NetworkRecord | undefined> {
    try {
      const pools = network.planDefault(found.recorded);
      if (!pools) return undefined;
      const record = defaultNetwork(pools, { daemonId, settings, created: found.created });
      await network.open(record);
      log.info('default network is set up', { device: settings.bridge, subnets: [...pools.v4, ...pools.v6].map(({ subnet }) => subnet) });
      return record;
    } catch (cause) {
      throw new EngineError(kindOf(cause), `Error initializing network controller: Error creating default "bridge" network: ${messageOf(cause)}`, { cause });
    }
  }
}

/** Networks that containers name and whose records are gone: the containers would not start again. */
async function rebuildLost({ store, network, log }: NetworksNeeds, networks: Networks): Promise<void> {
  for (const lost of lostNetworks(store.containers.loaded(), (id) => networks.get(id) !== undefined || store.networks.wasRemoved(id))) {
    try {
      const { bridge, elsewhere } = network.remains(lost.Id, lost.IPAM.Config.map(({ Subnet }) => Subnet));
      const wish = planOf(lost);
      if (!wish || elsewhere) {
        // A bridge of this address would take a whole network away from the host.
        log.warn('a network whose record is lost cannot be made again: the host itself is in its subnet', { network: lost.Name, id: lost.Id });
        continue;
      }
      const pools = network.plan(wish, networks.all());
      // Addresses of their own are allowed to containers in subnets that were asked for, and theirs may be such.
      const Options: StringMap = bridge === undefined || bridge === bridgeOf(lost) ? {} : { [BRIDGE_NAME]: bridge };
      const record: NetworkRecord = { ...lost, Options, pools, IPAM: { ...lost.IPAM, Config: wish.config.length > 0 ? configOf(pools) : [] } };
      await networks.open(record);
      await store.networks.save(record);
      networks.add(record);
      log.warn('a network whose record is lost was made again from the records of its containers: its labels and options are gone', { network: record.Name, id: record.Id });
    } catch (error) {
      log.error('could not make a lost network again', { network: lost.Name, id: lost.Id, error });
    }
  }
}
