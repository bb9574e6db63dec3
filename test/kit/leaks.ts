// What a test left in the kernel: mounts, processes, loop devices that have to do with its folder; network namespaces with a name.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { MOUNT_FLAGS, openLinux } from '../../src/kernel/index.ts';
import { until } from './poll.ts';

const { mounts, processes } = openLinux({ selfCommand: [process.execPath] });

export interface Snapshot { readonly root: string; readonly before: ReadonlySet<string> }

/** Everything that mentions `root` and everything global that nobody else should make: take one before, compare after. */
export function takeSnapshot(root: string): Snapshot {
  return { root, before: new Set([...leaksOf(root), ...namedNetworks()]) };
}

/** Throws with a list when there is more than before, after giving what is just ending time to go. */
export async function assertNothingNew({ root, before }: Snapshot): Promise<void> {
  const fresh = () => [...leaksOf(root), ...namedNetworks()].filter((line) => !before.has(line));
  await until('nothing new to be left', () => fresh().length === 0).catch(() => {});
  const left = fresh();
  if (left.length > 0) throw new Error(`left behind:\n  ${left.join('\n  ')}`);
}

/** Mounts, processes and loop devices whose paths or command lines lead into `root`. */
export function leaksOf(root: string): string[] {
  return [
    ...mountsBelow(root).map(({ target, fsType }) => `mount ${target} (${fsType})`),
    ...processesOf(root).map(({ pid, command }) => `process ${pid}: ${command}`),
    ...loopsOf(root),
  ];
}

/** Takes away what `leaksOf` names, so that one failed test does not fail all that follow. */
export async function sweep(root: string): Promise<void> {
  for (const { pid } of processesOf(root)) processes.signal(pid, 9);
  await until('swept processes to be gone', () => processesOf(root).length === 0).catch(() => {});
  for (const { target } of mountsBelow(root).reverse()) {
    try {
      // Private first: taking it away must not reach into another namespace.
      mounts.mount({ source: 'none', target, fsType: '', flags: MOUNT_FLAGS.private });
      mounts.unmount(target, { lazy: true });
    } catch { /* went with another one */ }
  }
}

/** Processes that were started with a path below `root`, such as conmon and crun, or that work in it. */
export function processesOf(root: string): Array<{ pid: number; command: string }> {
  const found: Array<{ pid: number; command: string }> = [];
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const pid = Number(name);
    if (pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      if (mentions(command, root) || mentions(readlinkSync(`/proc/${pid}/cwd`), root)) {
        if (processes.startTicks(pid) !== undefined) found.push({ pid, command });
      }
    } catch { /* gone in between, or a thread of the kernel */ }
  }
  return found;
}

function mountsBelow(root: string) {
  return mounts.list().filter(({ target, source }) => mentions(target, root) || mentions(source, root));
}

function loopsOf(root: string): string[] {
  return readdirSync('/sys/block').filter((name) => name.startsWith('loop')).flatMap((name) => {
    try {
      const file = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
      return mentions(file, root) ? [`loop device ${name}: ${file}`] : [];
    } catch { return []; } // bound to nothing
  });
}

function namedNetworks(): string[] {
  try { return readdirSync('/run/netns').map((name) => `network namespace ${name}`); }
  catch { return []; }
}

/** /tmp/vq-a is not mentioned by /tmp/vq-ab. */
function mentions(text: string, root: string): boolean {
  for (let at = text.indexOf(root); at >= 0; at = text.indexOf(root, at + 1)) if (!/[\w.-]/.test(text.charAt(at + root.length))) return true;
  return false;
}
