// What is typed about networks and ports, through Docker's own command line and ours in front of canned daemons: same text, same exit code, same requests.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { runCommandLine } from '../../src/cli/cli.ts';
import { openCannedDaemon, type Answer, type Asked, type CannedDaemon } from '../kit/canned-daemon.ts';
import { openTestIo } from '../kit/cli-io.ts';
import { CLIS } from '../kit/docker.ts';
import { rng } from '../kit/random.ts';
import { openTempRoot } from '../kit/temp.ts';

const ID = 'a1b2'.repeat(16);
const network = (Name: string, more: Record<string, unknown>) => ({ Name, Id: ID, Created: '2026-11-20T10:00:00.123456Z', Scope: 'local', Driver: 'bridge', EnableIPv6: false, Internal: false, Labels: {}, ...more });

const ROUTES: Record<string, Answer> = {
  'POST /containers/create': { status: 201, json: { Id: ID, Warnings: [] } },
  'POST /networks/create': (asked) => (asked.body.includes('"taken"') ? { status: 409, json: { message: 'network with name taken already exists' } } : { status: 201, json: { Id: ID, Warning: '' } }),
  'GET /networks': { json: [network('b10', { EnableIPv6: true, Labels: { a: '1' } }), network('b9', { Driver: 'macvlan', Internal: true, Created: '2026-11-20T10:00:00+01:00' })] },
  'GET /networks/net': { json: network('net', {}) }, 'DELETE /networks/net': { status: 204 }, 'GET /networks/busy': { json: network('busy', {}) }, 'DELETE /networks/busy': { status: 403, json: { message: 'error while removing network: network busy id x has active endpoints' } },
  'POST /networks/net/connect': { status: 200 }, 'POST /networks/net/disconnect': { status: 200 }, 'POST /networks/busy/connect': { status: 403, json: { message: 'endpoint with name c already exists in network busy' } },
  'POST /networks/prune': { json: { NetworksDeleted: ['a', 'b'] } }, 'POST /containers/prune': { json: { ContainersDeleted: ['abc'], SpaceReclaimed: 1234567 } }, 'POST /volumes/prune': { json: { VolumesDeleted: ['v'], SpaceReclaimed: 5 } },
  'POST /images/prune': { json: { ImagesDeleted: [{ Untagged: 'x' }, { Deleted: 'sha256:y' }], SpaceReclaimed: 5 } }, 'POST /build/prune': { json: { CachesDeleted: null, SpaceReclaimed: 0 } },
};

