// conmon's command lines for a task and for an exec. Pure.
import type { Program } from './program.ts';
import type { TaskInput } from './index.ts';
import type { Places } from './tasks.ts';

export function taskArgs(task: Omit<TaskInput, 'spec'>, places: Places, program: Program): string[] {
  return [
    ...commonArgs({ id: task.id, uuid: task.id, bundle: `${places.tasks}/${task.id}`, program }),
    '--exit-dir', places.exits,
    '--log-path', task.logPath === undefined ? 'none' : `k8s-file:${task.logPath}`,
    ...(task.logPath === undefined || task.logMaxBytes === undefined ? [] : ['--log-size-max', String(task.logMaxBytes)]),
    ...(task.stdin === 'closed' ? [] : ['--stdin']),
    ...(task.stdin === 'open' ? ['--leave-stdin-open'] : []),
    ...(task.tty ? ['--terminal'] : []),
  ];
}

/** The exit code comes by the sync pipe; a later daemon finds it in a file, which has the container's name and therefore a folder per exec. */
export function execArgs(exec: { containerId: string; execId: string; stdin: boolean; tty: boolean; limitSeconds?: number }, bundle: string, program: Program): string[] {
  return [
    // With a terminal, what the runtime has to say would be written to that and lost.
    ...commonArgs({ id: exec.containerId, uuid: exec.execId, bundle, program, ...(exec.tty ? { log: runtimeLog(bundle) } : {}) }),
    '--exec', '--exec-attach', '--exec-process-spec', `${bundle}/process.json`,
    '--log-path', 'none', '--exit-dir', `${bundle}/exit`,
    ...(exec.limitSeconds === undefined ? [] : ['--timeout', String(exec.limitSeconds)]),
    // Never without, or it would be the host's /dev/null, which crun gives to the process's user.
    ...(exec.stdin || !exec.tty ? ['--stdin'] : []),
    ...(exec.tty ? ['--terminal'] : []),
  ];
}

export const runtimeLog = (bundle: string): string => `${bundle}/runtime.log`;

function commonArgs(what: { id: string; uuid: string; bundle: string; program: Program; log?: string }): string[] {
  const [runtime, ...args] = what.program.command(...(what.log === undefined ? [] : ['--log', what.log]));
  return [
    '--api-version', '1', '--cid', what.id, '--cuuid', what.uuid, '--bundle', what.bundle,
    '--runtime', runtime, ...args.map((arg) => `--runtime-arg=${arg}`),
    '--container-pidfile', `${what.bundle}/pid`, '--conmon-pidfile', `${what.bundle}/conmon.pid`,
    '--full-attach', // or the socket would be reached through a second folder, with names cut off
    '--no-sync-log', // syncs the whole file system when a container ends
    '--log-level', 'error',
  ];
}
