// Engines measured in turn, round by round, each on a machine of its own as far as networks go; and where the figures are kept.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDaemon } from '../test/kit/daemon.ts';
import { startDockerd } from '../test/kit/dockerd.ts';
import { busyboxImage } from '../test/kit/image.ts';
import { openNetns, type Netns } from '../test/kit/netns.ts';
import { mustPull } from '../test/kit/pull.ts';
import { pushImage, startRegistry } from '../test/kit/registry.ts';
import { openTempRoot } from '../test/kit/temp.ts';
import { medianOf, type Row } from './report.ts';

const START = { docker: startDockerd, vaquita: startDaemon } as const;
type Label = keyof typeof START;

/** An engine that has `image`; `pid`: of its daemon. `round` counts from 1. */
export interface Turn { label: Label; socket: string; machine: Netns; pid: number; image: string; round: number }

/** `engines`: those to be measured, all of them without it. */
export async function inTurns<T extends object>({ rounds, engines }: { rounds: number; engines?: readonly string[] }, measure: (turn: Turn) => Promise<T>): Promise<Row<T>[]> {
  await using root = openTempRoot();
  await using registry = await startRegistry({ root: join(root.path, 'registry') });
  const image = await pushImage(registry.host, busyboxImage(), { repository: 'bench/busybox', tag: '1' });
  const measured = new Map<Label, T[]>();
  for (let round = 1; round <= rounds; round++) {
    for (const label of ['docker', 'vaquita'] as const) {
      if (engines && !engines.includes(label)) continue;
      const folder = join(root.path, `${label}-${round}`);
      {
        await using engine = await START[label]({ root: folder }); // where the registry is
        await mustPull(engine.socket, image);
      }
      await using ns = openNetns();
      await using engine = await START[label]({ root: folder, netns: ns });
      const figures = await measure({ label, socket: engine.socket, machine: ns, pid: engine.pid, image, round });
      console.error(label, JSON.stringify(figures));
      measured.set(label, [...measured.get(label) ?? [], figures]);
    }
  }
  return [...measured].map(([engine, all]) => ({ engine, rounds: all, median: medianOf(all) }));
}

/** NAME.json and NAME.md in `folder`. `settings`: what the figures hang on. */
export function keepResults<T>(folder: string, name: string, { rows, text, settings = {} }: { rows: ReadonlyArray<Row<T>>; text: string; settings?: object }): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ date: new Date().toISOString().slice(0, 10), ...settings, rows }, undefined, 2)}\n`);
  writeFileSync(join(folder, `${name}.md`), text);
}
