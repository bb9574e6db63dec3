// Input and output of programs: pipes, terminals, attach, detach, logs.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import type { Session } from '../../kit/docker.ts';
import type { Scene, Story } from '../scene.ts';
import { PROMPT, SIZED } from './settled.ts';

const MEGABYTE = randomBytes(1 << 20);
const DETACH = '\x10\x11'; // ctrl-p ctrl-q

export const streamStories: readonly Story[] = [
  { name: 'stdin', tell: async (scene) => {
    await scene.say('run --rm -i IMAGE cat', { input: 'typed\n' });
    await scene.say('run --rm -i IMAGE sh -c "cat; sleep 0.5; echo late; echo err >&2"', { input: 'early\n' });
    await scene.say('run --rm IMAGE cat', { input: 'nobody reads this' });
    await scene.say('run --rm -i IMAGE true', { input: 'nobody reads this' });
    await scene.say('run --rm -i IMAGE head -c 3', { input: 'abcdef' });
    await scene.say('run --rm -t IMAGE sleep 0.5', { input: '' });
    await scene.say('run --rm -it IMAGE true', { input: '' });
    await scene.say('run --rm -a stderr IMAGE sh -c "echo out; echo err >&2"');
    await scene.say('run --rm -a stdin -a stdout -i IMAGE sh -c "cat; echo err >&2"', { input: 'in' });
    const big = await scene.say('run --rm -i IMAGE cat', { input: MEGABYTE });
    scene.note('1 MiB through it', createHash('sha256').update(big.stdoutBytes).digest('hex') === createHash('sha256').update(MEGABYTE).digest('hex'));
    await scene.say('run --rm -i IMAGE sh -c "md5sum >&2; dd if=/dev/zero bs=64k count=16 2>/dev/null | md5sum"', { input: MEGABYTE.subarray(0, 0) });
  } },
  { name: 'tty', tell: async (scene) => {
    await typed(scene, 'run --rm -it IMAGE sh -c "until stty size 2>/dev/null | grep 80; do sleep 0.05; done; tty; read x; echo got $x; exit 3"', [/pts/, 'line\r']);
    await typed(scene, 'run --rm -it -e TERM IMAGE sh', [PROMPT, `${SIZED} echo $TERM; exit 4\r`]);
    await typed(scene, `run --rm -t IMAGE sh -c "echo out; echo err >&2; ${seen(80)}"`, []); // a client complains when what it tells the size of has ended
    await typed(scene, `run --rm -it IMAGE sh -c "trap 'echo int; exit 9' INT; ${seen(80)}; echo up; read x; read x"`, [/up/, '\x03']);
    await typed(scene, `run --rm -it IMAGE sh -c "${seen(80)}; echo up; exec cat"`, [/up/, 'line\r', /line\r\nline/, '\x04']);
    await resized(scene);
  } },
  { name: 'detach', tell: async (scene) => {
    await typed(scene, `run -it --name @a IMAGE sh -c "${seen(80)}; echo up; while read x; do echo got $x; done"`, [/up/, 'one\r', /got one\r\n/, DETACH]);
    await scene.say('inspect -f "{{.State.Running}}" @a');
    await attachedAt(scene, 'attach @a', 'two', DETACH);
    await attachedAt(scene, 'attach --detach-keys ctrl-x,x @a', 'three', '\x18x');
    await attachedAt(scene, 'attach @a', 'four', '\x04');
    await scene.say('logs @a');
    await scene.say('wait @a');
    await typed(scene, 'start -ai @a', [/up/, 'five\r', /got five/, '\x04']);
    await scene.sayAll('inspect -f "{{.State.ExitCode}}" @a', 'attach @a', 'attach @nosuch', 'attach --detach-keys bad-keys @a');
  } },
  { name: 'attach', tell: async (scene) => {
    await scene.do('run -d -i --name @a IMAGE sh -c "while read x; do [ $x = end ] && exit 7; echo out $x; echo err $x >&2; done"');
    const attached = scene.open('attach @a');
    await answered(attached, 'one');
    attached.write('end\n');
    scene.keep('attach @a: the program ends', await attached.outcome);
    await scene.say('wait @a');
    await scene.do('run -d --name @b IMAGE sh -c "until test -e /go; do echo tick; sleep 0.1; done; echo late; exit 5"');
    const looking = scene.open('attach --no-stdin @b');
    await looking.sees(/tick/);
    await scene.do('exec @b touch /go');
    const seenLate = await looking.outcome;
    scene.keep('attach --no-stdin @b', { ...seenLate, stdout: seenLate.stdout.replaceAll('tick\n', '') });
    await scene.do('run -d --name @c IMAGE sh -c "trap \'echo caught; exit 6\' TERM; while :; do echo tick; sleep 0.1; done"');
    const signalled = scene.open('attach @c');
    await signalled.sees(/tick/); // a client says nothing when it is attached: its output does
    signalled.signal('SIGTERM');
    const ended = await signalled.outcome;
    scene.keep('attach @c: SIGTERM', { ...ended, stdout: ended.stdout.replaceAll('tick\n', '') });
    await scene.do('create -i --name @d IMAGE cat');
    await scene.say('start -ai @d', { input: 'first\n' });
    await scene.say('start -ai @d', { input: 'second\n' });
    await scene.sayAll('logs @d', 'start @nosuch', 'start -a @nosuch', 'start @d @nosuch');
  } },
  { name: 'logs', tell: async (scene) => {
    await scene.do('run --name @a IMAGE sh -c "echo one; sleep 0.4; echo two >&2; sleep 0.4; echo three; printf unended"');
    await scene.sayAll('logs @a', 'logs --tail 2 @a', 'logs --tail 0 @a', 'logs -n all @a', 'logs --tail x @a', 'logs -t @a', 'logs --since 1h @a', 'logs --until 1h @a',
      'logs --since 2000-01-01T00:00:00 --tail 1 @a', 'logs --since nonsense @a', 'logs --details @a', 'logs @nosuch', 'logs -f @a');
    await scene.do('run -d --name @b IMAGE sh -c "echo early; sleep 1.2; echo middle >&2; sleep 1; echo late; exit 3"');
    const followed = scene.say('logs -f @b');
    await followed;
    const [, middle = ''] = (await scene.do('logs -t @b')).match(/(\S+) late/) ?? [];
    await scene.say('logs --tail 1 -f @b');
    scene.note('since is a cut', (await scene.do(`logs --since ${middle} @b`)).trim());
    scene.note('until is a cut', (await scene.do(`logs --until ${middle} @b`)).trim());
    await scene.do('run --name @t -t IMAGE sh -c "echo out; echo err >&2"');
    await scene.say('logs @t');
    await scene.do('run -d --log-driver none --name @none IMAGE echo unheard');
    await scene.do('wait @none');
    await scene.say('logs @none');
    await scene.do('create --name @new IMAGE true');
    await scene.say('logs @new');
    await scene.do('run --name @long IMAGE sh -c "head -c 40000 /dev/zero | tr \'\\0\' x; echo; echo end"');
    scene.note('a line of 40000', (await scene.do('logs @long')).split('\n').map((line) => line.length));
  } },
];

