// The executable: argv decides whether we are the command line, the daemon or a worker of the daemon. Nothing else ends the process.
import { basename } from 'node:path';
import { isSea } from 'node:sea';
import { messageOf } from './lib/errors.ts';

const [, self = '', ...words] = process.argv;
// Each door is imported when it is needed: the command line must not load a daemon, nor a worker a command line.
const [door, inside] = doorOf(basename(self), words);
try {
  process.exitCode = await open(door, inside);
} catch (error) {
  process.stderr.write(`vaquita${door === 'cli' ? '' : ` ${door}`}: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
// What is written to a pipe that is full goes on its way later, and would be lost.
if (door === 'cli') await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// An open stdin or a kept-alive connection would hold on to a finished command; a worker or daemon has closed its own when it is done.
if (door !== 'worker') process.exit();

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => { if (stream.writableLength === 0) resolve(); else stream.write('', () => resolve()); });
}

type Door = 'cli' | 'daemon' | 'worker';

function doorOf(name: string, all: readonly string[]): [Door, readonly string[]] {
  if (name === 'vaquitad') return ['daemon', all];
  if (all[0] === 'daemon' || all[0] === 'worker') return [all[0], all.slice(1)];
  return ['cli', all];
}

async function open(which: Door, rest: readonly string[]): Promise<number> {
  switch (which) {
    case 'daemon': {
      const { runDaemon } = await import('./daemon/daemon.ts');
      return runDaemon(rest, process.env, selfCommand());
    }
    case 'worker': {
      return await runWorker(rest[0] ?? '');
    }
    case 'cli': {
      const [{ openClientFor, runCli }, { openTerminal }] = await Promise.all([import('./cli/cli.ts'), import('./terminal.ts')]);
      // As a program that SIGPIPE ended would be reported by the shell: `images | head -1` is no failure worth a word.
      const io = openTerminal({ onBrokenPipe: () => process.exit(128 + 13) });
      return runCli(rest, await openClientFor(rest, io), io);
    }
  }
}

async function runWorker(role: string): Promise<number> {
  switch (role) {
    case 'copy': (await import('./store/copy-worker.ts')).runCopyWorker(); return 0;
    case 'make': (await import('./maker/make-worker.ts')).runMakeWorker(); return 0;
    case 'mount': (await import('./kernel/mount-worker.ts')).runMountWorker(); return 0;
    case 'rootfs': return (await import('./rootfs/rootfs-worker.ts')).runRootFsWorker();
    case 'extract': (await import('./store/extract-worker.ts')).runExtractWorker(); return 0;
    default: throw new Error(`no such worker: ${role}`);
  }
}

/** What starts this executable again, without further words. */
function selfCommand(): string[] {
  return isSea() ? [process.execPath] : [process.execPath, ...process.execArgv, self];
}
