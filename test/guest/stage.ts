// What a guest is given to work with: a data root with an image in it, made by the engine on this machine.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDaemon } from '../kit/daemon.ts';
import { busyboxImage } from '../kit/image.ts';
import { mustPull } from '../kit/pull.ts';
import { pushImage, startRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';
import { runGuest, type GuestOptions } from './guest.ts';

/** Boots `program` (a file of inside/) with an engine's data root at /bench/data and its image's name in /bench/image. */
export async function runStaged(program: string, options: Omit<GuestOptions, 'program' | 'folder'> = {}): Promise<Map<string, unknown>> {
  await using root = openTempRoot();
  const folder = join(root.path, 'work');
  mkdirSync(folder);
  await using registry = await startRegistry({ root: join(root.path, 'registry') });
  const daemon = await startDaemon({ root: join(root.path, 'engine') });
  const image = await pushImage(registry.host, busyboxImage(), { repository: 'busybox', tag: '1' });
  await mustPull(daemon.socket, image);
  await daemon.stop();
  cpSync(daemon.dataRoot, join(folder, 'data'), { recursive: true, verbatimSymlinks: true });
  writeFileSync(join(folder, 'image'), image);
  return await runGuest({ program: join(import.meta.dirname, 'inside', program), folder, ...options });
}
