// top: the processes of a container, in the columns of ps.
import { conflict, invalid, kindOf } from '../../lib/errors.ts';
import type { ContainersFace } from '../index.ts';
import type { Container } from './container.ts';
import { publish, type ContainerNeeds } from './needs.ts';

/** Docker hands this to ps(1) when the client asks for nothing else. */
const DEFAULT_ARGS = '-ef';
/** More would be a longer command line than the kernel takes. */
const MAX_LISTED_PIDS = 10_000;

/** Error: invalid, in Docker's or in ps's words; conflict when it does not run. */
export async function topOf(needs: ContainerNeeds, container: Container, psArgs: string): ReturnType<ContainersFace['top']> {
  const args = psArgs || DEFAULT_ARGS;
  refuseOtherPids(args);
  if (!container.running) throw conflict(`Container ${container.id} is not running`);
  if (container.state.status === 'restarting') throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  const pids = await needs.runtime.processes(container.id);
  const list = parseProcesses(await listed(needs, args.split(/\s+/), pids), new Set(pids));
  publish(needs, container, { action: 'top' });
  return list;
}

/** A column of another name that is called PID would be taken for the number of the process. */
function refuseOtherPids(args: string): void {
  for (const [, column = '', title = ''] of args.matchAll(/\s+(\S*)=\s*(PID\S*)/g)) {
    if (column !== 'pid') throw invalid(`specifying "${column}=${title}" is not allowed`);
  }
}

/** Only the container's, where ps takes a list of processes with these arguments: some of its options and -q exclude each other. */
async function listed(needs: ContainerNeeds, args: readonly string[], pids: readonly number[]): Promise<string[]> {
  if (pids.length > 0 && pids.length <= MAX_LISTED_PIDS) {
    try { return await needs.runtime.listProcesses([...args, `-q${pids.join(',')}`]); } catch (error) { if (kindOf(error) !== 'invalid') throw error; }
  }
  return await needs.runtime.listProcesses(args);
}

/** The lines of ps that are about these processes, in fields. Pure. */
export function parseProcesses([head = '', ...rows]: readonly string[], pids: ReadonlySet<number>): { titles: string[]; processes: string[][] } {
  const titles = head.trim().split(/\s+/);
  const pidColumn = titles.indexOf('PID');
  if (pidColumn < 0) throw invalid("Couldn't find PID field in ps output");
  let wanted = false;
  const processes = rows.map((row) => row.trim().split(/\s+/)).filter((fields) => {
    const pid = fields[pidColumn] ?? '';
    if (pid === '-') return wanted; // with the option "m", a thread of the process above
    if (!/^\d+$/.test(pid)) throw invalid(`Unexpected pid '${pid}': ps did not write a number there`);
    return wanted = pids.has(Number(pid));
  });
  // The last column may hold blanks.
  return { titles, processes: processes.map((fields) => [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')]) };
}
