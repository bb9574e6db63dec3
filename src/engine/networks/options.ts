// The options of a bridge that must be of a certain kind. Others are kept as they are, for whoever reads them.
import { EngineError, invalid } from '../../lib/errors.ts';
import { isIp } from '../../wire/address.ts';
import { parseTruth } from '../../wire/truth.ts';
import type { StringMap } from '../../wire/types.ts';
import { bridgeOf, BRIDGE_NAME } from '../../network/index.ts';
import type { NetworkRecord } from '../../store/index.ts';

const PREFIX = 'com.docker.network';
/** Longest name of a device, in bytes. Source: IFNAMSIZ of linux/if.h, less the closing zero. */
const DEVICE_NAME_BYTES = 15;

/** What the kernel takes for a bridge; 0 leaves it to the kernel. Source: ETH_MIN_MTU and ETH_MAX_MTU of linux/if_ether.h. */
const LEAST_MTU = 68;
const MOST_MTU = 65_535;

/** Why a value will not do, in the words of the parser that Docker has for it; undefined when it will. */
type Check = (value: string) => string | undefined;

const flag: Check = (value) => (parseTruth(value) !== undefined ? undefined : `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
const number: Check = (value) => (/^[+-]?\d+$/.test(value) ? undefined : `strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
const address: Check = (value) => (isIp(value) ? undefined : 'nil ip');

const MTU = `${PREFIX}.driver.mtu`;
const CHECKS: Readonly<Record<string, Check>> = {
  [MTU]: number,
  [`${PREFIX}.bridge.enable_icc`]: flag, [`${PREFIX}.bridge.enable_ip_masquerade`]: flag, [`${PREFIX}.bridge.default_bridge`]: flag, [`${PREFIX}.bridge.inhibit_ipv4`]: flag,
  [`${PREFIX}.bridge.host_binding_ipv4`]: address, [`${PREFIX}.host_ipv4`]: address,
};

/** Errors: invalid. */
export function assertBridgeOptions(options: Readonly<StringMap>): void {
  for (const [key, value] of Object.entries(options)) {
    const why = Object.hasOwn(CHECKS, key) ? CHECKS[key]?.(value) : undefined;
    if (why !== undefined) throw invalid(`failed to parse ${key} value: ${value} (${why})`);
  }
  const mtu = Number(options[MTU] ?? 0);
  if (mtu !== 0 && (mtu < LEAST_MTU || mtu > MOST_MTU)) throw invalid(`invalid MTU number: ${options[MTU]}`);
  const name = options[BRIDGE_NAME] ?? '';
  if (Buffer.byteLength(name) > DEVICE_NAME_BYTES) throw invalid(`invalid name of a bridge: ${JSON.stringify(name)}: longer than ${DEVICE_NAME_BYTES} bytes`);
  if (/[\s/:]/.test(name) || name === '.' || name === '..') throw invalid(`invalid name of a bridge: ${JSON.stringify(name)}: no device may be called so`);
}

/** Two networks on one device would mix their containers. Error: forbidden. */
export function assertOwnDevice(network: NetworkRecord, others: readonly NetworkRecord[]): void {
  if (network.Driver !== 'bridge') return;
  const device = bridgeOf(network);
  const other = others.find((one) => one.Driver === 'bridge' && one.Id !== network.Id && bridgeOf(one) === device);
  if (other) throw new EngineError('forbidden', `cannot create network ${network.Id} (${device}): conflicts with network ${other.Id} (${device}): networks have same bridge name`);
}
