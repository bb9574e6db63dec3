// conmon's command lines for a task and for an exec. Pure.
import type { Crun } from './crun.ts';
import type { TaskInput } from './index.ts';
import type { Places } from './tasks.ts';

export function taskArgs(task: Omit<TaskInput, 'spec'>, places: Places, crun: Crun): string[] {
  return [
    ...commonArgs({ id: task.id, uuid: task.id, bundle: `${places.tasks}/${task.id}`, crun }),
    '--exit-dir', places.exits,
    '--log-path', task.logPath === undefined ? 'none' : `k8s-file:${task.logPath}`,
    ...(task.stdin === 'closed' ? [] : ['--stdin']),
    ...(task.stdin === 'open' ? ['--leave-stdin-open'] : []),
    ...(task.tty ? ['--terminal'] : []),
  ];
}

/** Without an exit directory: the file would have the container's name. The exit code comes by the sync pipe. */
export function execArgs(exec: { containerId: string; execId: string; stdin: boolean; tty: boolean }, bundle: string, crun: Crun): string[] {
  return [
    ...commonArgs({ id: exec.containerId, uuid: exec.execId, bundle, crun }),
    '--exec', '--exec-attach', '--exec-process-spec', `${bundle}/process.json`,
    '--log-path', 'none',
    ...(exec.stdin ? ['--stdin'] : []),
    ...(exec.tty ? ['--terminal'] : []),
  ];
}

function commonArgs(what: { id: string; uuid: string; bundle: string; crun: Crun }): string[] {
  const [program, ...args] = what.crun.command();
  return [
    '--api-version', '1', '--cid', what.id, '--cuuid', what.uuid, '--bundle', what.bundle,
    '--runtime', program, ...args.map((arg) => `--runtime-arg=${arg}`),
    '--container-pidfile', `${what.bundle}/pid`, '--conmon-pidfile', `${what.bundle}/conmon.pid`,
    '--full-attach', // or the socket would be reached through a second folder, with names cut off
    '--no-sync-log', // syncs the whole file system when a container ends
    '--log-level', 'error',
  ];
}
