// --mount and --gpus: comma-separated keys and values → what the API takes.
import type { DeviceRequest, MountSpec } from '../wire/types.ts';
import { parseBytes } from '../wire/units.ts';
import { splitFields } from './csv.ts';

/** `type=bind,source=/a,target=/b,readonly`; throws an Error that says which field is wrong. */
export function parseMount(text: string): MountSpec {
  const mount: MountSpec = { Type: 'volume', Target: '' };
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=');
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    if (equals < 0) {
      if (!SWITCHES.has(key)) throw new Error(`invalid field '${field}' must be a key=value pair`);
      setField(mount, key, 'true');
      continue;
    }
    setField(mount, key, field.slice(equals + 1));
  }
  if (mount.Type === '') throw new Error('type is required');
  if (mount.Target === '') throw new Error('target is required');
  if (mount.VolumeOptions && mount.Type !== 'volume') throw new Error(`cannot mix 'volume-*' options with mount type '${mount.Type}'`);
  if (mount.BindOptions && mount.Type !== 'bind') throw new Error(`cannot mix 'bind-*' options with mount type '${mount.Type}'`);
  if (mount.TmpfsOptions && mount.Type !== 'tmpfs') throw new Error(`cannot mix 'tmpfs-*' options with mount type '${mount.Type}'`);
  return mount;
}

/** `all`, `2`, `device=0,capabilities=utility`. */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = { Driver: '', Count: 0, DeviceIDs: null, Capabilities: [['gpu']], Options: {} };
  let counted = false;
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=');
    const key = equals < 0 ? 'count' : field.slice(0, equals);
    const value = field.slice(equals + 1);
    switch (key) {
      case 'count':
        if (value !== 'all' && !/^\d+$/.test(value)) throw new Error(`invalid count (${value}): value must be either "all" or an integer`);
        request.Count = value === 'all' ? -1 : Number(value);
        counted = true;
        break;
      case 'device': request.DeviceIDs = value.split(','); break;
      case 'driver': request.Driver = value; break;
      case 'capabilities': request.Capabilities = [['gpu', ...value.split(',').filter((one) => one !== 'gpu')]]; break;
      case 'options': request.Options = Object.fromEntries(value.split(',').map((pair) => [pair.split('=')[0] ?? '', pair.split('=').slice(1).join('=')])); break;
      default: throw new Error(`unexpected key '${key}' in '${field}'`);
    }
  }
  if (!counted && request.DeviceIDs === null) request.Count = 1;
  return request;
}

const SWITCHES = new Set(['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive']);

function setField(mount: MountSpec, key: string, value: string): void {
  const bool = () => {
    if (!/^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
    return /^(1|t)/i.test(value);
  };
  switch (key) {
    case 'type': mount.Type = value.toLowerCase(); break;
    case 'source': case 'src': mount.Source = value; break;
    case 'target': case 'dst': case 'destination': mount.Target = value; break;
    case 'readonly': case 'ro': mount.ReadOnly = bool(); break;
    case 'consistency': mount.Consistency = value.toLowerCase(); break;
    case 'bind-propagation': bind(mount).Propagation = value.toLowerCase(); break;
    case 'bind-nonrecursive': bind(mount).NonRecursive = bool(); break;
    case 'volume-nocopy': volume(mount).NoCopy = bool(); break;
    case 'volume-subpath': volume(mount).Subpath = value; break;
    case 'volume-label': volume(mount).Labels = { ...volume(mount).Labels, ...pair(value) }; break;
    case 'volume-driver': volume(mount).DriverConfig = { ...volume(mount).DriverConfig, Name: value }; break;
    case 'volume-opt': {
      const config = volume(mount).DriverConfig;
      volume(mount).DriverConfig = { ...config, Options: { ...config?.Options, ...pair(value) } };
      break;
    }
    case 'tmpfs-size': {
      const size = parseBytes(value);
      if (size === undefined) throw new Error(`invalid value for ${key}: ${value}`);
      tmpfs(mount).SizeBytes = size;
      break;
    }
    case 'tmpfs-mode':
      if (!/^[0-7]+$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
      tmpfs(mount).Mode = parseInt(value, 8);
      break;
    default: throw new Error(`unexpected key '${key}' in '${key}=${value}'`);
  }
}

const bind = (mount: MountSpec) => (mount.BindOptions ??= {});
const volume = (mount: MountSpec) => (mount.VolumeOptions ??= { DriverConfig: {} });
const tmpfs = (mount: MountSpec) => (mount.TmpfsOptions ??= {});
const pair = (text: string): Record<string, string> => {
  const equals = text.indexOf('=');
  return equals < 0 ? { [text]: '' } : { [text.slice(0, equals)]: text.slice(equals + 1) };
};
