// What happens to containers by themselves: their health, their restarts, their removal; and how all of it is told.
import { until } from '../../kit/poll.ts';
import type { Scene, Story } from '../scene.ts';
import { up } from './settled.ts';

const SLEEP = 'IMAGE sleep 1000';
/** Ends with 5 when it is told to. */
const TRAP = 'IMAGE sh -c "trap \'exit 5\' TERM; echo up; while :; do sleep 0.05; done"';
const HEALTH_EVENTS = /^\S+ (health_status|start|pause|unpause|die)\b/;
const HEALTH = 'inspect -f "{{.State.Status}} {{.State.Health.Status}}"';

export const courseStories: readonly Story[] = [
  { name: 'health', once: true, tell: async (scene) => {
    await using past = recorded(scene, 'a');
    await scene.do(`run -d --name @a --health-cmd "echo looking; test -e /tmp/ok" --health-interval 300ms --health-retries 2 ${SLEEP}`);
    await scene.do(`run -d --name @s --health-cmd true --health-interval 1h ${SLEEP}`);
    await scene.sayAll(`${HEALTH} @s`, 'ps --filter name=@s --format {{.Status}}', 'ps -a --filter health=starting --filter name=@s --format {{.Names}}');
    await turns(scene, 'a', 'unhealthy');
    await scene.sayAll(`${HEALTH} @a`, 'inspect -f "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}" @a', 'ps --filter name=@a --format {{.Status}}', 'ps --filter health=healthy --filter name=@a --format {{.Names}}');
    await scene.do('exec @a touch /tmp/ok');
    await turns(scene, 'a', 'healthy');
    await until('five results', async () => await scene.do('inspect -f "{{len .State.Health.Log}}{{range .State.Health.Log}} {{.ExitCode}}{{end}}" @a') === '5 0 0 0 0 0', 60_000);
    await scene.sayAll('ps --filter name=@a --format {{.Status}}', 'inspect -f "{{.State.Health.FailingStreak}} {{len .State.Health.Log}}" @a', 'pause @a', `${HEALTH} @a`, 'ps --filter name=@a --format {{.Status}}', 'unpause @a');
    await turns(scene, 'a', 'healthy');
    await scene.sayAll('stop -t 0 @a', `${HEALTH} @a`, 'ps -a --filter health=unhealthy --filter name=@a --format {{.Names}}', 'start @a');
    await turns(scene, 'a', 'healthy');
    await scene.sayAll('rm -f @a', 'ps -a --filter health=bad');
    scene.note('told', await past.told(HEALTH_EVENTS));
  } },
  { name: 'healthfail', once: true, tell: async (scene) => {
    const one = '--health-interval 300ms --health-retries 1';
    // One that hangs is not told: dockerd 20.10 at times answers no inspect of it any more.
    await scene.do(`run -d --name @long --health-cmd "head -c 5000 /dev/zero | tr '\\0' x" ${one} ${SLEEP}`);
    await scene.do(`run -d --name @off --no-healthcheck ${SLEEP}`);
    await scene.do(`run -d --name @code --health-cmd "exit 77" ${one} ${SLEEP}`);
    for (const [name, status] of [['long', 'healthy'], ['code', 'unhealthy']] as const) await turns(scene, name, status);
    await scene.sayAll('inspect -f "{{(index .State.Health.Log 0).ExitCode}} {{len (index .State.Health.Log 0).Output}}" @long',
      'inspect -f "{{(index .State.Health.Log 0).ExitCode}}" @code', 'inspect -f "{{json .State.Health}} {{json .Config.Healthcheck}}" @off', 'inspect -f "{{json .Config.Healthcheck}}" @long', 'ps -a --filter health=none --filter name=@off --format {{.Names}}');
    await scene.sayAll(`create --name @z --health-interval 1us ${SLEEP}`, `create --name @z --health-interval=-1s ${SLEEP}`, `create --name @z --health-retries=-1 ${SLEEP}`, `create --name @z --no-healthcheck --health-cmd x ${SLEEP}`, `create --name @z --health-timeout 1us ${SLEEP}`);
  } },
  { name: 'restartpolicy', once: true, tell: async (scene) => {
    await using past = recorded(scene, 'c');
    await scene.do(`run -d --restart unless-stopped --name @u ${TRAP}`);
    await scene.do('run -d --restart on-failure --name @f IMAGE sh -c "exit 0"');
    await scene.do('run -d --restart always --name @c IMAGE sh -c "exit 3"');
    await until('more than three runs', async () => Number(await scene.do('inspect -f {{.RestartCount}} @c')) >= 4, 60_000); // it counts before it tells
    scene.note('told first', (await past.told(/^\S+ (start|die)\b/)).split('\n').slice(0, 6).join('\n'));
    await whileRestarting(scene, 'inspect -f "{{.State.Status}} {{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}} {{.State.Pid}}" @c', 'ps --filter name=@c --format "{{.State}} {{.Status}}"', 'ps -a --filter status=restarting --filter name=@c --format {{.Names}}', 'exec @c true', 'top @c', 'pause @c', 'unpause @c', 'start @c', 'rm @c');
    await scene.sayAll('stop @c', 'inspect -f "{{.State.Status}} {{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}}" @c', 'stop @c', 'kill @c', 'rm @c');
    await scene.sayAll('inspect -f "{{.RestartCount}} {{.State.Status}}" @f', 'inspect -f "{{.HostConfig.RestartPolicy}}" @f', 'inspect -f "{{.HostConfig.RestartPolicy}}" @u');
    await scene.say('stop @u');
    await scene.sayAll('inspect -f "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}" @u', 'start @u', 'inspect -f "{{.State.Status}} {{.RestartCount}}" @u', 'kill @u', 'wait @u', 'inspect -f "{{.State.Status}} {{.State.ExitCode}}" @u');
    await scene.sayAll(`create --name @z --restart always:3 ${SLEEP}`, `create --name @z --restart on-failure:x ${SLEEP}`, `create --name @z --restart on-failure:-1 ${SLEEP}`, `run --rm --name @z --restart always ${SLEEP}`);
  } },
  { name: 'autoremove', once: true, tell: async (scene) => {
    await using past = recorded(scene, 'a', 'b', 'c', 'd');
    await scene.say('run --rm --name @a IMAGE sh -c "exit 4"');
    await scene.say('run --rm --name @b IMAGE /no/such');
    // It heeds the signal, and is not restarted: what dockerd makes of --rm when it kills or restarts is a race of its own.
    await scene.do(`run -d --rm --name @c ${TRAP}`);
    await up(scene, 'c', 1);
    await scene.sayAll('inspect -f "{{.State.Status}} {{.HostConfig.AutoRemove}}" @c', 'stop -t 30 @c');
    await scene.do(`run -d --rm --name @d ${SLEEP}`);
    await scene.sayAll('pause @d', 'kill @d');
    for (const name of ['a', 'b', 'c', 'd']) await gone(scene, name);
    await scene.sayAll('inspect @b', 'wait @c', 'start @d', 'rm @a');
    await past.sees(/( destroy [^]*){4}/); // dockerd forgets a container first
    // Whether "stop" is told before "destroy", and whether one is told of to its end before the next one begins, are races in dockerd.
    const told = (await past.told()).split('\n').filter((line) => !line.includes(' stop '));
    for (const name of ['a', 'b', 'c', 'd']) scene.note(`told of ${name}`, told.filter((line) => line.startsWith(`${scene.name(name)} `)).join('\n'));
    scene.note('told of others', told.filter((line) => !['a', 'b', 'c', 'd'].some((name) => line.startsWith(`${scene.name(name)} `))));
  } },
  { name: 'signals', once: true, tell: async (scene) => {
    await using past = recorded(scene, 'p', 'q');
    await scene.do(`run -d --name @p ${TRAP}`);
    await up(scene, 'p', 1);
    await scene.sayAll('pause @p', 'kill -s TERM @p', 'wait @p', 'inspect -f "{{.State.Status}} {{.State.ExitCode}} {{.State.Paused}}" @p', 'start @p');
    await up(scene, 'p', 2);
    await scene.sayAll('pause @p', 'restart -t 30 @p', 'inspect -f "{{.State.Status}} {{.State.Paused}}" @p');
    await up(scene, 'p', 3);
    await scene.sayAll('pause @p', 'stop -t 30 @p', 'inspect -f "{{.State.Status}} {{.State.ExitCode}}" @p', 'pause @p', 'unpause @p', 'top @p', 'restart -t 30 @p', 'inspect -f "{{.State.Status}}" @p');
    await up(scene, 'p', 4);
    await scene.do('run -d --name @q --stop-signal RTMIN+3 IMAGE sh -c "trap \'exit 9\' RTMIN+3; trap \'exit 9\' 37; echo up; while :; do sleep 0.05; done"');
    await up(scene, 'q', 1);
    await scene.sayAll('inspect -f {{.Config.StopSignal}} @q', 'stop -t 30 @q', `create --name @z --stop-signal NOSUCH ${SLEEP}`, `create --name @z --stop-signal 0 ${SLEEP}`, 'kill -s 0 @p', 'kill -s RTMIN+40 @p', 'kill -s SIGNOSUCH @p', 'kill -s CONT @p', 'kill -s sigcont @p', 'kill -s 18 @p', 'stop -t 30 @p');
    scene.note('told', await past.told());
  } },
  { name: 'renames', once: true, tell: async (scene) => {
    await using past = recorded(scene, 'aa', 'bb', 'cc');
    await scene.do(`run -d --name @aa ${SLEEP}`);
    await scene.do('create --name @bb IMAGE true');
    await scene.sayAll('rename @aa @aa', 'rename @aa /@aa', 'rename @aa @bb', 'rename @aa b:d', 'rename @aa x', 'rename @aa ""', 'rename @nosuch @cc', 'rename @aa /@cc', 'inspect -f {{.Name}} @cc', 'inspect -f {{.Name}} /@cc', 'inspect @aa', 'rename @bb @aa', 'ps -a --filter name=@ --format "{{.Names}} {{.State}}"',
      'rm --link @cc', 'rm --link @nosuch', 'rm -f @cc', 'rm -f @aa');
    scene.note('told', await past.told());
  } },
  { name: 'tops', once: true, tell: async (scene) => {
    await scene.do(`run -d --name @a ${SLEEP}`);
    await scene.do('create --name @b IMAGE true');
    await until('the program to be what it shall be', async () => (await scene.do('top @a -eo pid,comm')).includes('sleep'));
    await scene.sayAll('top @a -o comm', 'top @a -o pid=x', 'top @a -o ppid=PID', 'top @a -eo pid,comm', 'top @a --nosuch', 'top @b', 'top @b -o pid');
  } },
  { name: 'execlast', once: true, tell: async (scene) => {
    await using past = recorded(scene, 'a');
    await scene.do(`run -d --name @a -e FROM=image ${SLEEP}`);
    await scene.sayAll('exec -e FROM=exec -e NEW=1 @a sh -c "echo $FROM $NEW"', 'exec -u 1000:1000 -w /tmp @a sh -c "id; pwd"', 'exec -d @a sh -c "exit 9"', 'exec -t @a sh -c "test -t 1 && echo terminal"', 'exec @a sh -c "exit 200"', 'exec --detach-keys nosuch @a true');
    await noExecs(scene);
    await scene.say('inspect -f "{{.ExecIDs}}" @a');
    await scene.do('exec -d @a sleep 1000');
    await scene.sayAll('inspect -f "{{len .ExecIDs}}" @a', 'stop -t 0 @a');
    await noExecs(scene);
    await scene.sayAll('inspect -f "{{.ExecIDs}}" @a', 'exec @a true', 'start @a', 'exec @a echo again', 'pause @a', 'exec @a true', 'exec -d @a true', 'unpause @a', 'rm -f @a', 'exec @a true');
    scene.note('told', (await past.told()).split('\n').filter((line) => !/ exec_/.test(line)).join('\n'));
    scene.note('execs told', (await past.told(/^\S+ exec_create\b/)).split('\n').length);
  } },
];

