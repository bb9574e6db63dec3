// Requests about networks: creations with every field good and bad, then lists, inspects and verbs with every filter, name and body.
import { differs, type AskRow, type Differs } from './rows.ts';

/** A network made with this body, looked at and removed. Drivers that are nowhere are missing: dockerd searches for each 15 seconds. */
export interface NetworkRow { body: unknown; differs?: Differs }

const STATUS = differs.status('it is the request that is wrong, not the engine');
const EARLY = differs.refusedHere('no bridge could ever be so');
const FORGETS = differs.takenHere('what was refused before still holds the subnet at dockerd');
const SWARM = differs.status('there are no clusters here');
const option = (name: string, value: string, differ?: Differs): NetworkRow => ({ body: { Name: 'n', Options: { [`com.docker.network.${name}`]: value } }, ...(differ ? { differs: differ } : {}) });
/** Subnets of their own, since dockerd forgets none that it once refused. */
let last = 0;
const subnet = (rest: (net: string) => object, differ?: Differs, more: object = {}): NetworkRow => {
  const net = `10.130.${last++}`;
  return { body: { Name: 'n', IPAM: { Config: [{ Subnet: `${net}.0/24`, ...rest(net) }] }, ...more }, ...(differ ? { differs: differ } : {}) };
};
const of = (body: object, differ?: Differs): NetworkRow => ({ body: { Name: 'n', ...body }, ...(differ ? { differs: differ } : {}) });

/** `template` is a config-only network, `own` one with the subnet 10.129.0.0/24 on the device ownbr; both are there. */
export const NETWORK_ROWS: readonly NetworkRow[] = [
  of({}), of({ Labels: null, Options: null, IPAM: null }), of({ Labels: { b: '1', a: '' }, Options: { foo: 'bar' } }), of({ IPAM: { Driver: '', Options: {}, Config: [] } }), of({ IPAM: { Driver: 'default', Options: { a: 'b' }, Config: null } }),
  of({ Internal: true, Attachable: true }), of({ Driver: 'bridge', Scope: 'local' }), of({ Nope: 1, CheckDuplicate: true }), { body: { name: 'lower', checkduplicate: true } },
  ...['a b', '-a/ü', ' ab ', 'container:x', 'n'.repeat(300)].map((Name) => ({ body: { Name } })),
  ...['bridge', 'host', 'none', 'default'].map((Name) => ({ body: { Name } })), ...['', ' '].map((Name) => ({ body: { Name }, differs: STATUS })),
  { body: { Name: 'own', CheckDuplicate: true } }, { body: { Name: 'own' } },
  of({ Driver: 'host' }), of({ Driver: 'null' }), of({ Driver: 'overlay' }, SWARM), of({ Ingress: true }), of({ Scope: 'swarm' }), of({ Scope: 'global' }),
  subnet(() => ({})), subnet(() => ({ AuxiliaryAddresses: {} })), subnet((net) => ({ Gateway: `${net}.1`, IPRange: `${net}.128/25`, AuxiliaryAddresses: { z: `${net}.9`, a: `${net}.8` } })), subnet((net) => ({ Subnet: `${net}.77/24` })),
  subnet(() => ({}), undefined, { EnableIPv6: true, IPAM: { Config: [{ Subnet: 'fd00:131::/64', Gateway: 'fd00:131::1' }] } }), of({ IPAM: { Config: [{ Subnet: 'fd00:132::/64' }] } }), of({ EnableIPv6: true }),
  ...[{}, { Gateway: '10.1.0.1' }, { IPRange: '10.1.5.0/24' }, { Subnet: 'bogus' }, { Subnet: '10.1.0.0' }].map((config) => of({ IPAM: { Config: [config] } }, STATUS)),
  subnet(() => ({ Gateway: 'bogus' }), STATUS), subnet(() => ({ Gateway: '10.2.0.1' }), STATUS), subnet(() => ({ IPRange: 'bogus' }), STATUS), subnet(() => ({ AuxiliaryAddresses: { a: 'bogus' } }), STATUS), subnet(() => ({ AuxiliaryAddresses: { a: '10.2.0.1' } })),
  of({ IPAM: { Config: [{ Subnet: '10.129.0.0/25' }] } }), of({ IPAM: { Config: [{ Subnet: '172.17.0.0/16' }] } }), of({ IPAM: { Driver: 'null' } }, STATUS),
  { body: { Name: 'n', IPAM: { Config: [{ Subnet: '10.131.0.0/24' }, { Subnet: '10.132.0.0/24' }] } } }, of({ IPAM: { Config: [{ Subnet: '10.134.0.0/24', AuxiliaryAddresses: { a: 'bogus' } }] } }, STATUS), of({ IPAM: { Config: [{ Subnet: '10.134.0.0/24' }] } }, FORGETS),
  of({ ConfigOnly: true }), of({ ConfigOnly: true, Driver: 'overlay', Labels: { a: 'b' }, Options: { 'com.docker.network.driver.mtu': 'x' }, IPAM: { Config: [{ Subnet: '10.129.0.0/24' }] } }), of({ ConfigOnly: true, IPAM: { Config: [{ Subnet: 'x' }] } }, STATUS),
  ...[{ Internal: true }, { Attachable: true }, { Ingress: true }, { Scope: 'local' }, { ConfigFrom: { Network: 'template' } }].map((more) => of({ ConfigOnly: true, ...more })),
  ...['nosuch', 'bridge', 'own'].map((Network) => of({ ConfigFrom: { Network } })), of({ ConfigFrom: { Network: '' } }), of({ ConfigFrom: { Network: 'template' }, Internal: true }),
  ...[{ Labels: { a: 'b' } }, { EnableIPv6: true }, { Options: { a: 'b' } }, { IPAM: { Options: { a: 'b' } } }, { IPAM: { Driver: 'null' } }, { IPAM: { Config: [{ Subnet: '10.133.0.0/24' }] } }].map((more) => of({ ConfigFrom: { Network: 'template' }, ...more })),
  option('driver.mtu', '1400'), option('driver.mtu', '0'), option('driver.mtu', 'x', STATUS), option('driver.mtu', '', STATUS), option('driver.mtu', '-5', STATUS), option('driver.mtu', '10', EARLY), option('driver.mtu', '99999999', EARLY),
  ...['bridge.enable_icc', 'bridge.enable_ip_masquerade', 'bridge.default_bridge'].flatMap((name) => [option(name, 'x', STATUS), option(name, '', STATUS), option(name, 'F')]),
  option('bridge.host_binding_ipv4', '127.0.0.1'), option('bridge.host_binding_ipv4', '::1'), option('bridge.host_binding_ipv4', 'x', STATUS), option('host_ipv4', 'x', STATUS), option('container_iface_prefix', 'vv'),
  option('bridge.name', 'anybr'), option('bridge.name', ''), option('bridge.name', 'fifteen-letters'), option('bridge.name', 'sixteen--letters', STATUS), option('bridge.name', 'a/b', STATUS), option('bridge.name', '..', STATUS), option('bridge.name', 'ownbr'),
  option('bridge.name', 'lo', STATUS), option('bridge.name', 'docker0', differs.refusedHere('two networks on one device cut each other off')),
];

