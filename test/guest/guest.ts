// A machine of its own, emulated in software: one that really has nothing but cgroup v2. A program runs in it and tells what it found.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { guestBase, makeDisk, type Base, type Init, type Machine } from './base.ts';

const SOURCE = join(import.meta.dirname, '../../src/main.ts');
const WORK_BYTES = 256 << 20;
const MEMORY_MB = 1024;
/** What is kept of the console for a failure's message. */
const CONSOLE_TAIL = 20_000;
/** Before a line that is meant for the test. */
export const MARK = '@@';

export interface GuestOptions {
  /** A source file: bundled, and run by Node.js in the guest. It tells facts by `tell` of inside/tell.ts. */
  program: string;
  /** Becomes the guest's second disk, mounted at /bench: what is in it may be changed there and is lost. */
  folder: string;
  machine?: Machine;
  /** One by default: guests run beside each other. */
  cpus?: number;
  init?: Init;
  /** For the kernel's command line. AppArmor is off unless it is asked for: its programs are not in the guest. */
  kernelWords?: string;
  timeoutMs?: number;
}

/** Facts by name, in the order told. Fails with the console's last words when the guest hangs, crashes, or its program fails. */
export async function runGuest({ program, folder, machine = 'amd64', cpus = 1, init = 'plain', kernelWords = 'apparmor=0', timeoutMs = 570_000 }: GuestOptions): Promise<Map<string, unknown>> {
  const base = guestBase(machine, init);
  await bundleInto(folder, program);
  const disk = `${folder}.img`;
  makeDisk(folder, { path: disk, sizeBytes: WORK_BYTES });
  try {
    const { text, late } = await emulate(base, { machine, cpus, disk, kernelWords, timeoutMs });
    const lines = text.split(/\r*\n/).filter((line) => line.startsWith(MARK)).map((line) => JSON.parse(line.slice(MARK.length)) as { name: string; value: unknown });
    const facts = new Map(lines.map(({ name, value }) => [name, value]));
    if (late || !facts.has('end')) throw new Error(`the guest ${late ? `did not end within ${timeoutMs / 1000} s` : 'ended early'}; its console:\n${text.slice(-CONSOLE_TAIL)}`);
    return facts;
  } finally {
    rmSync(disk, { force: true });
  }
}

/** The engine and the test's program, whole and without a package: what is in the guest needs nothing else. */
async function bundleInto(folder: string, program: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const how = { bundle: true, format: 'esm', platform: 'node', target: 'node26', packages: 'external', legalComments: 'none', logLevel: 'warning', outExtension: { '.js': '.mjs' } } as const;
  await Promise.all([
    build({ ...how, entryPoints: [SOURCE], outdir: join(folder, 'engine'), splitting: true }),
    build({ ...how, entryPoints: { program }, outdir: folder }),
  ]);
}

/** The pointer authentication of later ARM processors costs an emulator half of its time. A kernel that counts ticks of a timer panics where the emulator is held up meanwhile. */
const EMULATORS = {
  amd64: { program: 'qemu-system-x86_64', board: 'q35', cpu: 'max', words: 'console=ttyS0 no_timer_check' },
  arm64: { program: 'qemu-system-aarch64', board: 'virt', cpu: 'cortex-a72', words: 'console=ttyAMA0' },
} as const;

interface Emulated { machine: Machine; cpus: number; disk: string; kernelWords: string; timeoutMs: number }

function emulate(base: Base, { machine, cpus, disk, kernelWords, timeoutMs }: Emulated): Promise<{ text: string; late: boolean }> {
  const emulator = EMULATORS[machine];
  const child = spawn(emulator.program, [
    '-accel', 'tcg', '-machine', emulator.board, '-cpu', emulator.cpu, '-smp', String(cpus), '-m', String(MEMORY_MB), '-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot',
    '-kernel', base.kernel, '-initrd', base.initrd, '-append', `${emulator.words} quiet loglevel=1 panic=-1 systemd.show_status=0 ${kernelWords}`,
    // What the guest writes is lost with it.
    '-drive', `file=${base.disk},format=raw,if=virtio,snapshot=on`, '-drive', `file=${disk},format=raw,if=virtio,snapshot=on`,
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let late = false;
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; });
  const timer = setTimeout(() => { late = true; child.kill('SIGKILL'); }, timeoutMs);
  return new Promise((resolve, reject) => {
    child.once('error', (error) => { clearTimeout(timer); reject(error); });
    child.once('close', () => { clearTimeout(timer); resolve({ text, late }); });
  });
}