/** With a terminal: waits for each pattern, types each text, keeps the answer. */
async function typed(scene: Scene, words: string, steps: ReadonlyArray<RegExp | string>): Promise<void> {
  await using session = scene.openPty(words);
  for (const step of steps) {
    if (step instanceof RegExp) await session.sees(step);
    else session.write(step);
  }
  scene.keep(words, await session.outcome);
}

/** A program that waits until its terminal is that wide. */
const seen = (columns: number) => `until stty size 2>/dev/null | grep ${columns}; do sleep 0.05; done`;

/** The window grows while the program runs. */
async function resized(scene: Scene): Promise<void> {
  const words = `run --rm -it IMAGE sh -c "${seen(80)}; ${seen(100)}; exit 2"`;
  await using session = scene.openPty(words);
  await session.sees(/24 80/);
  const [client] = readFileSync(`/proc/${session.pid}/task/${session.pid}/children`, 'utf8').split(' ');
  execFileSync('stty', ['-F', readlinkSync(`/proc/${client}/fd/0`), 'rows', '30', 'cols', '100']);
  const { code, stdout } = await session.outcome;
  scene.note('a window grows', [code, /^30 100\r$/m.test(stdout)]);
}

/** What is typed before the client has made the terminal raw is echoed by that, so only what comes after counts. */
async function attachedAt(scene: Scene, words: string, line: string, leave: string): Promise<void> {
  await using session = scene.openPty(words);
  await new Promise((resolve) => { setTimeout(resolve, 700); }); // a client says nothing when it is attached
  session.write(`${line}\r`);
  await session.sees(new RegExp(`got ${line}\r\n`));
  session.write(leave);
  const ended = await session.outcome;
  scene.keep(words, { ...ended, stdout: ended.stdout.slice(ended.stdout.indexOf(`got ${line}`)) });
}

/** What is written before the attachment is kept by the client, so one line is enough. */
async function answered(session: Session, line: string): Promise<void> {
  session.write(`${line}\n`);
  await session.sees(new RegExp(`out ${line}`));
}
