// top: the processes of a container, in the columns of ps.
import { conflict, EngineError } from '../../lib/errors.ts';
import type { ContainersFace } from '../index.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';

/** Docker hands this to ps(1) when the client asks for nothing else. */
const DEFAULT_ARGS = '-ef';

export async function topOf(needs: ContainerNeeds, container: Container, psArgs: string): ReturnType<ContainersFace['top']> {
  if (!container.running) throw conflict(`Container ${container.id} is not running`);
  const wanted = new Set((await needs.runtime.processes(container.id)).map(String));
  const [head, ...rows] = await needs.runtime.listProcesses((psArgs || DEFAULT_ARGS).split(/\s+/));
  const titles = (head ?? '').trim().split(/\s+/);
  const pidColumn = titles.indexOf('PID');
  if (pidColumn < 0) throw new EngineError('invalid', "Couldn't find PID field in ps output");
  const processes = rows.map((row) => splitRow(row, titles.length)).filter((fields) => wanted.has(fields[pidColumn] ?? ''));
  return { titles, processes };
}

/** The last column may hold blanks. */
function splitRow(row: string, columns: number): string[] {
  const fields = row.trim().split(/\s+/);
  return [...fields.slice(0, columns - 1), fields.slice(columns - 1).join(' ')];
}