interface Recorded extends AsyncDisposable {
  /** All of it so far, or lines with these actions. */
  told(actions?: RegExp): Promise<string>;
  sees(pattern: RegExp): Promise<unknown>;
}

let marks = 0;

/** What is told of these containers from now on. Listened to all the while: both engines keep 256 events, and other stories are told beside this one. */
function recorded(scene: Scene, ...names: readonly string[]): Recorded {
  const since = (Date.now() / 1000).toFixed(3);
  const mine = [...names, 'mark'].map((name) => `--filter container=@${name}`).join(' ');
  const session = scene.open(`events --since ${since} ${mine} --format '{{.Actor.Attributes.name}} {{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.signal}} {{.Actor.Attributes.oldName}}'`, { timeoutMs: 600_000 });
  return {
    async told(actions) {
      // What was told before is there when something that is told later is.
      const mark = `mark${++marks}`;
      await scene.do(`create --name @${mark} IMAGE true`);
      await session.sees(new RegExp(`^${scene.name(mark)} create`, 'm'), 60_000);
      return session.stdout().split('\n').filter((line) => !line.startsWith(scene.name('mark')) && (!actions || actions.test(line))).join('\n');
    },
    sees: (pattern) => session.sees(pattern, 60_000),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

/** The end of a program that nobody waits for is told when it is noticed. */
const noExecs = (scene: Scene) => until('no further program to be known', async () => await scene.do('inspect -f "{{len .ExecIDs}}" @a') === '0');

const turns = (scene: Scene, name: string, status: string) => until(`${name} to be ${status}`, async () => await scene.do(`inspect -f {{.State.Health.Status}} @${name}`) === status, 60_000);

/** In one wait between two runs, which is twice as long each time: what was said over its end is said once more in the next one. */
async function whileRestarting(scene: Scene, ...list: readonly string[]): Promise<void> {
  const runs = () => scene.do('inspect -f "{{.RestartCount}} {{.State.Status}}" @c');
  const before = scene.said.length;
  await until('a wait that is longer than what is said meanwhile', async () => {
    const wait = await until('a wait', async () => { const now = await runs(); return Number.parseInt(now) >= 7 && now.endsWith(' restarting') && now; }, 120_000);
    scene.said.length = before;
    await scene.sayAll(...list);
    return await runs() === wait;
  }, 120_000);
}

async function gone(scene: Scene, name: string): Promise<void> {
  await until(`${name} to be gone`, async () => await scene.do(`ps -aq --filter name=^/${scene.name(name)}$`) === '');
}
