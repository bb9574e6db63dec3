// What all tables of engines have in common: medians, ratios to Docker, and the machine that they were measured on.
import { cpus, release, totalmem } from 'node:os';

/** One engine's figures: of each round, and the median of each figure. */
export interface Row<T> { engine: string; rounds: readonly T[]; median: T }

/** Of each figure by itself. */
export function medianOf<T extends object>(all: readonly T[]): T {
  const names = Object.keys(all[0] ?? {}) as Array<keyof T>;
  return Object.fromEntries(names.map((name) => [name, median(all.map((each) => Number(each[name])))])) as T;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}

export const machine = (): string => `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, ${(totalmem() / 1e9).toFixed(0)} GB, Linux ${release()}`;

/** One line per engine, one column per figure; in brackets the ratio to Docker. Units stand at the end of the figures' names. */
export function tableOf<T extends object>(rows: ReadonlyArray<Row<T>>): string {
  const docker = rows.find(({ engine }) => engine === 'docker')?.median;
  const names = Object.keys(rows[0]?.median ?? {}) as Array<keyof T & string>;
  const cell = (engine: string, figures: T, name: keyof T) => {
    const value = Number(figures[name]);
    const ratio = docker && engine !== 'docker' && Number(docker[name]) !== 0 ? ` (${(value / Number(docker[name])).toFixed(2)})` : '';
    return `${Number(value.toPrecision(3))}${ratio}`;
  };
  const lines = [['engine', ...names.map(titleOf)], ['---', ...names.map(() => '---')], ...rows.map(({ engine, median: figures }) => [engine, ...names.map((name) => cell(engine, figures, name))])];
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

function titleOf(name: string): string {
  return name.replace(/MBps$/, ' MB/s').replace(/MB$/, ' MB').replace(/KB$/, ' kilobytes').replace(/Ms$/, ' ms').replace(/Seconds$/, ' s')
    .replace(/([a-z])([A-Z])(?!B)/g, (_all, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}
