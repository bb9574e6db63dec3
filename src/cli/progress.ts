// Progress of pulls and pushes: on a terminal one line per layer that changes in place, elsewhere one line per change of status.
import type { ProgressLine } from '../wire/types.ts';
import { Failure } from './failure.ts';
import type { Output } from './io.ts';
import { humanSize } from '../wire/units.ts';

/** Half of the characters of a bar: one for every second percent. */
const BAR_STEPS = 50;

/** Shows the lines as they come; throws with the daemon's reason when one of them is an error. `sawAux` gets what is for programs. */
export async function showProgress(lines: AsyncIterable<ProgressLine>, to: { output: Output; columns: number }, sawAux?: (aux: unknown) => void): Promise<void> {
  let rows = new Map<string, number>();
  for await (const line of lines) {
    if (line.aux !== undefined) {
      sawAux?.(line.aux);
      continue;
    }
    if (line.error !== undefined || line.errorDetail !== undefined) throw new Failure(line.errorDetail?.message ?? line.error ?? '', line.errorDetail?.code ?? 1);
    if (!to.output.isTTY) to.output.write(plainLine(line));
    else if (line.id !== undefined && line.progressDetail !== undefined) to.output.write(placed(rows, line, to.columns));
    else {
      // What has no line of its own ends the block of those that have; a second pull begins a new one below.
      rows = new Map();
      to.output.write(line.stream ?? `${titled(line)}\n`);
    }
    await to.output.drained();
  }
}

/** Bars are for eyes: a log gets the changes between them. */
function plainLine(line: ProgressLine): string {
  if (line.stream !== undefined) return line.stream;
  return (line.progressDetail?.current ?? 0) > 0 || (line.progressDetail?.total ?? 0) > 0 ? '' : `${titled(line)}\n`;
}

const titled = (line: ProgressLine): string => (line.id === undefined || line.id === '' ? '' : `${line.id}: `) + (line.status ?? '');

/** Up to the layer's line, the new text over the old, and back down. */
function placed(rows: Map<string, number>, line: ProgressLine, columns: number): string {
  const id = line.id ?? '';
  const fresh = !rows.has(id);
  if (fresh) rows.set(id, rows.size);
  const up = rows.size - (rows.get(id) ?? 0);
  const bar = progressBar(line, columns);
  return `${fresh ? '\n' : ''}\x1b[${up}A\x1b[2K\r${titled(line)}${bar === '' ? ' ' : ` ${bar}`}\r\x1b[${up}B`;
}

function progressBar(line: ProgressLine, columns: number): string {
  const { current = 0, total = 0, units } = line.progressDetail ?? {};
  if (current <= 0 && total <= 0) return '';
  const shown = (n: number) => (units === undefined || units === '' ? humanSize(n) : `${n} ${units}`);
  if (total <= 0) return shown(current).padStart(8);
  const done = Math.min(BAR_STEPS, Math.floor(Math.floor((current / total) * 100) / 2));
  const bar = columns > 110 ? `[${'='.repeat(done)}>${' '.repeat(BAR_STEPS - done)}] ` : '';
  const numbers = current > total ? shown(current).padStart(8) : `${shown(current).padStart(8)}/${shown(total)}`;
  return bar + (line.progressDetail?.hidecounts ? '' : numbers);
}
