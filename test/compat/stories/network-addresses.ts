// Subnets, gateways and ranges of networks, and the addresses that containers get in them. Every subnet is a story's own: dockerd keeps those of a creation that failed.
import type { Scene, Story } from '../scene.ts';

/** One network after the other, refused or made; those that were made are shown and removed together: a command line takes its time. */
async function createAll(scene: Scene, ...flags: readonly string[]): Promise<void> {
  const made: string[] = [];
  for (const [at, words] of flags.entries()) if ((await scene.say(`network create ${words} @n${at}`)).code === 0) made.push(`@n${at}`);
  await scene.say(`network inspect -f "{{.Name}} {{json .IPAM.Config}} {{.EnableIPv6}}" ${made.join(' ')}`);
  await scene.say(`network rm ${made.join(' ')}`);
}

const ADDRESSES = '{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}} {{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}} {{.MacAddress}} {{end}}';

/** Of all interfaces, without their numbers. */
const SHOWN = `sh -c "ip -4 -o addr | cut -d: -f2-"`;

/** Containers that stay, by name, and what they got; or why they did not. */
async function runAll(scene: Scene, containers: Readonly<Record<string, string>>): Promise<void> {
  const running: string[] = [];
  for (const [name, flags] of Object.entries(containers)) if ((await scene.say(`run -d --name @${name} ${flags} IMAGE sleep 1000`)).code === 0) running.push(`@${name}`);
  if (running.length > 0) await scene.say(`inspect -f "${ADDRESSES}" ${running.join(' ')}`);
}

/** Names for containers that are refused. */
const refused = (flag: string, addresses: readonly string[]): Record<string, string> =>
  Object.fromEntries(addresses.map((address, at) => [`no${flag.replace(/\W+/g, '-')}${at}`, `${flag} ${address}`]));

