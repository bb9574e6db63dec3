// The engine about itself: version, info, events.
import { until } from '../../kit/poll.ts';
import type { Story } from '../scene.ts';

const EVENTS = '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.signal}} {{.Status}} {{.From}}';

export const systemStories: readonly Story[] = [
  { name: 'version', tell: (scene) => scene.sayAll(
    'version -f "{{.Server.Os}}/{{.Server.Arch}} {{.Server.Experimental}} {{.Client.Version}}"', 'version --format "{{.Server.NoSuch}}"', 'version -f "{{json .Client.Os}}"',
    'info -f "{{.OSType}} {{.Architecture}} {{.NCPU}} {{.MemTotal}} {{.Driver}} {{.LoggingDriver}} {{.CgroupDriver}} {{.CgroupVersion}} {{.OperatingSystem}} {{.KernelVersion}} {{.Name}}"', 'info -f "{{.Swarm.LocalNodeState}} {{.Debug}} {{.MemoryLimit}} {{.SwapLimit}} {{.PidsLimit}} {{.OomKillDisable}} {{.CPUShares}} {{.CPUSet}} {{.CpuCfsQuota}} {{.IPv4Forwarding}} {{.BridgeNfIptables}}"',
    'info -f "{{json .DriverStatus}}"', 'info -f "{{json .Plugins.Volume}}"', 'info --format "{{.NoSuch}}"', 'info', 'version', 'nosuch', '--nosuch', 'wait --help', 'system info -f {{.OSType}}', 'ps extra',
  ) },
  { name: 'events', tell: async (scene) => {
    const since = String(Math.floor(Date.now() / 1000));
    await scene.do('run --name @a -l role=one IMAGE sh -c "exit 3"').catch(() => '');
    await scene.do('start @a');
    await scene.do('wait @a');
    await scene.do('rename @a @b');
    await scene.do('run -d --name @c IMAGE sleep 1000');
    for (const words of ['exec @c true', 'pause @c', 'unpause @c', 'kill -s CONT @c', 'restart -t 0 @c', 'stop -t 0 @c', 'rm @c', 'rm @b']) await scene.do(words);
    const end = String(Math.floor(Date.now() / 1000) + 1);
    await new Promise((resolve) => { setTimeout(resolve, 1100); });
    const past = `events --since ${since} --until ${end}`;
    const mine = ['a', 'b', 'c'].map((name) => `--filter container=@${name}`).join(' ');
    await scene.say(`${past} ${mine}`);
    await scene.say(`${past} ${mine} --format '${EVENTS}'`);
    await scene.say(`${past} ${mine} --filter event=die --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}'`);
    await scene.say(`${past} ${mine} --filter event=start --filter event=create --format '{{.Action}}'`);
    await scene.say(`${past} ${mine} --filter label=role=one --format '{{.Action}}'`);
    await scene.say(`${past} ${mine} --filter type=image`);
    await scene.say(`${past} ${mine} --filter event=die --format '{{json .}}'`);
    await scene.say(`${past} --filter image=nosuch`);
    await scene.sayAll('events --since nonsense', 'events --filter nosuch --until 1', 'events --format "{{.Nope}}" --since 1 --until 2');
    await using session = scene.open(`events --filter container=@live --format '{{.Action}}'`);
    // The client says nothing when it listens: what it tells of a whole life is compared.
    const life = await until('a life to be told of', async () => {
      await scene.do('run --rm --name @live IMAGE true');
      return /^create$[^]*?^destroy$/m.exec(session.stdout())?.[0];
    });
    session.signal('SIGTERM');
    await session.outcome;
    scene.note('live', life);
  } },
  { name: 'imageevents', tell: async (scene) => {
    const since = String(Math.floor(Date.now() / 1000));
    for (const words of ['pull -q EVENTIMAGE', 'tag EVENTIMAGE @ev:1', 'rmi @ev:1', 'rmi EVENTIMAGE']) await scene.do(words);
    const end = String(Math.floor(Date.now() / 1000) + 1);
    await new Promise((resolve) => { setTimeout(resolve, 1100); });
    const id = 'sha256';
    await scene.say(`events --since ${since} --until ${end} --filter type=image --filter event=tag --filter event=untag --filter event=pull --format '{{.Action}} {{.Actor.Attributes.name}}' --filter label=story=event --filter label=cli=${scene.name('').startsWith('d') ? 'debian' : 'newer'}`);
    scene.note('id', id);
  } },
];