/** All that CLI 20.10 has; `{…}` of a template must not hold a blank. */
const LINES: readonly string[] = [
  'network create x', 'network create taken', 'network create', 'network create a b', 'network create --config-only --config-from y x', 'network create --subnet bad x', 'network create --subnet bad --gateway 10.0.0.1 x', 'network create --gateway 10.0.0.1 x',
  'network create --subnet 10.0.0.0/16 --subnet fd00::/64,10.2.0.0/16 --gateway 10.0.0.1,fd00::9 --ip-range 10.0.1.0/24 --aux-address a=10.0.0.5 --aux-address b=fd00::5 --ipv6 --internal -d macvlan -o a=b -o com=1 --label x --label y=1 --attachable --ipam-driver z --ipam-opt q=r --scope swarm --ingress x',
  'network create --subnet 10.0.0.0/16 --subnet 10.0.1.0/24 x', 'network create --subnet 10.0.0.0/16 --ip-range 10.1.0.0/24 x', 'network create --subnet 10.0.0.0/16 --subnet 10.1.0.0/16 --gateway 10.0.0.1 --gateway 10.0.0.2 x',
  'network create --subnet 10.0.0.0/16 --aux-address a=10.1.0.0 x', 'network create --subnet 10.0.0.0/16 --subnet 10.1.0.0/16 --ip-range 10.0.1.0/24 --ip-range 10.0.2.0/24 x', 'network create --aux-address bad x', 'network create --subnet 10.0.0.0/16 --gateway fd00::1 x', 'network create --subnet 10.0.0.0/16 --gateway nonsense x',
  'network ls', 'network list -q', 'network ls -q --no-trunc', 'network ls --format raw', 'network ls -q --format raw', 'network ls --format {{json(.)}}', 'network ls --format {{.CreatedAt}}|{{.IPv6}}|{{.Internal}}|{{.Labels}}|{{.ID}}', 'network ls --format {{.Foo}}', 'network ls --format table\t{{.Name}}\t{{.IPv6}}\t{{.CreatedAt}}\t{{.Labels}}',
  'network ls -f driver=bridge -f name=x -f name=y', 'network ls -f bad', 'network ls x', 'network inspect -v net', 'network inspect net nosuch', 'network inspect -f {{.Name}}:{{.Driver}} net', 'inspect --type network net nosuch',
  'network rm net nosuch busy net', 'network remove net', 'network rm', 'network connect net c', 'network connect net', 'network connect busy c', 'network connect --ip 1.2.3.4 --ip6 fd00::1 --alias a,b --alias c --link x:y --link-local-ip 169.254.1.1 --driver-opt a=b net c', 'network connect --driver-opt a net c', 'network connect --link a:b:c net c', 'network connect --link= net c',
  'network disconnect -f net c', 'network disconnect net c', 'network prune', 'network prune -f --filter label=x --filter until=1h', 'system prune', 'system prune -f', 'system prune -a --volumes --filter label=x --filter label!=z', 'system prune -f -a --volumes --filter label=x', 'system prune -f --volumes --filter until=1h',
  'create --network net i', 'create --network net --network-alias a --network-alias b --ip 1.2.3.4 --ip6 fd00::1 --link x:y --link z --link-local-ip 169.254.0.1 --mac-address 02:42:ac:11:00:02 i', 'create --network name=net,alias=a,alias=b,driver-opt=k=v,ip=1.2.3.4,ip6=fd00::1 i', 'create --network alias=x i', 'create --network name=net,x i', 'create --network name=net,driver-opt=k i', 'create --network name=a,foo=b i',
  'create --network a --network a i', 'create --network a --network bridge i', 'create --network name=a,alias=x --network-alias y i', 'create --network bridge --network-alias y i', 'create --network container:x --network-alias a i', 'create --network= i', 'create --link x:y i', 'create --link a:b:c i', 'create --mac-address bad i', 'create --net net --net-alias a i', 'create --network host --ip 1.2.3.4 i',
  'create --dns 1.1.1.1 --dns bad i', 'create --dns 1.1.1.1 --dns-option a --dns-opt b --dns-search x.y --dns-search . i', 'create --dns-search a_b i', 'create --add-host a:1.2.3.4 --add-host b:host-gateway --add-host c:::1 --add-host d:fd00::1 i', 'create --add-host a i', 'create --add-host a:b i', 'create --add-host :1.2.3.4 i',
  'create -p 80 -p 81/udp -p 8080:82 -p 127.0.0.1:8080:83/udp -p 127.0.0.1::84 -p [::1]:80:85 -p [::1]::86 -p 8000-8002:90-92 -p 8000-8005:93 -p 94-96 -p 0:97 -p 98/TCP -p 99/sctp -p :100 -p 8081:82 -p 80-81/udp i', 'create -p published=8080,target=80,protocol=udp -p target=81 -p target=82,mode=host -p published=8000-8001,target=83-84 i',
  ...['8000-8001:80-82', '82-80', '70000:80', '80:70000', 'x', '80/xyz', '80:', '1.2.3:80:80', '300.1.1.1:80:80', 'localhost:80:80', 'target=x', 'published=80', '8080/tcp:80', '/', '[fe80::1%eth0]:80:80', '80-:80'].map((port) => `create -p ${port} i`),
  'create -P --expose 80 --expose 90-92/udp --expose 5/sctp --expose 80/foo -p 91:91/udp i', ...['x', '80:80', '92-90', '70000'].map((port) => `create --expose ${port} i`),
];

test('words about networks and ports become the same requests and answers as docker\'s', async () => {
  await using root = openTempRoot();
  await using theirs = await openCannedDaemon(ROUTES);
  await using ours = await openCannedDaemon(ROUTES);
  const wrong: unknown[] = [];
  for (const line of LINES) {
    const words = line.split(' ').map((word) => word.replaceAll('(.)', ' .').replace(/^table\t/, 'table '));
    const [docker, own] = await Promise.all([told(theirs, () => askDocker(words, theirs.host, root.path)), told(ours, () => askOwn(words, ours.host))]);
    try { assert.deepEqual(own, docker); } catch { wrong.push({ line, own, docker }); }
  }
  assert.deepEqual(wrong, []);
});

