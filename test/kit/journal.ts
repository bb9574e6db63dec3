// A journal of a test's own, in a mount namespace of its own: the machine's is neither needed nor written to.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { receiveDatagrams, type Datagrams } from './datagrams.ts';
import { until } from './poll.ts';

export interface JournalSpace extends AsyncDisposable {
  /** Put in front of a command that is to find this journal. */
  readonly wrap: readonly string[];
}

/** /run/systemd is `folder` there; whoever binds `folder`/journal/socket is the journal. */
async function openSpace(folder: string, command: string): Promise<JournalSpace> {
  mkdirSync('/run/systemd', { recursive: true });
  for (const name of ['systemd/journal', 'log']) mkdirSync(join(folder, name), { recursive: true });
  const script = `mkdir -p /run/log && mount --bind "$0/systemd" /run/systemd && mount --bind "$0/log" /run/log && ${command}`;
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, folder], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const ended = new Promise<void>((resolve) => { child.once('close', () => resolve()); });
  return {
    wrap: ['nsenter', `--mount=/proc/${child.pid}/ns/mnt`, '--'],
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null) throw new Error(`the journal of the test ended by itself: ${said}`);
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Debian's journald, and journalctl beside it. */
export async function openRealJournal(folder: string): Promise<JournalSpace> {
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'journald.conf');
  // No limit on messages, since a test sends in a second what a device sends in a day.
  writeFileSync(config, '[Journal]\nStorage=volatile\nReadKMsg=no\nForwardToSyslog=no\nForwardToWall=no\nRateLimitBurst=0\n');
  const space = await openSpace(folder, `mount --bind ${config} /etc/systemd/journald.conf && exec /lib/systemd/systemd-journald`);
  await until('the journal to listen', () => run(space, ['test', '-S', '/run/systemd/journal/socket']));
  return space;
}

/** A receiver that keeps what it is sent, in the journal's place. */
export async function openReceivingJournal(folder: string): Promise<JournalSpace & { readonly received: Datagrams }> {
  const space = await openSpace(folder, 'exec sleep infinity');
  const received = await receiveDatagrams(join(folder, 'systemd/journal/socket'));
  await until('the name space', () => run(space, ['test', '-S', '/run/systemd/journal/socket']));
  return {
    ...space, received,
    [Symbol.asyncDispose]: async () => {
      await received[Symbol.asyncDispose]();
      await space[Symbol.asyncDispose]();
    },
  };
}

function run({ wrap }: JournalSpace, words: readonly string[]): Promise<boolean> {
  const [program = '', ...rest] = [...wrap, ...words];
  return new Promise((resolve) => { spawn(program, rest, { stdio: 'ignore' }).once('close', (code) => resolve(code === 0)); });
}
