// Links of old: names, variables and lines of /etc/hosts, as dockerd 20.10 writes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerRecord } from '../../store/index.ts';
import type { HostConfig } from '../../wire/types.ts';
import { Container } from './container.ts';
import { completeConfig, completeHostConfig } from './defaults.ts';
import { hostLine, knownLinks, linkEnvironment, linkedBy, linksOf, liveLinks, namesOf, renamedLinks, resolvedLinks, shownLinks } from './links.ts';
import { newEndpoint } from './networking.ts';
import { NEVER_STARTED } from './state.ts';
import { ContainerTable } from './table.ts';

interface Made { links?: string[]; mode?: string; running?: boolean; env?: string[]; ports?: string[]; address?: string }

function tableOf(containers: Readonly<Record<string, Made>>): ContainerTable {
  const table = new ContainerTable();
  Object.entries(containers).forEach(([name, { links, mode = 'default', running = true, env, ports = [], address = `172.17.0.${Object.keys(containers).indexOf(name) + 2}` }], i) => {
    const id = String(i + 1).repeat(64);
    const config = completeConfig({ Hostname: `host-of-${name}`, Env: env ?? null, ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])) });
    const record = {
      ID: id, Name: `/${name}`, Config: config, State: { ...NEVER_STARTED, Running: running },
      NetworkSettings: { Networks: mode === 'default' ? { bridge: { ...newEndpoint({}), IPAddress: address } } : {} },
    } as unknown as ContainerRecord;
    const host: Partial<HostConfig> = { NetworkMode: mode, ...(links ? { Links: links } : {}) };
    table.reserveName(name, id).keep();
    table.add(new Container({ record, hostConfig: completeHostConfig(host, { cgroupVersion: 2 }) }));
  });
  return table;
}

test('a link names the other one, is found by both names, and follows a new name', () => {
  const table = tableOf({ web: {}, app: { links: ['web:db', '/web:/app/old'] } });
  const [web, app] = [table.find('web'), table.find('app')];
  assert.deepEqual([linksOf(app), shownLinks(app), shownLinks(web)], [[{ name: 'web', alias: 'db' }, { name: 'web', alias: 'old' }], ['/web:/app/db', '/web:/app/old'], null]);
  assert.deepEqual([namesOf(table, web), namesOf(table, app)], [['/app/db', '/app/old', '/web'], ['/app']]);
  assert.deepEqual([table.find('app/db'), table.find('/app/old')], [web, web]);
  assert.throws(() => table.find('app/none'), /No such container: app\/none/);
  assert.deepEqual([renamedLinks(app, { oldName: 'web', newName: 'new' }), renamedLinks(app, { oldName: 'x', newName: 'y' })], [['new:db', 'new:old'], undefined]);
});

test('links are resolved when a container is made, and refused where they cannot be', () => {
  const table = tableOf({ web: {}, onHost: { mode: 'host' }, behind: { mode: `container:${'2'.repeat(64)}` } });
  const resolve = (Links: string[] | null, NetworkMode = 'default') => resolvedLinks(table, { Links, NetworkMode });
  assert.deepEqual([resolve(['web', 'web:db', '111:x', '111']), resolve(null)], [['web:web', 'web:db', 'web:x', 'web:web'], null]);
  assert.deepEqual(resolve(['nobody:x'], 'own'), ['nobody:x'], 'in a network of its own the names of the network count');
  for (const [link, words] of [['nobody', /could not get container for nobody: No such container: nobody/], ['onHost:x', /host type networking/], ['behind:x', /host type networking/], ['a:b:c', /bad format for links: a:b:c/]] as const) assert.throws(() => resolve([link]), words);
});

test('a start needs the other end to run, what runs already does not', () => {
  const table = tableOf({ web: { running: false }, app: { links: ['web:db', 'none:x'] }, user: { links: ['web:db'], mode: 'own' }, other: { mode: 'own' }, far: { links: ['other:o'] } });
  assert.throws(() => liveLinks(table, table.find('app')), /^EngineError: Cannot link to a non running container: \/web AS \/app\/db$/);
  assert.throws(() => liveLinks(table, table.find('far')), /container 4{64} not attached to default bridge network/);
  assert.deepEqual([knownLinks(table, table.find('app')), liveLinks(table, table.find('user')), linkedBy(table, table.find('web')).map(({ name }) => name)], [[], [], ['app']]);
});

test('variables and the line in /etc/hosts tell of the other one', () => {
  const table = tableOf({ web: { env: ['A=1', 'HOME=/x', 'PATH=/y', 'B=2=3', 'C'], ports: ['80/tcp', '81/tcp', '82/tcp', '443/tcp', '80/udp'] }, app: { links: ['web:my-db', 'web'] }, dns: { ports: ['53/udp', '80/tcp'] }, one: { links: ['dns'] } });
  const [first, second] = liveLinks(table, table.find('app'));
  assert.ok(first && second);
  assert.deepEqual([hostLine(first), hostLine(second)], ['172.17.0.2\tmy-db host-of-web web\n', '172.17.0.2\tweb host-of-web\n']);
  const port = (at: string, number: number, protocol: string) => [`${at}=${protocol}://172.17.0.2:${number}`, `${at}_ADDR=172.17.0.2`, `${at}_PORT=${number}`, `${at}_PROTO=${protocol}`];
  assert.deepEqual(linkEnvironment([first], 'app'), [
    'MY_DB_PORT=tcp://172.17.0.2:80', 'MY_DB_PORT_80_TCP_START=tcp://172.17.0.2:80', 'MY_DB_PORT_80_TCP_ADDR=172.17.0.2', 'MY_DB_PORT_80_TCP_PROTO=tcp', 'MY_DB_PORT_80_TCP_PORT_START=80',
    'MY_DB_PORT_80_TCP_END=tcp://172.17.0.2:82', 'MY_DB_PORT_80_TCP_PORT_END=82',
    ...port('MY_DB_PORT_80_TCP', 80, 'tcp'), ...port('MY_DB_PORT_80_UDP', 80, 'udp'), ...port('MY_DB_PORT_81_TCP', 81, 'tcp'), ...port('MY_DB_PORT_82_TCP', 82, 'tcp'), ...port('MY_DB_PORT_443_TCP', 443, 'tcp'),
    'MY_DB_NAME=/app/my-db', 'MY_DB_ENV_A=1', 'MY_DB_ENV_B=2=3',
  ]);
  assert.deepEqual(linkEnvironment(liveLinks(table, table.find('one')), 'one').slice(0, 2), ['DNS_PORT=udp://172.17.0.4:53', 'DNS_PORT_53_UDP=udp://172.17.0.4:53']);
});