test('ports of containers are put together in a cell as docker does it, whichever there are', async () => {
  await using root = openTempRoot();
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1e9);
  const chance = rng(seed);
  const one = <T>(...of: readonly [T, ...T[]]): T => of[Math.floor(chance() * of.length)] ?? of[0];
  const port = (): object => {
    const [PrivatePort, Type, IP] = [80 + one(0, 1, 2, 3), one('tcp', 'tcp', 'udp', 'sctp'), one('', '', '0.0.0.0', '::', '127.0.0.1', '::1')];
    return IP === '' ? { PrivatePort, Type } : { IP, PrivatePort, PublicPort: one(PrivatePort, PrivatePort, 8080, 8081), Type };
  };
  const containers = Array.from({ length: 300 }, (_, at) => ({
    Id: String(at).padStart(64, '0'), Names: [`/c${at}`], Image: 'i', ImageID: 'sha256:x', Command: 'x', Created: 1, Ports: Array.from({ length: one(0, 1, 2, 3, 4, 5, 6, 7, 8) }, port), Labels: {}, State: 'running', Status: 'Up', HostConfig: {}, NetworkSettings: {}, Mounts: [],
  }));
  await using daemon = await openCannedDaemon({ 'GET /containers/json': { json: containers } });
  const words = ['ps', '--format', '{{.Names}} {{.Ports}}'];
  const [docker, own] = await Promise.all([askDocker(words, daemon.host, root.path), askOwn(words, daemon.host)]);
  assert.deepEqual(own.out.split('\n'), docker.out.split('\n'), `FUZZ_SEED=${seed}`);
});

test('what newer command lines have is understood as well', async () => {
  await using daemon = await openCannedDaemon({ ...ROUTES, 'POST /networks/b/connect': { status: 200 }, 'POST /networks/gone/connect': { status: 404, json: { message: 'network gone not found' } }, [`DELETE /containers/${ID}`]: { status: 204 } });
  const ask = async (line: string, version = '1.41') => { const { code, err, requests } = await told(daemon, () => askOwn(line.split(' '), daemon.host, version)); return [code, err, requests]; };
  const created = (body: unknown) => ['POST /containers/create?', body];
  assert.deepEqual(await ask('network create --ipv4=false --ipv6 x'), [0, '', [['POST /networks/create?', { Name: 'x', CheckDuplicate: true, Driver: 'bridge', EnableIPv6: true, IPAM: { Driver: 'default' } }]]]); // EnableIPv4 is false, and told apart below
  assert.equal((JSON.parse(daemon.asked.at(-1)?.body ?? '') as { EnableIPv4?: boolean }).EnableIPv4, false);
  assert.deepEqual(await ask('network rm -f nosuch'), [0, '', []]);
  assert.deepEqual(await ask('network connect --gw-priority 5 net c'), [0, '', [['POST /networks/net/connect?', { Container: 'c', EndpointConfig: { GwPriority: 5 } }]]]);
  const long = '--network name=a,ip=1.2.3.4,link-local-ip=169.254.0.1,mac-address=02:42:00:00:00:01,gw-priority=-10,alias=AbC';
  const endpoint = { IPAMConfig: { IPv4Address: '1.2.3.4', LinkLocalIPs: ['169.254.0.1'] }, Aliases: ['AbC'], MacAddress: '02:42:00:00:00:01', GwPriority: -10 };
  assert.deepEqual(await ask(`create ${long} i`), [0, '', [created({ ...HOST, MacAddress: '02:42:00:00:00:01', HostConfig: { ...HOST.HostConfig, NetworkMode: 'a' }, NetworkingConfig: { EndpointsConfig: { a: endpoint } } })]]);
  assert.deepEqual(await ask(`create ${long} --network name=b,alias=y i`, '1.44'), [0, '', [created({ ...HOST, MacAddress: '02:42:00:00:00:01', HostConfig: { ...HOST.HostConfig, NetworkMode: 'a' }, NetworkingConfig: { EndpointsConfig: { a: endpoint, b: { Aliases: ['y'] } } } })]]);
  const apart = [created({ ...HOST, HostConfig: { ...HOST.HostConfig, NetworkMode: 'a' } }), ['POST /networks/b/connect?', { Container: ID, EndpointConfig: { Aliases: ['y'] } }]];
  assert.deepEqual(await ask('create --network a --network name=b,alias=y i'), [0, '', apart]);
  assert.deepEqual(await ask('create --network a --network gone i'), [1, 'Error response from daemon: network gone not found\n', [apart[0], ['POST /networks/gone/connect?', { Container: ID }], [`DELETE /containers/${ID}?force=1&v=1`, undefined]]]);
  assert.deepEqual(await ask('create --add-host a=1.2.3.4 --add-host b=[::1] -p ::1:80:80 --ip 1.2.3.4 i'), [0, '', [created({
    ...HOST, ExposedPorts: ['80/tcp'], HostConfig: { ...HOST.HostConfig, NetworkMode: 'default', ExtraHosts: ['a:1.2.3.4', 'b:::1'], PortBindings: { '80/tcp': [{ HostIp: '::1', HostPort: '80' }] } }, NetworkingConfig: { EndpointsConfig: { default: { IPAMConfig: { IPv4Address: '1.2.3.4' } } } },
  })]]);
  for (const [line, reason] of [['--network name=a,mac-address=x', 'x is not a valid mac address'], ['--network name=a,ip=1.2.3.4 --ip 1.2.3.4', 'conflicting options: cannot specify both --ip and per-network IPv4 address'], ['--network name=a,mac-address=02:42:00:00:00:01 --mac-address 02:42:00:00:00:01', 'conflicting options: cannot specify both --mac-address and per-network MAC address']] as const) {
    assert.deepEqual(await ask(`create ${line} i`), [125, `docker: ${reason}.\nSee 'docker create --help'.\n`, []]);
  }
  assert.match(String((await ask('create --network name=a,gw-priority=x i'))[1]), /for "--network" flag: invalid gw-priority \(x\): invalid syntax/);
});

