// Networks from their making to their removal, and containers on them: verbs, modes, ports, names, links, events. Traffic is sent wherever something should be reached, or not.
import { until } from '../../kit/poll.ts';
import type { Scene, Story } from '../scene.ts';

const SERVE = 'sh -c "mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"';
const ADDRESSES = '{{range $name, $one := .NetworkSettings.Networks}}{{$name}} {{$one.IPAddress}}/{{$one.IPPrefixLen}} {{$one.Gateway}} {{$one.MacAddress}} {{$one.GlobalIPv6Address}} {{end}}';

export const networkStories: readonly Story[] = [
  { name: 'networks-verbs', once: true, tell: async (scene) => {
    await scene.sayAll(
      'network create @one', 'network create @one', 'network create --label x=1 --label y -o com.docker.network.driver.mtu=1400 @two', 'network create --internal @three', 'network create bridge', 'network create host', 'network create none',
      'network create', 'network create a b', 'network create -d null @no', 'network create -d host @no', 'network create --scope swarm @no', 'network create -o com.docker.network.driver.mtu=x @no', 'network create -o com.docker.network.bridge.enable_icc=maybe @no', 'network create --subnet 10.211.0.0/24 -o com.docker.network.bridge.name=@b1 @no',
      'network create --attachable --label z=9 @four', 'network create --ingress @no', 'network ls --filter name=@ --format "{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}}"', 'network ls --filter name=@four --format {{.Labels}}', 'network ls --filter name=@one', 'network ls -q --filter label=x --filter name=@ --no-trunc', 'network ls --filter driver=bridge --filter name=@ --format {{.Name}}',
      'network ls --filter driver=nosuch', 'network ls --filter type=builtin', 'network ls --filter type=custom --filter name=@ --format {{.Name}}', 'network ls --filter type=x', 'network ls --filter scope=local --filter name=@ --format {{.Name}}', 'network ls --filter scope=x', 'network ls --filter nosuch=1', 'network ls --filter dangling=true --filter name=@two --format {{.Name}}',
      'network inspect @two -f "{{.Name}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{json .Options}} {{json .Labels}} {{json .Containers}}"', 'network inspect @nosuch @one -f {{.Name}}', 'network inspect', 'network inspect host none -f "{{.Name}} {{.Driver}} {{.Scope}} {{json .IPAM.Config}} {{json .Options}}"',
      'network inspect bridge -f "{{json .IPAM}} {{json .Options}} {{.Internal}}"', 'network rm @one @nosuch @two', 'network rm bridge', 'network rm host none', 'network rm', 'network rm @three @four', 'network ls -q --filter name=@', 'inspect --type network @one',
    );
  } },
  { name: 'networks-connect', once: true, tell: async (scene) => {
    await scene.sayAll('network create --subnet 10.212.1.0/24 @a', 'network create --subnet 10.212.2.0/24 --gateway 10.212.2.200 @b', 'network create --internal --subnet 10.212.3.0/24 @i');
    await scene.do(`run -d --name @web --network @a --network-alias www ${served}`);
    await scene.do(`run -d --name @other --network @b IMAGE sleep 1000`);
    await scene.sayAll(
      `inspect -f "${ADDRESSES}" @web @other`, 'exec @web ip -4 addr show dev eth0', 'exec @web ip route', 'exec @other timeout 3 wget -qO- http://10.212.1.2/', 'network connect @b @web', 'network connect @b @web', 'network connect @nosuch @web', 'network connect @b @nosuch', `inspect -f "${ADDRESSES}" @web`,
      'exec @web ip route', 'exec @web cat /etc/resolv.conf', 'exec @other ping -c 1 -W 5 @web', 'network connect --alias al --ip 10.212.3.77 @i @web', 'exec @web ip -4 -o addr', 'network disconnect @a @web', 'exec @web ip route', 'network disconnect @a @web', 'network disconnect -f @nosuch @web', 'network rm @b', 'network disconnect @b @web', 'exec @web ip -o link show up',
      'network connect --ip 10.212.1.50 @a @web', `inspect -f "${ADDRESSES}" @web`, 'network connect --ip 10.212.1.50 @a @other', 'network connect --ip 10.99.0.1 @a @other', 'network connect --ip 10.212.1 @a @other', 'network connect host @web', 'network connect none @web', 'network disconnect bridge @web', 'network connect bridge @web', 'exec @web ip route',
    );
    await scene.sayAll('stop -t 0 @web', `inspect -f "${ADDRESSES}" @web`, 'network disconnect @i @web', 'start @web', `inspect -f "${ADDRESSES}" @web`, 'exec @web ip route', 'rm -f @web @other', 'network inspect -f "{{len .Containers}}" @a', 'network rm @a @b @i');
  } },
  { name: 'networks-ports', once: true, tell: async (scene) => {
    await scene.do(`run -d --name @web -p 127.0.0.1:18080:80 -p 18081:80 -p 18082-18084:90-92/udp --expose 7000-7001 ${served}`);
    const ports = async () => { scene.note('all ports', (await scene.do('port @web')).split('\n').toSorted()); }; // a map to dockerd
    await ports();
    await scene.sayAll('port @web 80', 'port @web 80/tcp', 'port @web 90/udp', 'port @web 7000', 'inspect -f "{{json .NetworkSettings.Ports}}" @web', 'ps --filter name=@web --format {{.Ports}}');
    await reached(scene, 'http://127.0.0.1:18080/');
    for (const url of ['http://127.0.0.1:18081/', 'http://172.17.0.1:18081/', 'http://[::1]:18081/', 'http://172.17.0.1:18080/']) await scene.onHost(`busybox timeout 3 busybox wget -qO- ${url} | wc -c`);
    await scene.sayAll(
      'run --rm IMAGE timeout 3 wget -qO- http://172.17.0.1:18081/', `run -d --name @second -p 18081:80 ${served}`, 'inspect -f "{{.State.Status}} {{.State.ExitCode}} {{json .NetworkSettings.Ports}} {{.NetworkSettings.IPAddress}}" @second', 'rm @second', `run -d --name @second -p 127.0.0.2:18080:80 ${served}`,
      'rm -f @second', 'run --rm -p 80:80:80:80 IMAGE true', 'run --rm -p 99999:80 IMAGE true', 'run --rm -p 1-2:3 IMAGE true', 'run --rm -p x IMAGE true', 'run --rm -p 80/icmp IMAGE true', 'run --rm --name @r -p 10.9.8.7:18099:80 IMAGE true', 'run --rm --network none -p 18099:80 IMAGE true', 'run --rm --network host -p 18099:80 IMAGE true',
    );
    await scene.hostRun('busybox nc -l -p 18090 >/dev/null 2>&1 & until grep -qs :46AA /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done'); // taken by another program; it ends with the line after the next
    await scene.say(`run --rm --name @r -p 18090:80 IMAGE true`);
    await scene.onHost('echo | busybox nc -w 1 127.0.0.1 18090; echo');
    await scene.sayAll('stop -t 0 @web', 'port @web', 'inspect -f "{{json .NetworkSettings.Ports}}" @web', 'ps -a --filter name=@web --format "{{.Ports}}"', 'start @web');
    await reached(scene, 'http://127.0.0.1:18081/');
    await scene.say('restart -t 0 @web');
    await ports();
    await scene.sayAll('rm -f @web', `run -d --name @random -P --expose 80 --expose 53/udp ${served}`);
    const port = (await scene.do('port @random 80')).split('\n')[0]?.split(':').at(-1) ?? '';
    await reached(scene, `http://127.0.0.1:${port}/`, 'the random port');
    await scene.say('rm -f @random');
    await until('its device to go with its network namespace', async () => (await scene.hostRun('ip -o link | grep -c veth')).stdout === '0\n');
    await scene.onHost('iptables-save | grep -c "dport 1808"');
  } },
  { name: 'networks-names', once: true, tell: async (scene) => {
    await scene.sayAll('network create @n', 'network create @m');
    await scene.do('run -d --name @db --hostname dbhost --network @n --network-alias data --network-alias store IMAGE sleep 1000');
    await scene.do('run -d --name @db2 --network @n --network-alias store IMAGE sleep 1000');
    await scene.do('run -d --name @web --network @n --dns-search example.org --add-host extra:127.0.0.9 IMAGE sleep 1000');
    const short = (await scene.do('inspect -f "{{slice .Id 0 12}}" @db')).trim();
    for (const name of ['@db', 'data', 'DATA', '@db.@n', 'dbhost', 'extra', '@nosuch', 'upstream.test']) await scene.say(`exec @web ping -c 1 -W 1 ${name}`);
    scene.note('by its ID', (await scene.do(`exec @web ping -c 1 -W 2 ${short}`)).split('\n')[0]?.replaceAll(short, '<id>'));
    await scene.say(`exec @web sh -c "nslookup store 127.0.0.11 2>/dev/null | grep -c Address.*172"`);
    await scene.say(`exec @web sh -c "nslookup $(ip -4 -o addr show dev eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/') 127.0.0.11 | grep name"`);
    await scene.sayAll('exec @web cat /etc/resolv.conf', 'exec @web cat /etc/hosts', 'exec @db cat /etc/hosts', 'exec @db cat /etc/hostname');
    await scene.sayAll('network connect --alias seen @m @db', 'exec @db cat /etc/hosts', 'exec @web ping -c 1 -W 2 seen', 'network connect @m @web', 'exec @web ping -c 1 -W 2 seen', 'rename @db @renamed', 'exec @web ping -c 1 -W 2 @renamed', 'exec @web ping -c 1 -W 2 @db', 'stop -t 0 @renamed', 'exec @web ping -c 1 -W 2 data');
    await scene.sayAll('rm -f @web @renamed @db2', 'network rm @n @m', 'run --rm --name @def --hostname h IMAGE sh -c "cat /etc/hosts; ping -c 1 -W 2 @def"', 'run --rm --network host --name @h IMAGE cat /etc/hosts', 'run --rm --network none IMAGE cat /etc/hosts /etc/resolv.conf', 'run --rm --add-host gw:host-gateway IMAGE grep gw /etc/hosts');
  } },
  { name: 'networks-modes', once: true, tell: async (scene) => {
    await scene.sayAll(
      'run --rm --name @x IMAGE sh -c "ip -o -4 addr; ip route; ip -o link | wc -l; cat /proc/sys/net/ipv6/conf/all/disable_ipv6"', 'run --rm --network none IMAGE sh -c "ip -o -4 addr; ip route"', 'run --rm --network nosuch IMAGE true', 'run --rm --network container:@nosuch IMAGE true', 'run --rm --ip 172.17.0.9 IMAGE true', 'run --rm --network-alias a IMAGE true',
      'run --rm --network host --ip 10.1.1.1 IMAGE true', 'run --rm --mac-address 02:00:00:00:00:99 IMAGE ip link show eth0', 'run --rm --mac-address x IMAGE true', 'run --rm --network bridge --link-local-ip 169.254.8.8 IMAGE ip -o -4 addr show eth0', 'create --name @none --network none IMAGE sleep 1000', 'network connect bridge @none', 'create --name @host --network host IMAGE sleep 1000',
      'network connect bridge @host', 'network disconnect host @host', 'rm @none @host',
    );
    await scene.do('run -d --name @base IMAGE sleep 1000');
    await scene.sayAll('run --rm --network container:@base IMAGE ip -o -4 addr show eth0', 'run --rm --network container:@base -p 80:80 IMAGE true', 'run --rm --network container:@base --hostname x IMAGE true', 'run -d --name @joined --network container:@base IMAGE sleep 1000', 'network connect bridge @joined', 'inspect -f "{{json .NetworkSettings.Networks}} {{json .NetworkSettings.Ports}}" @joined', 'stop -t 0 @base', 'start @base', 'rm -f @joined @base', 'run --rm --sysctl net.ipv4.conf.eth0.forwarding=0 IMAGE cat /proc/sys/net/ipv4/conf/eth0/forwarding');
    await scene.say(`run --name @links-db -d -e PASS=1 --expose 5432 IMAGE sleep 1000`);
    await scene.sayAll('run --rm --link @links-db:db --name @links-web IMAGE sh -c "env | grep DB | sort; grep db /etc/hosts; ping -c 1 -W 2 db"', 'run --rm --link @nosuch:db IMAGE true', 'run -d --name @links-web --link @links-db:db IMAGE sleep 1000', 'inspect -f "{{json .HostConfig.Links}}" @links-web', 'restart -t 0 @links-db', 'exec @links-web ping -c 1 -W 2 db', 'rm --link @links-web/db', 'inspect -f "{{json .HostConfig.Links}}" @links-web', 'rm -f @links-web @links-db');
  } },
  { name: 'networks-ipv6', once: true, tell: async (scene) => {
    await scene.sayAll('network create --ipv6 --subnet fd00:77::/64 --subnet 10.214.0.0/24 @six', 'network inspect -f "{{json .IPAM}} {{.EnableIPv6}}" @six');
    await scene.do(`run -d --name @web --network @six --ip6 fd00:77::80 -p 18180:80 ${served}`);
    await scene.sayAll(`inspect -f "${ADDRESSES}{{json .NetworkSettings.Ports}}" @web`, 'exec @web ip -6 -o addr show dev eth0 scope global', 'exec @web ip -6 route show default', 'run --rm --network @six IMAGE sh -c "ping6 -c 1 -W 5 fd00:77::80; timeout 3 wget -qO- http://[fd00:77::80]/ | wc -c; ping -6 -c 1 -W 5 @web"', 'run --rm --network @six --ip6 fd00:77::80 IMAGE true', 'run --rm --network @six --ip6 fd00:78::80 IMAGE true');
    await reached(scene, 'http://[fd00:77::80]/');
    await scene.onHost('busybox timeout 3 busybox wget -qO- http://[::1]:18180/ | wc -c');
    await scene.sayAll('rm -f @web', 'network rm @six');
  } },
  { name: 'networks-events', once: true, tell: async (scene) => {
    const listening = scene.open('events --filter type=network --format "{{.Actor.Attributes.name}} {{.Action}} {{.Actor.Attributes.type}}"');
    await using _listening = listening;
    // The client says nothing when it listens.
    await until('the listener to hear', async () => {
      await scene.do('network create @first');
      await scene.do('network rm @first');
      return listening.stdout().includes('-first destroy bridge');
    });
    await scene.sayAll('network create @ev', 'run -d --name @c --network @ev IMAGE sleep 1000', 'network connect bridge @c', 'network disconnect bridge @c', 'restart -t 0 @c', 'rm -f @c', 'network rm @ev');
    await listening.sees(/-ev destroy bridge/);
    scene.note('events of networks', listening.stdout().split('\n').filter((line) => !line.includes('-first ')).join('\n'));
    await scene.sayAll('network create --label @gone=1 @p1', 'network create --label @gone=1 @p2', 'run -d --name @c --network @p1 IMAGE sleep 1000', 'network prune -f --filter label=@gone', 'network ls --filter name=@p --format {{.Name}}', 'network prune -f --filter nosuch=1', 'network prune -f --filter label=@gone --filter until=1h', 'rm -f @c', 'network prune -f --filter label=@gone', 'network prune -f --filter label=@gone');
  } },
];

const served = `IMAGE ${SERVE}`;

/** Waits until a server answers, and keeps how much it said. */
async function reached(scene: Scene, url: string, words = url): Promise<void> {
  await until(`${url} to answer`, async () => (await scene.hostRun(`busybox timeout 3 busybox wget -qO- ${url}`)).code === 0, 20_000);
  const { stdout } = await scene.hostRun(`busybox timeout 3 busybox wget -qO- ${url}`);
  scene.note(`${words} answers`, stdout.length);
}
