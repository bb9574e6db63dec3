// What a daemon is told about its default network and its pools of addresses, and what its machine has already: each story needs engines of its own.
import type { Scene, Story } from '../scene.ts';

/** Addresses without the numbers of interfaces, routes, MTU, servers. */
const INSIDE = 'sh -c "ip -o addr show dev eth0 scope global | cut -d: -f2-; ip route; ip -6 route show default | cut -d\' \' -f1-5; cat /sys/class/net/eth0/mtu; cat /etc/resolv.conf"';

async function tellDefault(scene: Scene): Promise<void> {
  await scene.say('network inspect bridge -f "{{json .IPAM.Config}} {{.EnableIPv6}} {{json .Options}}"');
  await scene.onHost("ip -o addr show dev docker0 scope global | awk '{ print $3, $4 }'");
  await scene.say(`run --rm IMAGE ${INSIDE}`);
}

async function tellPools(scene: Scene, ...flags: readonly string[]): Promise<void> {
  for (const [at, words] of flags.entries()) {
    const { code } = await scene.say(`network create ${words} @n${at}`);
    if (code === 0) await scene.say(`network inspect -f "{{json .IPAM.Config}}" @n${at}`);
  }
}

/** `prepare`: run on the machine before the engine. */
export interface FlagStory extends Story { flags: readonly string[]; prepare?: string }

export const flagStories: readonly FlagStory[] = [
  {
    name: 'flags-ipv4', tell: async (scene) => {
      await tellDefault(scene);
      await scene.say('run --rm --sysctl net.ipv4.ip_unprivileged_port_start=0 --network bridge IMAGE ip route get 198.51.100.1');
      await scene.do('run -d --name @web -p 18080:80 -p 0.0.0.0:18081:81 -p [::1]:18082:82 IMAGE sleep 1000');
      await scene.sayAll('inspect -f "{{json .NetworkSettings.Ports}}" @web', 'run --rm --add-host up:host-gateway IMAGE grep up /etc/hosts', 'rm -f @web');
      await tellPools(scene, '', '', '', '', '', '--ipv6');
      // The one that was given back is not the next one.
      await scene.say('network rm @n0 @n1');
      await tellPools(scene, '', '');
    },
    flags: [
      '--bip', '192.168.77.5/24', '--fixed-cidr', '192.168.77.128/25', '--default-gateway', '192.168.77.9', '--mtu', '1400', '--ip', '127.0.0.1', '--icc=false', '--dns-search', 'example.org', '--dns-opt', 'timeout:3', '--host-gateway-ip', '192.168.77.7',
      '--default-address-pool', 'base=10.181.0.0/23,size=24', '--default-address-pool', 'base=10.182.0.0/24,size=25', '--default-address-pool', 'base=fd00:181::/63,size=64',
    ],
  },
  {
    name: 'flags-ipv6', flags: ['--ipv6', '--fixed-cidr-v6', 'fd00:9::/64', '--fixed-cidr', '172.17.5.0/24'], tell: async (scene) => {
      await tellDefault(scene);
      await scene.sayAll('run --rm --mac-address 02:42:00:00:00:99 IMAGE ip -o -6 addr show dev eth0 scope global', 'run --rm IMAGE ping -6 -c 1 -W 5 fd00:9::1');
    },
  },
  {
    // A bridge that somebody made and gave an address, a network at home where Docker's pools begin, and a VPN.
    name: 'flags-found', flags: [], prepare: 'ip link add docker0 type bridge && ip addr add 10.55.0.7/16 dev docker0 && ip link add home type bridge && ip addr add 172.17.0.9/16 dev home && ip link set home up && ip route add 172.18.0.0/15 dev home', tell: async (scene) => {
      await tellDefault(scene);
      await tellPools(scene, '', '', '--subnet 172.18.0.0/16');
      await scene.onHost('ip link del home');
    },
  },
];
