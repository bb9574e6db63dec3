// What a create body may not say: each refusal names the field and what was expected.
import { invalid } from '../../lib/errors.ts';
import { decideCapabilities } from '../../runtime/index.ts';
import type { ContainerConfig, HostConfig, RestartPolicy } from '../../wire/types.ts';
import { validateLogConfig } from '../../logs/index.ts';
import { parseSignal } from './signals.ts';

const RESTART_POLICIES = ['', 'no', 'always', 'unless-stopped', 'on-failure'];

export function validateConfig(config: ContainerConfig): void {
  if (config.WorkingDir !== '' && !config.WorkingDir.startsWith('/')) throw invalid(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  for (const entry of config.Env ?? []) if (entry === '' || entry.startsWith('=')) throw invalid(`invalid environment variable: ${entry}`);
  if (config.StopSignal) parseSignal(config.StopSignal);
  const { Healthcheck: health } = config;
  for (const [field, value] of Object.entries({ Interval: health?.Interval, Timeout: health?.Timeout, StartPeriod: health?.StartPeriod, StartInterval: health?.StartInterval })) {
    if (value !== undefined && value !== 0 && value < 1_000_000) throw invalid(`${field} in Healthcheck cannot be less than 1ms`);
  }
  if (health?.Retries !== undefined && health.Retries < 0) throw invalid('Retries in Healthcheck cannot be negative');
}

export function validateHostConfig(host: HostConfig): void {
  decideCapabilities({ add: host.CapAdd, drop: host.CapDrop, privileged: host.Privileged }, new Set());
  validatePolicies(host);
  validateForeign(host);
}

export function validateRestartPolicy({ Name: policy, MaximumRetryCount: retries }: RestartPolicy): void {
  if (!RESTART_POLICIES.includes(policy)) throw invalid(`invalid restart policy: unknown policy '${policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (policy !== 'on-failure' && policy !== '' && retries !== 0) throw invalid(`maximum retry count cannot be used with restart policy '${policy}'`);
  if (retries < 0) throw invalid('maximum retry count cannot be negative');
}

function validatePolicies(host: HostConfig): void {
  validateRestartPolicy(host.RestartPolicy);
  if (host.AutoRemove && !['', 'no'].includes(host.RestartPolicy.Name)) throw invalid("can't create 'AutoRemove' container with restart policy");
  validateLogConfig({ driver: host.LogConfig.Type, options: host.LogConfig.Config ?? {} });
}

/** Fields of other systems and of storage that is not here: what they ask for would silently not happen. */
function validateForeign(host: HostConfig): void {
  if (!['', 'default'].includes(host.Isolation.toLowerCase())) throw invalid(`Invalid isolation: ${JSON.stringify(host.Isolation)} - linux only supports 'default'`);
  if (host.IOMaximumIOps !== 0) throw invalid('Invalid QoS settings: linux does not support configuration of maximum IOPs (IOMaximumIOps)');
  if (host.IOMaximumBandwidth !== 0) throw invalid('Invalid QoS settings: linux does not support configuration of maximum bandwidth (IOMaximumBandwidth)');
  for (const option of Object.keys(host.StorageOpt ?? {})) {
    throw invalid(option === 'size' ? "--storage-opt (StorageOpt) is supported only for overlay over xfs with 'pquota' mount option" : `Unknown option ${option} in StorageOpt`);
  }
  if (host.Annotations && '' in host.Annotations) throw invalid('invalid Annotations: the empty string is not permitted as an annotation key');
}
