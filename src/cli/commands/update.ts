// update: other limits, or another restart policy, for containers that are there.
import type { UpdateBody } from '../../wire/types.ts';
import { containerPath, print, type Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { restartPolicy } from '../flags-run.ts';
import type { Flags } from '../flags.ts';
import { containerFlags } from '../run-flags.ts';

const NAMES: ReadonlySet<string> = new Set([
  'blkio-weight', 'cpu-period', 'cpu-quota', 'cpu-rt-period', 'cpu-rt-runtime', 'cpu-shares', 'cpus', 'cpuset-cpus', 'cpuset-mems', 'kernel-memory', 'memory', 'memory-reservation',
  'memory-swap', 'pids-limit', 'restart',
]);
/** Those of run, without what run assumes. */
const FLAGS = containerFlags.filter(({ name }) => NAMES.has(name)).map(({ value: _assumed, ...spec }) => spec);

export const update: Command = {
  name: 'update', usage: '[OPTIONS] CONTAINER [CONTAINER...]', short: 'Change the limits of containers', args: { min: 1 }, flags: FLAGS,
  run: async (call) => {
    if (!FLAGS.some(({ name }) => call.flags.given(name))) throw new Failure('you must provide one or more flags when using this command');
    const body = bodyOf(call.flags);
    const warnings: string[] = [];
    const failures: string[] = [];
    for (const name of call.args) {
      try {
        warnings.push(...(await call.client.json<{ Warnings: string[] | null }>('POST', containerPath(name, '/update'), { body })).Warnings ?? []);
        print(call, name);
      } catch (error) { failures.push((error as Error).message); }
    }
    if (warnings.length > 0) print(call, warnings.join('\n'));
    if (failures.length > 0) throw new Failure(failures.join('\n'));
  },
};

function bodyOf(flags: Flags): UpdateBody {
  const pids = flags.number('pids-limit');
  return {
    BlkioWeight: flags.number('blkio-weight'), CpuPeriod: flags.number('cpu-period'), CpuQuota: flags.number('cpu-quota'), CpuRealtimePeriod: flags.number('cpu-rt-period'),
    CpuRealtimeRuntime: flags.number('cpu-rt-runtime'), CpuShares: flags.number('cpu-shares'), CpusetCpus: flags.text('cpuset-cpus'), CpusetMems: flags.text('cpuset-mems'),
    KernelMemory: flags.bytes('kernel-memory'), Memory: flags.bytes('memory'), MemoryReservation: flags.bytes('memory-reservation'), MemorySwap: flags.bytes('memory-swap'),
    NanoCpus: Math.round(flags.number('cpus') * 1e9), RestartPolicy: restartPolicy(flags.text('restart')), ...(pids === 0 ? {} : { PidsLimit: pids }),
  };
}
