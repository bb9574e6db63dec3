// What a client says of a new network: checked for itself, in Docker's order and words, before anything is looked for or made.
import { EngineError, invalid, notFound } from '../../lib/errors.ts';
import type { NetworkWish } from '../../network/index.ts';
import type { NetworkRecord } from '../../store/index.ts';
import { isCidr } from '../../wire/address.ts';
import type { NetworkCreateBody } from '../../wire/types.ts';
import { isPredefined } from './predefined.ts';

const forbidden = (message: string) => new EngineError('forbidden', message);
const DEFAULT_DRIVER = 'bridge';
/** Of the subnets: the only one there is. */
const IPAM_DRIVER = 'default';
/** Docker's word for the driver of a network that is a template only, and of the one named none. */
const NULL_DRIVER = 'null';

/** All that a record needs but its identity and its subnets. */
export type NetworkDraft = Omit<NetworkRecord, 'Id' | 'Created' | 'pools'>;

/** `templateOf` finds a config-only network by name. Errors: invalid, forbidden, not-found. */
export function readWish(body: NetworkCreateBody, templateOf: (name: string) => NetworkRecord | undefined): NetworkDraft {
  const name = body.Name ?? '';
  if (isPredefined(name)) throw forbidden(`operation is not permitted on predefined ${name} network `);
  const config = configOf(body);
  if (name.trim() === '') throw invalid(`invalid name: ${name}`);
  if (body.EnableIPv4 === false) throw invalid('IPv4 cannot be switched off: networks of this version always have it');
  const draft: NetworkDraft = {
    Name: name, Driver: body.Driver || DEFAULT_DRIVER, EnableIPv6: body.EnableIPv6 ?? false, Internal: body.Internal ?? false, Attachable: body.Attachable ?? false, Ingress: body.Ingress ?? false,
    ConfigOnly: body.ConfigOnly ?? false, ConfigFrom: body.ConfigFrom?.Network ?? '', Options: body.Options ?? {}, Labels: body.Labels ?? {},
    IPAM: { Driver: body.IPAM?.Driver || IPAM_DRIVER, Options: body.IPAM?.Options ?? null, Config: config },
  };
  assertTemplateRules(draft, body.Scope ?? '');
  if (draft.ConfigOnly) return { ...draft, Driver: NULL_DRIVER };
  assertDriver(draft.Driver);
  assertScope(draft, body.Scope ?? '');
  const whole = draft.ConfigFrom === '' ? draft : fromTemplate(draft, templateOf);
  assertIpamDriver(whole.IPAM.Driver);
  return whole;
}

/** A network needs every subnet to be one; what else is wrong with it is found against the others. */
function configOf({ IPAM: ipam }: NetworkCreateBody): NetworkRecord['IPAM']['Config'] {
  return (ipam?.Config ?? []).map(({ Subnet = '', IPRange = '', Gateway = '', AuxiliaryAddresses }) => {
    if (!isCidr(Subnet)) throw invalid(`Invalid subnet ${Subnet} : invalid CIDR address: ${Subnet}`);
    return { Subnet, IPRange, Gateway, AuxiliaryAddresses: AuxiliaryAddresses ?? {} };
  });
}

/** Config-only networks hold what one machine has of its own; who depends on one takes all of that from there. */
function assertTemplateRules(draft: NetworkDraft, scope: string): void {
  if (draft.ConfigOnly && (draft.Ingress || draft.Internal || draft.Attachable || scope !== '')) {
    throw forbidden('configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.');
  }
  if (draft.ConfigFrom === '') return;
  if (draft.ConfigOnly) throw forbidden('a configuration network cannot depend on another configuration network');
  const { IPAM: ipam } = draft;
  const said = ipam.Driver !== IPAM_DRIVER || draft.EnableIPv6 || hasAny(draft.Labels) || hasAny(ipam.Options ?? {}) || ipam.Config.length > 0;
  if (said) throw forbidden('user specified configurations are not supported if the network depends on a configuration network');
  if (hasAny(draft.Options)) throw forbidden('network driver options are not supported if the network depends on a configuration network');
}

const hasAny = (map: object): boolean => Object.keys(map).length > 0;

function assertDriver(driver: string): void {
  // A machine has one of each, and it is there already.
  if (driver === 'host' || driver === NULL_DRIVER) throw forbidden(`only one instance of "${driver}" network is allowed`);
  if (!isMade(driver)) throw notFound(`plugin "${driver}" not found`);
}

const isMade = (driver: string): driver is NetworkWish['driver'] => driver === 'bridge' || driver === 'macvlan';

function assertIpamDriver(driver: string): void {
  if (driver === NULL_DRIVER) throw invalid('ipv4 pool is empty');
  if (driver !== IPAM_DRIVER) throw notFound(`plugin "${driver}" not found`);
}

/** Clusters are not for devices: everything is of this machine alone. */
function assertScope({ Ingress: ingress }: NetworkDraft, scope: string): void {
  if (ingress) throw forbidden('Ingress network can only be global scope network');
  if (scope === 'swarm') throw forbidden('cannot create a swarm scoped network when swarm is not active');
  if (scope !== '' && scope !== 'local') {
    throw new EngineError('system', 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.');
  }
}

function fromTemplate(draft: NetworkDraft, templateOf: (name: string) => NetworkRecord | undefined): NetworkDraft {
  const template = templateOf(draft.ConfigFrom);
  if (!template) throw notFound(`configuration network "${draft.ConfigFrom}" does not exist`);
  const { EnableIPv6, Options, Labels, IPAM } = template;
  return { ...draft, EnableIPv6, Options, Labels, IPAM };
}

/** What the planner of subnets is asked; undefined for a network that nobody is ever in. */
export function planOf(draft: NetworkDraft): NetworkWish | undefined {
  if (draft.ConfigOnly || !isMade(draft.Driver)) return undefined;
  return {
    name: draft.Name, driver: draft.Driver, ipv6: draft.EnableIPv6, options: draft.Options, internal: draft.Internal,
    config: draft.IPAM.Config.map(({ Subnet, IPRange, Gateway, AuxiliaryAddresses }) => ({ subnet: Subnet, ipRange: IPRange, gateway: Gateway, auxAddresses: AuxiliaryAddresses })),
  };
}
