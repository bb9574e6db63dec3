// The image's part of a container: what the client did not say is taken from the image, by Docker's rules.
import type { ImageRunConfig } from '../../oci/manifest.ts';
import type { ContainerConfig, HealthConfig } from '../../wire/types.ts';

/** Returns `config` completed from `image`; neither is changed. */
export function mergeImageConfig(config: ContainerConfig, image: ImageRunConfig): ContainerConfig {
  const exposed = { ...image.ExposedPorts, ...config.ExposedPorts };
  const volumes = { ...image.Volumes, ...config.Volumes };
  const stopSignal = config.StopSignal ?? image.StopSignal;
  const stopTimeout = config.StopTimeout ?? image.StopTimeout;
  const health = mergeHealth(config.Healthcheck, image.Healthcheck ?? undefined);
  const shell = config.Shell ?? image.Shell ?? undefined;
  return {
    ...config,
    ...mergeCommand(config, image),
    User: config.User || image.User,
    Env: mergeEnv(config.Env ?? [], image.Env),
    WorkingDir: cleanPath(config.WorkingDir || image.WorkingDir),
    Labels: { ...image.Labels, ...config.Labels },
    Volumes: Object.keys(volumes).length > 0 ? volumes : null,
    ...(Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    ...(stopSignal ? { StopSignal: stopSignal } : {}),
    ...(stopTimeout === null || stopTimeout === undefined ? {} : { StopTimeout: stopTimeout }),
    ...(health ? { Healthcheck: health } : {}),
    ...(shell ? { Shell: shell } : {}),
    OnBuild: config.OnBuild ?? null,
  };
}

/** Without doubled slashes and dots: what stands in the record is where the program begins. */
function cleanPath(path: string): string {
  if (!path.startsWith('/')) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** The client's variables first, then those of the image that it did not set. */
function mergeEnv(own: readonly string[], image: readonly string[]): string[] {
  const keyOf = (entry: string) => entry.split('=', 1)[0];
  const set = new Set(own.map(keyOf));
  return [...own, ...image.filter((entry) => !set.has(keyOf(entry)))];
}

/** An own entrypoint drops the image's command; an entrypoint of one empty word drops the image's entrypoint. */
function mergeCommand(config: ContainerConfig, image: ImageRunConfig): Pick<ContainerConfig, 'Entrypoint' | 'Cmd'> {
  const own = config.Entrypoint ?? [];
  const cmd = config.Cmd ?? [];
  if (own.length === 0) {
    const inherit = cmd.length === 0 ? image.Cmd : config.Cmd;
    return { Entrypoint: config.Entrypoint ?? image.Entrypoint, Cmd: inherit };
  }
  return { Entrypoint: own.length === 1 && own[0] === '' ? null : own, Cmd: config.Cmd };
}

function mergeHealth(own: HealthConfig | undefined, image: HealthConfig | undefined): HealthConfig | undefined {
  if (!own || !image) return own ?? image;
  const test = own.Test && own.Test.length > 0 ? own.Test : image.Test;
  const pick = (field: 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval' | 'Retries') => {
    const value = own[field] || image[field];
    return value ? { [field]: value } : {};
  };
  return { ...(test ? { Test: test } : {}), ...pick('Interval'), ...pick('Timeout'), ...pick('StartPeriod'), ...pick('StartInterval'), ...pick('Retries') };
}
