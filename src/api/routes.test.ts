// Every route over a real socket: what the engine is asked, what the client gets, and how refusals read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineError, type Kind } from '../lib/errors.ts';
import { CONTAINER_ID, EXEC_ID, IMAGE_ID, containerView, networkRecord } from './fake-engine.ts';
import { openTestApi, type Ask } from './test-kit.ts';

const SWARM = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
const PROBEVOL = { CreatedAt: '2026-11-20T19:34:31Z', Driver: 'local', Labels: null, Mountpoint: '/root/volumes/probevol/_data', Name: 'probevol', Options: null, Scope: 'local' };

const TABLE: ReadonlyArray<[request: string, status: number, body: unknown, call?: readonly unknown[] | undefined, ask?: Ask]> = [
  ['GET /_ping', 200, 'OK'],
  ['HEAD /_ping', 200, ''],
  ['OPTIONS /anything', 200, ''],
  ['GET /nosuch', 404, { message: 'page not found' }],
  ['GET /containers//probe/json?size=1', 301, ''],
  ['POST /version', 404, { message: 'page not found' }],
  ['GET /v1.99/nosuch', 404, { message: 'page not found' }],
  ['GET /v1.99/version', 400, { message: 'client version 1.99 is too new. Maximum supported API version is 1.51' }],
  ['GET /v2.0/version', 400, { message: 'client version 2.0 is too new. Maximum supported API version is 1.51' }],
  ['GET /v1.23/version', 400, 'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n'],
  ['POST /session', 404, { message: 'page not found' }],
  ['POST /grpc', 404, { message: 'page not found' }],
  ['GET /plugins', 404, { message: 'page not found' }],
  ['GET /swarm', 503, { message: SWARM }],
  ['GET /v1.41/services/x/logs', 503, { message: SWARM }],
  ['POST /secrets/create', 503, { message: SWARM }],
  ['GET /containers/%zz/json', 400, { message: 'malformed escape in the path: "%zz"' }],

  ['GET /containers/json?all=1&limit=3&size=true', 200, undefined, ['containers.list', { all: true, limit: 3, size: true, filters: {} }]],
  ['GET /containers/json?limit=-1&all=no', 200, undefined, ['containers.list', { all: false, limit: 0, size: false, filters: {} }]],
  ['GET /containers/json?filters=bad', 400, { message: 'invalid filter' }],
  ['GET /containers/json?limit=x', 400, { message: 'invalid value for limit: "x" is no whole number' }],
  ['GET /containers/nosuch/json', 404, { message: 'No such container: nosuch' }],
  ['POST /containers/create?name=probe&platform=linux/arm/v7', 201, { Id: CONTAINER_ID, Warnings: [] },
    ['containers.create', { name: 'probe', body: { Image: 'busybox', Cmd: ['sh'] }, platform: 'linux/arm/v7', fitNetworks: true }],
    { body: { Image: 'busybox', Cmd: 'sh' } }],
  ['POST /containers/create', 404, { message: 'No such image: nosuch:latest' }, undefined, { body: { Image: 'nosuch' } }],
  ['POST /containers/create', 400, { message: 'config cannot be empty in order to create a container' }, undefined, { body: {} }],
  ['POST /containers/create', 400, { message: 'config cannot be empty in order to create a container' }, undefined, { body: { HostConfig: {} } }],
  ['POST /containers/create', 400, { message: 'invalid JSON: got EOF while reading request body' }],
  ['POST /containers/create', 400, { message: 'invalid JSON: unexpected EOF' }, undefined, { body: '{"Image":' }],
  ['POST /containers/create', 400, { message: "unsupported Content-Type header (text/plain): must be 'application/json'" }, undefined, { body: '{}', headers: { 'Content-Type': 'text/plain' } }],
  ['POST /containers/create', 400, { message: 'invalid JSON: HostConfig.Memory: a whole number is needed, not a string' }, undefined, { body: { Image: 'a', HostConfig: { Memory: '1' } } }],
  ['POST /containers/probe/start', 204, '', ['containers.start', 'probe', {}]],
  ['POST /containers/probe/start', 204, '', ['containers.start', 'probe', {}], { body: '{}' }],
  ['POST /containers/probe/start', 400, { message: 'starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24' }, undefined, { body: { Binds: [] } }],
  ['POST /containers/probe/stop?t=5&signal=SIGINT', 304, '', ['containers.stop', 'probe', { timeoutSeconds: 5, stopSignal: 'SIGINT' }]],
  ['POST /v1.41/containers/probe/restart?signal=SIGINT', 204, '', ['containers.restart', 'probe', { timeoutSeconds: undefined, stopSignal: undefined }]],
  ['POST /containers/probe/kill', 409, { message: `cannot kill container: probe: container ${CONTAINER_ID} is not running` }, ['containers.kill', 'probe', { killSignal: undefined }]],
  ['POST /containers/probe/pause', 204, '', ['containers.pause', 'probe']],
  ['POST /containers/probe/unpause', 204, '', ['containers.unpause', 'probe']],
  ['POST /containers/probe/rename?name=other', 204, '', ['containers.rename', 'probe', 'other']],
  ['POST /containers/probe/resize?h=10&w=20', 200, '', ['containers.resize', 'probe', { width: 20, height: 10 }]],
  ['POST /containers/probe/resize?h=10', 400, { message: 'invalid terminal size: h="10" w=""' }],
  ['DELETE /containers/probe?force=1&v=1', 204, '', ['containers.remove', 'probe', { force: true, volumes: true, link: false }]],
  ['GET /containers/probe/top', 200, { Processes: [['1264', 'sleep 300']], Titles: ['PID', 'CMD'] }, ['containers.top', 'probe', '-ef']],
  ['POST /containers/prune', 200, { ContainersDeleted: [CONTAINER_ID], SpaceReclaimed: 12 }, ['containers.prune', { filters: {} }]],
  ['POST /containers/probe/wait', 200, { StatusCode: 137 }, ['containers.wait', 'probe', { condition: 'not-running' }]],
  ['POST /v1.41/containers/probe/wait?condition=removed', 200, { Error: null, StatusCode: 137 }, ['containers.wait', 'probe', { condition: 'removed' }]],
  ['POST /containers/probe/wait?condition=bad', 400, { message: 'invalid condition: "bad"' }],
  ['GET /containers/probe/logs', 400, { message: 'Bad parameters: you must choose at least one stream' }],
  ['GET /containers/probe/logs?stdout=1&tail=5&since=1.5&until=0&follow=1', 200, undefined,
    ['containers.logs', 'probe', { stdout: true, stderr: false, follow: true, tail: 5, sinceNs: 1_500_000_000n, untilNs: undefined }]],
  ['GET /containers/probe/stats', 200, undefined, ['containers.stats', 'probe', { stream: true, oneShot: false }]],
  ['GET /containers/probe/stats?stream=false&one-shot=1', 200, undefined, ['containers.stats', 'probe', { stream: false, oneShot: true }]],
  ['GET /v1.40/containers/probe/stats?stream=0&one-shot=1', 200, undefined, ['containers.stats', 'probe', { stream: false, oneShot: false }]],
  ['GET /containers/probe/stats?one-shot=1', 400, { message: 'cannot have stream=true and one-shot=true' }],
  ['POST /containers/probe/update', 200, { Warnings: null }, ['containers.update', 'probe', { RestartPolicy: { Name: '', MaximumRetryCount: 0 } }], { body: { RestartPolicy: {} } }],
  ['POST /containers/probe/update', 200, { Warnings: ['linux does not support CPU percent. Percent discarded.'] }, ['containers.update', 'probe', { CpuPercent: 5 }], { body: { CpuPercent: 5, Nope: 1 } }],

  ['POST /containers/probe/exec', 201, { Id: EXEC_ID }, ['execs.create', 'probe', { Cmd: ['true'], AttachStdout: true }], { body: { Cmd: ['true'], attachstdout: true, Tty: null } }],
  ['POST /containers/probe/exec', 400, { message: 'No exec command specified' }, undefined, { body: {} }],
  ['POST /exec/x/resize?h=1&w=2', 200, '', ['execs.resize', 'x', { width: 2, height: 1 }]],
  ['POST /exec/x/start', 200, '', ['execs.start', 'x', { detach: true, tty: false, consoleSize: undefined }], { body: { Detach: true } }],
  ['POST /exec/x/start', 400, { message: 'console size is only supported when TTY is enabled' }, undefined, { body: { ConsoleSize: [1, 2] } }],

  ['GET /images/json?all=1&filters={"dangling":{"true":true}}', 200, undefined, ['images.list', { all: true, sharedSize: false, filters: { dangling: ['true'] } }]],
  ['GET /images/json?filter=busy&shared-size=1', 200, undefined, ['images.list', { all: false, sharedSize: true, filters: {} }]],
  ['GET /v1.40/images/json?filter=busy&shared-size=1', 200, undefined, ['images.list', { all: false, sharedSize: false, filters: { reference: ['busy'] } }]],
  ['GET /images/nosuch/json', 404, { message: 'No such image: nosuch' }],
  ['GET /images/registry:5000/a/b:1/history', 200, undefined, ['images.history', 'registry:5000/a/b:1']],
  ['POST /images/registry:5000%2Fa%2Fb:1/tag?repo=x&tag=2', 201, '', ['images.tag', 'registry:5000/a/b:1', { repo: 'x', tag: '2' }]],
  ['DELETE /images/busybox?force=1&noprune=1', 200, [{ Untagged: 'busybox:latest' }, { Deleted: IMAGE_ID }], ['images.remove', 'busybox', { force: true, noPrune: true }]],
  ['POST /images/prune', 200, { ImagesDeleted: null, SpaceReclaimed: 0 }],
  ['GET /images/get?names=busybox&names=busybox:latest', 200, 'tar of busybox and busybox:latest'],
  ['GET /images/registry:5000/a/b:1/get', 200, 'tar of registry:5000/a/b:1'],
  ['GET /images/get?names=busybox&names=nosuch', 404, { message: 'No such image: nosuch' }],
  ['POST /images/load', 200, '{"stream":"Loaded image: all of it\\n"}\r\n', undefined, { body: 'all of it' }],
  ['POST /images/load?quiet=0', 200, '{"stream":"Loaded image: it aloud\\n"}\r\n', undefined, { body: 'it' }],
  ['POST /images/load', 200, '{"errorDetail":{"message":"Error processing tar file(exit status 1): unexpected EOF"},"error":"Error processing tar file(exit status 1): unexpected EOF"}\r\n', undefined, { body: 'bad' }],
  ['POST /images/create', 400, { message: 'nothing to pull: fromImage is empty' }],
  ['POST /images/create?fromSrc=-', 501, { message: 'importing an image from a tar archive is not part of this release: pull it from a registry' }],
  ['POST /images/create?fromImage=nosuch&tag=1', 404, { message: 'pull access denied for nosuch:1' }],
  ['POST /images/create?fromImage=nosuch:2&tag=1', 404, { message: 'pull access denied for nosuch:1' }],
  [`POST /images/create?fromImage=nosuch:2&tag=${IMAGE_ID}`, 404, { message: `pull access denied for nosuch@${IMAGE_ID}` }],
  ['POST /images/create?fromImage=busybox&tag=sha256:12', 400, { message: 'invalid tag format' }],
  ['POST /images/create?fromImage=library/scratch', 403, { message: "'scratch' is a reserved name" }],
  [`GET /distribution/${IMAGE_ID}/json`, 400, { message: 'no manifest found for full image ID' }],
  ['GET http://proxied:80/networks/?filters={"name":["y"]}', 200, undefined, ['networks.list', { filters: { name: ['y'] } }]],
  ['POST /commit?container=probe&repo=a&tag=b&changes=CMD%20x&changes=USER%20y&pause=0', 201, { Id: IMAGE_ID },
    ['files.commit', 'probe', { repo: 'a', tag: 'b', comment: '', author: '', changes: ['CMD x', 'USER y'], pause: false, config: undefined }]],
  ['HEAD /containers/probe/archive?path=/x', 200, '', ['files.stat', 'probe', '/x', {}]],
  ['GET /containers/probe/archive', 400, { message: 'bad parameter: path cannot be empty' }],
  ['GET /containers/nosuch/archive?path=/x', 404, { message: 'No such container: nosuch' }],
  ['GET /containers/probe/changes', 200, [{ Path: '/data', Kind: 1 }], ['files.changes', 'probe', {}]],
  ['GET /distribution/busybox/json', 200, {
    Descriptor: { mediaType: 'application/vnd.oci.image.index.v1+json', digest: IMAGE_ID, size: 7 }, Platforms: [{ architecture: 'arm', os: 'linux', variant: 'v7' }] }],

  ['POST /auth', 200, { IdentityToken: '', Status: 'Login Succeeded' }, ['images.login', { username: 'a', password: 'b', serveraddress: 's' }, {}], { body: { username: 'a', password: 'b', serveraddress: 's' } }],
  ['GET /system/df?type=x', 400, { message: 'unknown object type: x' }],
  ['GET /networks/nosuch', 404, { message: 'network nosuch not found' }],
  ['GET /networks?filters={"name":["x"]}', 200, undefined, ['networks.list', { filters: { name: ['x'] } }]],
  ['GET /networks/host?scope=swarm&verbose=1', 200, undefined, ['networks.inspect', 'host', { scope: 'swarm' }]],
  ['GET /networks/host?verbose=bogus', 400, { message: 'invalid value for verbose: bogus: strconv.ParseBool: parsing "bogus": invalid syntax' }],
  ['DELETE /networks/probenet', 204, '', ['networks.remove', 'probenet']],
  ['DELETE /networks/nosuch', 404, { message: 'network nosuch not found' }],
  ['POST /networks/create', 400, { message: 'invalid JSON: got EOF while reading request body' }],
  ['POST /v1.43/networks/create', 201, { Id: 'cc'.repeat(32), Warning: '' }, ['networks.create', { Name: 'pn', IPAM: { Config: [{ Subnet: '10.1.0.0/16', AuxiliaryAddresses: { a: '10.1.0.9' } }, {}] } }, { unique: false }],
    { body: { Name: 'pn', Labels: null, IPAM: { Config: [{ Subnet: '10.1.0.0/16', AuxiliaryAddresses: { a: '10.1.0.9' } }, null] } } }],
  ['POST /v1.41/networks/create', 201, { Id: 'cc'.repeat(32), Warning: '' }, ['networks.create', { Name: 'pn', CheckDuplicate: true }, { unique: true }], { body: { Name: 'pn', CheckDuplicate: true } }],
  ['POST /v1.44/networks/create', 201, { Id: 'cc'.repeat(32), Warning: '' }, ['networks.create', { Name: 'pn' }, { unique: true }], { body: { Name: 'pn' } }],
  ['POST /networks/pn/connect', 200, '', ['networks.connect', 'pn', { container: 'probe', endpoint: { Aliases: ['a'], IPAMConfig: { IPv4Address: '10.1.0.9' } } }], { body: { Container: 'probe', EndpointConfig: { Aliases: ['a'], IPAMConfig: { IPv4Address: '10.1.0.9' } } } }],
  ['POST /networks/pn/connect', 200, '', ['networks.connect', 'pn', { container: 'probe', endpoint: {} }], { body: { Container: 'probe', EndpointConfig: null } }],
  ['POST /networks/pn/connect', 400, { message: 'invalid name or ID supplied: ""' }, undefined, { body: {} }],
  ['POST /networks/pn/connect', 404, { message: 'No such container: nosuch' }, undefined, { body: { Container: 'nosuch' } }],
  ['POST /networks/pn/disconnect', 200, '', ['networks.disconnect', 'pn', { container: 'probe', force: true }], { body: { Container: 'probe', Force: true } }],
  ['POST /networks/pn/disconnect', 400, { message: 'invalid name or ID supplied: ""' }, undefined, { body: { Force: true } }],
  ['POST /networks/prune', 200, { NetworksDeleted: null }],
  ['GET /volumes', 200, { Volumes: [PROBEVOL], Warnings: null }, ['volumes.list', { filters: {} }]],
  ['GET /volumes/probevol', 200, PROBEVOL, ['volumes.inspect', 'probevol']],
  ['GET /volumes/v', 404, { message: 'get v: no such volume' }],
  ['DELETE /volumes/v?force=1', 204, '', ['volumes.remove', 'v', { force: true }]],
  ['POST /volumes/prune', 200, { VolumesDeleted: ['probevol'], SpaceReclaimed: 7 }, ['volumes.prune', { filters: {} }]],
  ['POST /v1.41/volumes/prune', 200, { VolumesDeleted: ['probevol'], SpaceReclaimed: 7 }, ['volumes.prune', { filters: { all: ['true'] } }]],
  ['POST /build/prune', 200, { CachesDeleted: null, SpaceReclaimed: 0 }],
];

