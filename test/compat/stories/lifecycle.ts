// From start to removal: signals, waits, restarts, lists, execs.
import { until } from '../../kit/poll.ts';
import type { Scene, Story } from '../scene.ts';
import { PROMPT, SIZED, up } from './settled.ts';

const SLEEP = 'IMAGE sleep 1000';
const TRAP = 'IMAGE sh -c "trap \'exit 5\' TERM; trap \'exit 6\' HUP; echo up; while :; do sleep 0.05; done"';

export const lifecycleStories: readonly Story[] = [
  { name: 'stop', tell: async (scene) => {
    await scene.do(`run -d --name @a ${TRAP}`);
    await scene.do(`run -d --name @b ${SLEEP}`);
    await up(scene, 'a', 1);
    await scene.sayAll('stop @a', state('a'), 'stop @a', 'stop -t 1 @b', state('b'), 'stop @nosuch', 'start @a @b', 'stop -t 0 @b', state('b'), 'restart -t 0 @b', state('b'));
    await up(scene, 'a', 2);
    await scene.sayAll('kill -s HUP @a', 'wait @a', state('a'), 'kill @a', 'kill -s NOSUCH @b', 'kill -s 9 @b', 'wait @b', 'wait @a @b', 'wait @nosuch', 'kill @nosuch', 'restart @nosuch', 'kill', 'start', 'stop -t x @a');
    await scene.do('run -d --name @c --stop-signal HUP --stop-timeout 30 IMAGE sh -c "trap \'exit 8\' HUP; echo up; while :; do sleep 0.05; done"');
    await up(scene, 'c', 1);
    await scene.sayAll('stop @c', state('c'));
  } },
  { name: 'wait', once: true, tell: async (scene) => {
    await scene.do('run -d --name @a IMAGE sh -c "sleep 0.7; exit 4"');
    await scene.do('run -d --name @b IMAGE sh -c "sleep 0.3; exit 5"');
    await scene.sayAll('wait @a @b', 'ps -a --filter name=@ --format "{{.Names}} {{.State}}"');
    await scene.do('run -d --rm --name @c IMAGE sh -c "sleep 3; exit 6"'); // long enough for a client to be there before it is gone
    await scene.say('wait @c');
    await gone(scene, 'c');
    await scene.say('inspect @c');
    await scene.do('create --name @d IMAGE sh -c "exit 3"');
    await scene.sayAll('wait @d', 'start @d', 'wait @d', 'start @d', 'wait @d', 'rm @d');
  } },
  { name: 'pause', once: true, tell: async (scene) => {
    await scene.do(`run -d --name @a ${SLEEP}`);
    await scene.sayAll('unpause @a', 'pause @a', state('a'), 'pause @a', 'exec @a true', 'attach @a', 'start @a', 'ps --filter name=@a --format "{{.Status}}|{{.State}}"', 'ps -q --filter name=@a --filter status=running --format {{.Names}}',
      'ps --filter name=@a --filter status=paused --format {{.Names}}', 'rm @a', 'unpause @a', state('a'), 'pause @nosuch', 'top @a', 'top @a -o pid,args', 'top @a -eo pid,comm', 'top @nosuch', 'pause @a', 'stop -t 1 @a', state('a'), 'pause @a', 'unpause @a', 'top @a');
    await scene.do(`run -d --name @b ${SLEEP}`);
    await scene.sayAll('pause @b', 'kill @b', 'unpause @b', 'wait @b', 'rm -f @b');
  } },
  { name: 'remove', once: true, tell: async (scene) => {
    await scene.do(`run -d --name @a ${SLEEP}`);
    await scene.sayAll('rm @a', 'rm -f @a', 'rm @a', 'rm -f @a', 'rm', `create --name @b ${SLEEP}`, 'rm -v @b', 'container prune -f --filter label=nosuch');
    await scene.say('run --rm --name @c IMAGE true');
    await gone(scene, 'c');
    await scene.say('inspect @c');
    await scene.do(`run -d --rm --name @d ${SLEEP}`);
    await scene.say('stop -t 0 @d'); // whether it is gone at once is not compared: dockerd removes it a moment later
  } },
  { name: 'restart', once: true, tell: async (scene) => {
    await scene.do('run -d --restart on-failure:2 --name @a IMAGE sh -c "echo try; exit 3"');
    await settled(scene, 'a');
    await scene.sayAll('inspect -f "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}} {{.State.Restarting}}" @a', 'logs @a');
    await scene.do('run -d --restart on-failure:2 --name @b IMAGE true');
    await settled(scene, 'b');
    await scene.say('inspect -f "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}" @b');
    await scene.do(`run -d --restart always --name @c ${TRAP}`);
    await up(scene, 'c', 1);
    await scene.sayAll('restart -t 30 @c', state('c'), 'inspect -f {{.RestartCount}} @c');
    await up(scene, 'c', 2);
    await scene.sayAll('stop -t 30 @c', state('c'), 'start @c', 'rm -f @c');
    await scene.do('run -d --restart always --name @d IMAGE sh -c "exit 1"');
    await scene.sayAll('stop @d', 'inspect -f "{{.State.Status}}" @d');
  } },
  { name: 'ps', tell: async (scene) => {
    await scene.do(`run -d --name @run --network none -l role=one -l tier=2 ${SLEEP}`);
    await scene.do('run --name @done --network none -l role=two IMAGE sh -c "exit 3"').catch(() => '');
    await scene.do('create --name @new --network host -l role=three IMAGE echo "a long command line with many words in it"');
    const all = ['', '-a', '-aq', '-a --no-trunc', '-as', '-a --format {{.Names}}|{{.Image}}|{{.State}}|{{.Ports}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}', '-a --format {{.Command}}', `-a --format '{{.Label "role"}}'`, '-a --format "{{.Status}}"', '-a --format "table {{.Names}}\\t{{.State}}"', '-a --format "{{json .Names}}"',
      '-a --filter status=exited', '--filter status=created', '-a --filter status=running --format {{.Names}}', '-a --filter exited=3 --format {{.Names}}', '-a --filter exited=0 --format {{.Names}}', '-a --filter label=role --format {{.Names}}', '-a --filter label=role=one --format {{.Names}}',
      '-a --filter label=role=one --filter label=tier=3 --format {{.Names}}', '-a --filter since=@run --format {{.Names}}', '-a --filter before=@new --format {{.Names}}', '-a --filter ancestor=IMAGE --format {{.Names}}', '-a --filter network=none --format {{.Names}}',
      '-a --filter ancestor=nosuch:image --format {{.Names}}', '-a --filter nosuch=1', '-a --filter status=nosuch', '-a --filter health=none --format {{.Names}}', '-a --filter is-task=true', '-a --filter before=@nosuch', '-a --filter exited=x', '-l --format {{.Names}}x'];
    for (const words of all.slice(0, -1)) await scene.say(`ps ${words} --filter name=^/@`.replace('^/@', `^/${scene.name('')}`));
  } },
  { name: 'exec', tell: async (scene) => {
    await scene.do(`run -d --name @a -e FROM=container -w /tmp ${SLEEP}`);
    await scene.sayAll('exec @a echo hi', 'exec @a sh -c "echo out; echo err >&2; exit 3"', 'exec @a nosuch', 'exec @a /etc/passwd', 'exec @a pwd', 'exec -w /etc @a pwd', 'exec -w /nosuch @a pwd', 'exec -e A=1 @a sh -c "echo $A $FROM $HOME $PATH"', 'exec -u 1000 @a id', 'exec -u nobody @a sh -c "id; echo $HOME"', 'exec -u nosuch @a id',
      'exec -d @a sh -c "echo made > /tmp/made"', 'exec -d @a nosuch', 'exec --privileged @a true', 'exec @nosuch true', 'exec @a', 'exec @a sh -c "kill -9 $$"', 'exec @a sh -c "grep -E \'^(Cap|NoNew|Seccomp:)\' /proc/self/status"');
    await scene.say('exec -i @a cat', { input: 'typed' });
    await scene.say('exec @a cat', { input: 'unread' });
    await scene.say('exec -i @a sh -c "cat; sleep 0.4; echo late"', { input: 'early\n' });
    await scene.say('exec -it @a true', { input: '' });
    await scene.say('exec -t @a sh -c "echo out; echo err >&2"', { input: '' });
    for (const [words, typed] of [['exec -it @a sh -c "until stty size 2>/dev/null | grep 80; do sleep 0.05; done; read x; echo got $x; exit 4"', 'line\r'], ['exec -it @a sh', `${SIZED} echo $0; exit 5\r`], ['exec -it --detach-keys ctrl-x @a sh -c "echo up; exec cat"', '\x18']] as const) {
      await using session = scene.openPty(words);
      if (/stty/.test(words)) await session.sees(/24 80/);
      else if (words.endsWith('sh')) await session.sees(PROMPT);
      else { await session.sees(/up/); session.write('y\r'); await session.sees(/y\r\ny\r\n/); }
      session.write(typed);
      scene.keep(words, await session.outcome);
    }
    await scene.say('inspect -f "{{json .State.Status}}" @a');
    await scene.do('kill @a');
    await scene.do('wait @a');
    await scene.sayAll('exec @a true', 'exec -it @a true', 'exec -d @a true');
  } },
];

const state = (name: string) => `inspect -f "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid | eq 0}} {{.State.Error}}" @${name}`;

/** A removed one answers `wait` before it is gone, and dockerd shows it as "removing" until then. */
async function gone(scene: Scene, name: string): Promise<void> {
  await until(`${name} to be gone`, async () => await scene.do(`ps -aq --filter name=^/@${name}$`.replace('^/@', `^/${scene.name('')}`)) === '');
}

async function settled(scene: Scene, name: string): Promise<void> {
  await until(`${name} to settle`, async () => {
    const [count, status] = (await scene.do(`inspect -f "{{.RestartCount}} {{.State.Status}}" @${name}`)).split(' ');
    return status === 'exited' && (count === '2' || name === 'b');
  }, 60_000);
}
