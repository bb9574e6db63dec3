// What a create body may not say: each refusal names the field and what was expected.
import { invalid } from '../../lib/errors.ts';
import { decideCapabilities } from '../../runtime/index.ts';
import type { ContainerConfig, HostConfig } from '../../wire/types.ts';
import { parseSignal } from './signals.ts';

/** Below this the kernel cannot even start the container's first process. Source: Docker's documentation of --memory. */
const MIN_MEMORY_BYTES = 6 << 20;
const RESTART_POLICIES = ['', 'no', 'always', 'unless-stopped', 'on-failure'];
const LOG_DRIVERS = ['json-file', 'none'];
const RUNTIMES = ['runc', 'crun', 'io.containerd.runc.v2'];

export function validateConfig(config: ContainerConfig): void {
  if (config.WorkingDir !== '' && !config.WorkingDir.startsWith('/')) throw invalid(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  for (const entry of config.Env ?? []) if (entry === '' || entry.startsWith('=')) throw invalid(`invalid environment variable: ${entry}`);
  if (config.StopSignal) parseSignal(config.StopSignal);
  const { Healthcheck: health } = config;
  for (const [field, value] of Object.entries({ Interval: health?.Interval, Timeout: health?.Timeout, StartPeriod: health?.StartPeriod })) {
    if (value !== undefined && value !== 0 && value < 1_000_000) throw invalid(`${field} in Healthcheck cannot be less than 1ms`);
  }
}

export function validateHostConfig(host: HostConfig, machine: { cpus: number }): string[] {
  validateResources(host);
  if (host.NanoCpus > machine.cpus * 1e9) throw invalid(`Range of CPUs is from 0.01 to ${machine.cpus}.00, as there are only ${machine.cpus} CPUs available`);
  decideCapabilities({ add: host.CapAdd, drop: host.CapDrop, privileged: host.Privileged }, new Set());
  validatePolicies(host);
  validateNetwork(host);
  return host.OomKillDisable && host.Memory === 0
    ? ['OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.'] : [];
}

function validateResources(host: HostConfig): void {
  if (host.Memory !== 0 && host.Memory < MIN_MEMORY_BYTES) throw invalid('Minimum memory limit allowed is 6MB');
  if (host.Memory > 0 && host.MemorySwap > 0 && host.MemorySwap < host.Memory) throw invalid('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (host.Memory === 0 && host.MemorySwap > 0) throw invalid('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (host.MemorySwappiness !== null && (host.MemorySwappiness < -1 || host.MemorySwappiness > 100)) throw invalid(`Invalid value: ${host.MemorySwappiness}, valid memory swappiness range is 0-100`);
  if (host.MemoryReservation > 0 && host.Memory > 0 && host.Memory < host.MemoryReservation) throw invalid('Minimum memory limit can not be less than memory reservation limit, see usage');
  if (host.NanoCpus > 0 && host.CpuPeriod > 0) throw invalid('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (host.NanoCpus > 0 && host.CpuQuota > 0) throw invalid('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (host.NanoCpus < 0) throw invalid(`Range of CPUs is from 0.01 up; ${host.NanoCpus / 1e9} was given`);
  if (host.CpuPeriod !== 0 && (host.CpuPeriod < 1000 || host.CpuPeriod > 1_000_000)) throw invalid('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (host.CpuQuota !== 0 && host.CpuQuota < 1000) throw invalid('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000) throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (host.ShmSize < 0) throw invalid('SHM size can not be less than 0');
}

function validatePolicies(host: HostConfig): void {
  const { Name: policy, MaximumRetryCount: retries } = host.RestartPolicy;
  if (!RESTART_POLICIES.includes(policy)) throw invalid(`invalid restart policy: unknown policy '${policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (policy !== 'on-failure' && retries !== 0) throw invalid(`maximum retry count cannot be used with restart policy '${policy}'`);
  if (retries < 0) throw invalid('maximum retry count cannot be negative');
  if (host.AutoRemove && policy !== '' && policy !== 'no') throw invalid("can't create 'AutoRemove' container with restart policy");
  if (!LOG_DRIVERS.includes(host.LogConfig.Type)) throw invalid(`logger: no log driver named '${host.LogConfig.Type}' is registered; there are: ${LOG_DRIVERS.join(', ')}`);
  if (!RUNTIMES.includes(host.Runtime)) throw invalid(`Unknown runtime specified ${host.Runtime}`);
  for (const option of host.SecurityOpt ?? []) {
    if (!/^(no-new-privileges(([:=](true|false))?)$|seccomp[:=]|apparmor[:=]|label[:=]|systempaths=unconfined$)/.test(option)) throw invalid(`invalid --security-opt 2: "${option}"`);
  }
  if (host.Privileged && host.PidMode !== '' && !/^(host|container:.+)$/.test(host.PidMode)) throw invalid(`invalid PID mode: ${host.PidMode}`);
  if (!/^(private|shareable|none|host|container:.+)$/.test(host.IpcMode)) throw invalid(`IPC mode ${host.IpcMode} is not supported`);
  if (host.UTSMode !== '' && host.UTSMode !== 'host') throw invalid(`invalid UTS mode: ${host.UTSMode}`);
}

function validateNetwork(host: HostConfig): void {
  const mode = host.NetworkMode;
  if (Object.values(host.PortBindings ?? {}).some((list) => (list ?? []).length > 0) || host.PublishAllPorts) {
    throw invalid('published ports need a bridge network, and this version has the networks "host" and "none" only: use --network host');
  }
  if (!['default', 'none', 'host'].includes(mode) && !mode.startsWith('container:')) {
    throw invalid(`network mode "${mode}": this version has the networks "host" and "none" (and container:NAME) only`);
  }
}