test('each request gets its answer and asks the engine the right thing', async () => {
  await using api = await openTestApi();
  for (const [request, status, body, call, ask] of TABLE) {
    const [method = '', path = ''] = request.split(' ', 2);
    api.calls.length = 0;
    const reply = await api.ask(method, path.replace(/[{}"]/g, encodeURIComponent), ask);
    assert.equal(reply.status, status, `${request}: ${reply.body}`);
    if (typeof body === 'string') assert.equal(reply.body, body, request);
    else if (body !== undefined) { assert.deepEqual(JSON.parse(reply.body), body, request); assert.ok(reply.body.endsWith('}\n') || reply.body.endsWith(']\n'), request); }
    if (call) assert.deepEqual(api.calls.find(([verb]) => verb === call[0]), call, request);
  }
});

test('every answer says who answers and in which version, errors too', async () => {
  await using api = await openTestApi();
  for (const path of ['/version', '/nosuch', '/v1.23/version', '/containers/nosuch/json', '/containers/probe/logs?stdout=1']) {
    const { headers } = await api.ask('GET', path);
    assert.deepEqual([headers['api-version'], headers['docker-experimental'], headers['ostype'], headers['server']], ['1.51', 'false', 'linux', 'Docker/20.10.44 (linux)'], path);
  }
  const ping = await api.ask('HEAD', '/_ping');
  assert.deepEqual([ping.headers['builder-version'], ping.headers['swarm'], ping.headers['cache-control'], ping.headers['pragma'], ping.headers['content-length']],
    ['1', 'inactive', 'no-cache, no-store, must-revalidate', 'no-cache', '0']);
  assert.equal((await api.ask('GET', '/v1.23/version')).headers['content-type'], 'text/plain; charset=utf-8');
});

test('each kind of error has its status', async () => {
  const kinds: Record<Kind, number> = {
    'not-found': 404, invalid: 400, conflict: 409, 'not-modified': 304, unauthorized: 401, forbidden: 403, unavailable: 503, 'not-implemented': 501,
    cancelled: 499, corrupt: 500, system: 500,
  };
  for (const [kind, status] of Object.entries(kinds)) {
    await using api = await openTestApi({ containers: { pause: async () => { throw new EngineError(kind as Kind, `the ${kind}`); } } });
    const reply = await api.ask('POST', '/containers/probe/pause');
    assert.deepEqual([reply.status, reply.body], [status, status === 304 ? '' : `{"message":"the ${kind}"}\n`]);
  }
  await using api = await openTestApi({ containers: { pause: async () => { throw new TypeError('a bug'); } } });
  assert.equal((await api.ask('POST', '/containers/probe/pause')).status, 500);
});

test('a network is shown as Docker shows it', async () => {
  const own = networkRecord({
    Id: 'ee'.repeat(32), Name: 'pn', Driver: 'bridge', EnableIPv6: true, Internal: true, ConfigFrom: 'template', Options: { b: '1', a: '2' }, Labels: { z: '', y: 'x' },
    IPAM: { Driver: 'default', Options: {}, Config: [{ Subnet: 'fd00:1::/64', IPRange: '', Gateway: '', AuxiliaryAddresses: {} }] },
    pools: { v4: [{ subnet: '172.20.0.0/16', range: '172.20.0.0/16', gateway: '172.20.0.1', aux: {} }], v6: [{ subnet: 'fd00:1::/64', range: 'fd00:1::/64', gateway: 'fd00:1::1', aux: {} }] },
  });
  const endpoint = { containerId: 'c2', containerName: 'web', endpointId: 'e2', mac: '02:42:ac:14:00:02', ipv4: '172.20.0.2/16', ipv6: '' };
  const view = { network: own, endpoints: [endpoint, { ...endpoint, containerId: 'c1' }] };
  await using api = await openTestApi({ networks: { list: () => [view], inspect: () => view } });
  const shown = (containers: string) => `{"Name":"pn","Id":"${own.Id}","Created":"2026-11-20T19:32:47.128979461Z","Scope":"local","Driver":"bridge","EnableIPv6":true,"IPAM":{"Driver":"default","Options":{},`
    + '"Config":[{"Subnet":"172.20.0.0/16","Gateway":"172.20.0.1"},{"Subnet":"fd00:1::/64"}]},"Internal":true,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":"template"},"ConfigOnly":false,'
    + `"Containers":${containers},"Options":{"a":"2","b":"1"},"Labels":{"y":"x","z":""}}`;
  const one = (id: string) => `"${id}":{"Name":"web","EndpointID":"e2","MacAddress":"02:42:ac:14:00:02","IPv4Address":"172.20.0.2/16","IPv6Address":""}`;
  assert.equal((await api.ask('GET', '/v1.41/networks/pn')).body, `${shown(`{${one('c1')},${one('c2')}}`)}\n`);
  assert.equal((await api.ask('GET', '/v1.41/networks')).body, `[${shown('{}')}]\n`);
  assert.equal((await api.ask('GET', '/v1.27/networks')).body, `[${shown(`{${one('c1')},${one('c2')}}`)}]\n`);
  assert.ok((await api.ask('GET', '/networks/pn')).body.includes('"Driver":"bridge","EnableIPv4":true,"EnableIPv6":true'));
});

test('subnets that were asked for are shown as they were asked for', async () => {
  const asked = networkRecord({ IPAM: { Driver: 'default', Options: null, Config: [{ Subnet: '10.1.2.3/16', IPRange: '10.1.5.0/24', Gateway: '', AuxiliaryAddresses: { a: '10.1.0.9' } }] },
    pools: { v4: [{ subnet: '10.1.0.0/16', range: '10.1.5.0/24', gateway: '10.1.0.1', aux: {} }], v6: [] } });
  await using api = await openTestApi({ networks: { inspect: () => ({ network: asked, endpoints: [] }) } });
  const { IPAM } = await api.json('GET', '/networks/x') as { IPAM: object };
  assert.deepEqual(IPAM, { Driver: 'default', Options: null, Config: [{ Subnet: '10.1.2.3/16', IPRange: '10.1.5.0/24', AuxiliaryAddresses: { a: '10.1.0.9' } }] });
});

test('progress is lines; an error before the first is an answer, after it a line', async () => {
  await using api = await openTestApi();
  const good = await api.ask('POST', '/images/create?fromImage=busybox&tag=1', { headers: { 'X-Registry-Auth': Buffer.from('{"username":"u"}').toString('base64url') } });
  assert.deepEqual([good.status, good.headers['content-type'], good.headers['transfer-encoding']], [200, 'application/json', 'chunked']);
  assert.deepEqual(good.body.split('\r\n').filter(Boolean).map((line) => (JSON.parse(line) as { status: string }).status), ['Pulling from library/busybox', 'Downloading', 'Status: Downloaded newer image for busybox:1']);
  assert.deepEqual(api.calls.at(-1), ['images.pull', 'busybox:1', { platform: undefined, auth: { username: 'u' }, all: false, deltas: true, dryRun: false }]);
  const broken = await api.ask('POST', `/images/create?fromImage=breaks&tag=${IMAGE_ID}`, { headers: { 'X-Registry-Auth': 'junk' } });
  assert.equal(broken.status, 200);
  assert.ok(broken.body.endsWith('{"errorDetail":{"message":"layer is not what was promised"},"error":"layer is not what was promised"}\r\n'));
  assert.deepEqual(api.calls.at(-1), ['images.pull', `breaks@${IMAGE_ID}`, { platform: undefined, auth: undefined, all: false, deltas: true, dryRun: false }]);
});

test('a push says for whom it is; the tag of the query counts, and without any all tags are meant', async () => {
  await using api = await openTestApi();
  const headers = { 'X-Registry-Auth': Buffer.from('{"username":"u"}').toString('base64url') };
  const asked = async (path: string, options: Parameters<typeof api.ask>[2] = { headers }) => [(await api.ask('POST', path, options)).status, api.calls.at(-1)];
  const auth = { username: 'u' };
  assert.deepEqual(await asked('/images/busybox/push?tag=1'), [200, ['images.push', 'busybox:1', { auth, all: false, deltas: true }]]);
  assert.deepEqual(await asked('/images/registry:5000/a/b:7/push?tag=1&delta=0'), [200, ['images.push', 'registry:5000/a/b:1', { auth, all: false, deltas: false }]]);
  assert.deepEqual(await asked('/images/registry:5000/a/b:7/push'), [200, ['images.push', 'registry:5000/a/b:7', { auth, all: true, deltas: true }]]);
  assert.deepEqual(await asked('/images/busybox/push', { body: { username: 'u' } }), [200, ['images.push', 'busybox', { auth, all: true, deltas: true }]]);
  const nobody = await api.ask('POST', '/images/busybox/push?tag=1');
  assert.deepEqual([nobody.status, nobody.body], [400, '{"message":"Bad parameters and missing X-Registry-Auth: EOF"}\n']);
  assert.equal((await api.ask('POST', '/images/busybox/push?tag=a:b', { headers })).status, 400);
  assert.equal((await api.ask('POST', '/images/Busybox/push', { headers })).status, 400);
  assert.match((await api.ask('POST', '/images/nosuch/push', { headers })).body, /The push refers to repository .*\r\n.*"error":"No such image: nosuch"/);
  assert.deepEqual(await asked('/images/publish-deltas?target=a:2&from=a:1&from=a:0&force=1'), [200, ['images.publishDeltas', 'a:2', { from: ['a:1', 'a:0'], force: true, auth }]]);
  assert.deepEqual(await asked(`/images/publish-deltas?target=a:2&from=${encodeURIComponent('["a:1","a:0"]')}`), [200, ['images.publishDeltas', 'a:2', { from: ['a:1', 'a:0'], force: false, auth }]]);
  assert.equal((await api.ask('POST', '/images/publish-deltas?target=a:2&from=[1]')).status, 400);
});

test('logs are framed, or raw for a terminal, with times when asked; headers come before the first line', async () => {
  await using api = await openTestApi();
  const framed = await api.ask('GET', '/containers/probe/logs?stdout=1&stderr=1&timestamps=1');
  assert.equal(framed.headers['content-type'], 'application/vnd.docker.multiplexed-stream');
  assert.equal(framed.body, '\x01\0\0\0\0\0\0#2026-11-20T19:33:12.181148600Z out\n\x02\0\0\0\0\0\0#2026-11-20T19:33:12.181186295Z err\n');
  assert.equal((await api.ask('GET', '/v1.41/containers/probe/logs?stdout=1')).headers['content-type'], undefined);

  const { promise: never } = Promise.withResolvers<void>();
  async function* parts() {
    yield { stream: 'stdout' as const, timeNs: 0n, bytes: Buffer.from('long ') };
    yield { stream: 'stdout' as const, timeNs: 0n, bytes: Buffer.from('line\n') };
    await never;
  }
  await using quiet = await openTestApi({ containers: { logs: async (_name, { tail }) => ({ tty: true, records: tail === 0 ? { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) } : parts() }) } });
  const client = await quiet.raw();
  client.send('GET /containers/probe/logs?stdout=1&follow=1&tail=0 HTTP/1.1\r\nHost: d\r\n\r\n');
  assert.match(await client.until('\r\n\r\n'), /^HTTP\/1.1 200 OK\r\n[^]*Content-Type: application\/vnd.docker.raw-stream\r\n/);
  client.socket.destroy();
  const stamped = await quiet.raw();
  stamped.send('GET /containers/probe/logs?stdout=1&timestamps=1 HTTP/1.1\r\nHost: d\r\n\r\n');
  assert.match(await stamped.until('line\n'), /1970-01-01T00:00:00.000000000Z long 1970-01-01T00:00:00.000000000Z line\n/); // every piece of a long line, as with Docker
  stamped.socket.destroy();
});

test('wait sends its headers before there is an outcome', async () => {
  const { promise: exited, resolve } = Promise.withResolvers<{ statusCode: number; error: string | undefined }>();
  await using api = await openTestApi({ containers: { wait: async () => ({ exited }) } });
  const client = await api.raw();
  client.send('POST /v1.51/containers/probe/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n');
  assert.match(await client.until('\r\n\r\n'), /^HTTP\/1.1 200 OK/);
  resolve({ statusCode: 3, error: 'why' });
  assert.ok((await client.until('StatusCode')).includes('{"Error":{"Message":"why"},"StatusCode":3}\n'));
  client.socket.destroy();
});

test('the list asks for sizes only when asked, and shows them only then', async () => {
  await using api = await openTestApi({ containers: { list: async ({ size }) => [containerView(size ? { sizeRwBytes: 7, sizeRootFsBytes: 9 } : {})] } });
  const [plain] = await api.json('GET', '/containers/json') as object[];
  const [sized] = await api.json('GET', '/containers/json?size=1') as object[];
  assert.ok(plain && sized);
  assert.deepEqual(['SizeRw' in plain, 'SizeRw' in sized, 'SizeRootFs' in sized], [false, true, true]);
});