/** What every create says that has nothing to do with networks. */
const HOST = { AttachStdout: true, AttachStderr: true, Image: 'i', HostConfig: { MemorySwappiness: -1, RestartPolicy: { Name: 'no' } } };

interface Told { code: unknown; out: string; err: string; requests: ReadonlyArray<[string, unknown]> }

async function told(daemon: CannedDaemon, ask: () => Promise<Omit<Told, 'requests'>>): Promise<Told> {
  const before = daemon.asked.length;
  const said = await ask();
  // Docker's looks at a network before it removes it, and asks for builds' leftovers with one more word.
  const requests = daemon.asked.slice(before).filter(({ method, path }) => !(method === 'GET' && path.startsWith('/networks/')) && !(method === 'DELETE' && path === '/networks/nosuch')).map(requestOf);
  return { ...said, requests };
}

/** Without what is nothing: null, an empty list, and a field that is not there mean the same. */
function requestOf({ method, path, query, body }: Asked): [string, unknown] {
  query.delete('keep-storage');
  if (query.get('filters') === '') query.delete('filters');
  const parsed = body === '' ? undefined : JSON.parse(body) as { ExposedPorts?: object; IPAM?: { Config: Array<{ Subnet: string }> } };
  if (parsed?.ExposedPorts) parsed.ExposedPorts = Object.keys(parsed.ExposedPorts).toSorted();
  parsed?.IPAM?.Config.sort((a, b) => (a.Subnet < b.Subnet ? -1 : 1)); // docker keeps them in a map
  return [`${method} ${path}?${query.toString()}`, significant(parsed)];
}

function significant(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(significant);
  if (typeof value !== 'object' || value === null) return value === null || value === '' || value === 0 || value === false ? undefined : value;
  const kept = Object.entries(value).map(([key, each]): [string, unknown] => [key, significant(each)]).filter(([key, each]) => each !== undefined && key !== 'ConsoleSize');
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

function askDocker(words: readonly string[], host: string, home: string): Promise<Omit<Told, 'requests'>> {
  return new Promise((resolve) => {
    execFile(CLIS.debian, words, { env: { DOCKER_HOST: host, HOME: home }, timeout: 20_000 }, (error, out, err) => resolve({ code: error ? error.code : 0, out, err })).stdin?.end();
  });
}

async function askOwn(words: readonly string[], host: string, version = '1.41'): Promise<Omit<Told, 'requests'>> {
  const io = openTestIo({ env: { DOCKER_HOST: host, DOCKER_API_VERSION: version } });
  const code = await runCommandLine(words, io);
  const neutral = (text: string) => text.replaceAll('vaquita', 'docker');
  return { code, out: neutral(io.out()), err: neutral(io.err()) };
}