export const addressStories: readonly Story[] = [
  { name: 'addresses-subnets', once: true, tell: async (scene) => {
    await createAll(
      scene, '--subnet abc', '--subnet 10.101.0.0', '--subnet 10.101.0.0/33', '--subnet 300.1.0.0/16', '--subnet 10.101.2.3/16', '--subnet 10.100.0.0/30', '--subnet 10.102.0.0/31', '--subnet 10.102.4.0/32', '--subnet 10.102.8.0/31 --gateway 10.102.8.1',
      '--subnet 172.17.0.0/16', '--subnet 172.17.5.0/24', '--subnet 0.0.0.0/0', '--gateway 10.103.0.1', '--ip-range 10.103.0.0/24', '--subnet 10.103.0.0/16 --gateway 10.104.0.1', '--subnet 10.105.0.0/16 --gateway abc', '--subnet 10.106.0.0/16 --gateway 10.106.0.0',
      '--subnet 10.107.0.0/16 --gateway 10.107.255.255', '--subnet 10.108.0.0/16 --gateway 10.108.0.254', '--subnet 10.109.0.0/16 --ip-range 10.109.5.0/24', '--subnet 10.110.0.0/16 --ip-range 10.99.5.0/24', '--subnet 10.111.0.0/16 --ip-range abc', '--subnet 10.112.0.0/16 --ip-range 10.112.5.0',
      '--subnet 10.113.0.0/16 --aux-address a=10.114.0.1', '--subnet 10.115.0.0/16 --aux-address a=10.115.0.1', '--subnet 10.116.0.0/16 --aux-address a=abc', '--subnet 10.117.0.0/16 --gateway 10.117.0.9 --aux-address a=10.117.0.9', '--subnet 10.118.0.0/16 --aux-address a=10.118.255.255',
      '--subnet 10.119.0.0/16 --ip-range 10.119.5.0/24 --gateway 10.119.5.1 --aux-address a=10.119.0.7 --aux-address b=10.119.5.9', '--subnet 10.120.0.0/16 --subnet 10.121.0.0/16', '--subnet 10.122.0.0/16 --subnet 10.122.0.0/16', '--subnet 10.123.0.0/16 --subnet 10.123.5.0/24',
    );
    await scene.sayAll('network create --subnet 10.124.0.0/16 @first', 'network create --subnet 10.124.0.0/16 @again', 'network create --subnet 10.124.128.0/17 @again', 'network create --subnet 10.124.0.0/15 @again', 'network rm @first', 'network create --subnet 10.124.128.0/17 @again', 'network rm @again');
  } },
  { name: 'addresses-ipv6', once: true, tell: async (scene) => {
    await createAll(
      scene, '--ipv6', '--ipv6 --subnet 10.130.0.0/16', '--ipv6 --subnet 10.131.0.0/16 --subnet fd00:131::/64', '--ipv6 --subnet FD00:0132:0::/64 --subnet 10.132.0.0/16 --gateway fd00:132:0::99', '--subnet 10.133.0.0/16 --subnet fd00:133::/64', '--ipv6 --subnet 10.134.0.0/16 --subnet fd00:134::/128',
      '--ipv6 --subnet 10.135.0.0/16 --subnet fd00:135::/64 --gateway fd00:136::99', '--ipv6 --subnet 10.137.0.0/16 --subnet fd00:137::/64 --gateway fd00:137::', '--ipv6 --subnet 10.138.0.0/16 --subnet fd00:138::/64 --aux-address a=fd00:139::9', '--ipv6 --subnet 10.140.0.0/16 --subnet fd00:140::/64 --ip-range fd00:140::100/120',
      '--ipv6 --subnet 10.141.0.0/16 --subnet fd00:141::/64 --subnet fd00:142::/64', '--ipv6 --subnet 10.143.0.0/16 --subnet fd00::/129',
    );
    await scene.do('network create --ipv6 --subnet 10.144.0.0/16 --subnet fd00:144::/64 @six');
    await runAll(scene, { a: '--network @six', b: '--network @six --ip6 FD00:144:0::00AB', c: '--network @six --ip 10.144.0.77 --ip6 fd00:144::77', ...refused('--network @six --ip6', ['fd00:144::2', 'fd00:144::1', 'fd00:145::1', 'abc', '10.144.0.9']) });
    await scene.sayAll('exec @a sh -c "ip -6 route show dev eth0 scope global; ping -6 -c 1 -W 5 fd00:144::ab; ping -6 -c 1 -W 5 fd00:144::1"');
    await scene.do('network create --subnet 10.146.0.0/16 --subnet fd00:146::/64 @off');
    await runAll(scene, { d: '--network @off --ip6 fd00:146::9' });
  } },
  { name: 'addresses-leases', once: true, tell: async (scene) => {
    await scene.do('network create --subnet 10.150.0.0/29 @small');
    await runAll(scene, { a: '--network @small', b: '--network @small', c: '--network @small' });
    await scene.do('rm -f @a @b');
    await runAll(scene, {
      x: '--network @small --ip 10.150.0.3', ...refused('--network @small --ip', ['10.150.0.3', '10.150.0.1', '10.150.0.0', '10.150.0.7', '10.151.0.4', 'abc', '10.150.0.4/29', 'fd00::5']), nosix: '--network @small --ip6 fd00::5',
      a: '--network @small', b: '--network @small', e: '--network @small', full: '--network @small',
    });
    // Its address is kept for nobody while it does not run.
    await scene.sayAll('stop -t 0 @x', 'network inspect -f "{{len .Containers}}" @small', 'network connect --ip 10.150.0.3 @small @a', 'start @x', `inspect -f "${ADDRESSES}" @x`);
  } },
  { name: 'addresses-ranges', once: true, tell: async (scene) => {
    await scene.do('network create --subnet 10.152.0.0/16 --ip-range 10.152.5.0/30 --gateway 10.152.5.1 --aux-address nas=10.152.5.2 @range');
    await scene.do('network create --subnet 10.153.0.0/16 --ip-range 10.153.9.0/24 @nogw');
    await scene.do('network create --subnet 10.154.0.0/16 --aux-address DefaultGatewayIPv4=10.154.0.9 @way');
    await scene.do('network create --internal --subnet 10.155.0.0/16 @inside');
    await scene.do('network create @auto');
    await runAll(scene, {
      a: '--network @range', b: '--network @range', full: '--network @range', out: '--network @range --ip 10.152.200.1', aux: '--network @range --ip 10.152.5.2', nogw: '--network @nogw', way: '--network @way', mac: '--network @inside --mac-address 02:42:00:00:00:AB',
      default: '--ip 172.17.0.99', bridge: '--network bridge --ip 172.17.0.99', auto: '--network @auto --ip 172.30.0.99', nolink: '--network @inside --link-local-ip 10.9.9.9', ll: '--network @inside --link-local-ip 169.254.7.7',
    });
    await scene.sayAll('exec @a ping -c 1 -W 5 10.152.200.1', 'exec @way ip route');
    await scene.sayAll(`exec @ll ${SHOWN}`, 'network disconnect @inside @ll', 'network connect --link-local-ip 169.254.7.8 @inside @ll', `exec @ll ${SHOWN}`);
  } },
];