const LOWER = differs.words('lower case since Docker 22');
const WORDS = differs.words('as the other filters say it');
const GO = differs.words("the words of Go's own parser help nobody");
const list = (filter: unknown, differ?: Differs): AskRow => ({ ask: `GET /networks?filters=${encodeURIComponent(JSON.stringify(filter))}`, ...(differ ? { differs: differ } : {}) });
const prune = (filter: unknown, differ?: Differs): AskRow => ({ ask: `POST /networks/prune?filters=${encodeURIComponent(JSON.stringify(filter))}`, ...(differ ? { differs: differ } : {}) });

/** With `own`, `template` and twice `twin`. */
export const NETWORK_ASKS: readonly AskRow[] = [
  { ask: 'GET /networks' }, { ask: 'GET /networks?filters={}' }, ...['bogus', '[]', '{"name":"x"}'].map((text) => ({ ask: `GET /networks?filters=${encodeURIComponent(text)}`, differs: STATUS })),
  ...[{ driver: ['bridge'] }, { driver: ['br'] }, { driver: ['null', 'host'] }, { name: ['w'] }, { name: ['^t'] }, { name: ['own', 'host'] }, { name: [''] }, { id: ['zz'] }, { label: ['a'] }, { label: ['a=b'] }, { label: ['a=x'] }, { label: ['a', 'c'] }, { scope: ['local'] }, { scope: ['swarm'] }, { scope: ['lo'] },
    { type: ['custom'] }, { type: ['builtin'] }, { type: ['builtin', 'custom'] }, { type: { custom: true } }, { dangling: ['true'] }, { dangling: ['0'] }, { dangling: [] }, { driver: ['bridge'], type: ['custom'], name: ['own'] }].map((filter) => list(filter)),
  list({ type: ['x'] }, STATUS), list({ dangling: ['x'] }, WORDS), list({ dangling: ['true', 'false'] }, WORDS), list({ nosuch: ['x'] }, LOWER), list({ until: ['1h'] }, LOWER),
  ...['own', 'template', 'host', 'none', 'nosuch', 'OWN', 'ow', 'twin', 'ownbr', 'own?verbose=1', 'own?scope=local', 'own?scope=swarm', 'own?verbose=x', 'own?verbose='].map((word) => ({ ask: `GET /networks/${word}` })),
  ...['bridge', 'host', 'none', 'nosuch', 'twin'].map((word) => ({ ask: `DELETE /networks/${word}` })),
  { ask: 'POST /networks/create', body: '', differs: GO }, { ask: 'POST /networks/create', body: '{', headers: { 'Content-Type': 'application/json' }, differs: GO }, { ask: 'POST /networks/create', body: '{"Name":5}', headers: { 'Content-Type': 'application/json' }, differs: GO },
  { ask: 'POST /networks/create', body: 'null', headers: { 'Content-Type': 'application/json' }, differs: STATUS }, { ask: 'POST /networks/create', body: '{}', headers: { 'Content-Type': 'text/plain' }, differs: GO },
  ...['connect', 'disconnect'].flatMap((verb) => [
    { ask: `POST /networks/own/${verb}`, body: {} }, { ask: `POST /networks/own/${verb}`, body: { Container: '' } }, { ask: `POST /networks/own/${verb}`, body: { Container: 'nosuch' } }, { ask: `POST /networks/nosuch/${verb}`, body: { Container: 'nosuch' } },
    { ask: `POST /networks/own/${verb}`, body: '{"Container":5}', headers: { 'Content-Type': 'application/json' }, differs: GO },
  ]),
  { ask: 'POST /networks/own/disconnect', body: { Container: 'nosuch', Force: true } },
  prune({ until: ['bogus'] }, STATUS), prune({ until: ['1h', '2h'] }, STATUS), prune({ nosuch: ['x'] }, LOWER), prune({ dangling: ['true'] }, LOWER), prune({ until: ['1h'] }), prune({ label: ['nosuch'] }), prune({ label: ['a=b'] }), prune({ 'label!': ['c'] }), { ask: 'POST /networks/prune' }, { ask: 'POST /networks/prune' }, { ask: 'GET /networks' },
];
