// Volumes from their making to their removal: verbs, use by containers, content of images, options of the local driver, events.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxImage, treeTar, type BuiltImage } from '../../kit/image.ts';
import { until } from '../../kit/poll.ts';
import type { Scene, Story } from '../scene.ts';
import { written } from './settled.ts';

/** VOLIMAGE: volumes with everything that a file system knows of files, and symlinks in the way. */
export const volumeImage = (): BuiltImage => busyboxImage({
  extra: [treeTar({
    'data/': { type: 'dir', mode: 0o1770, uid: 5, gid: 6 }, 'data/own': { content: 'own\n', mode: 0o640, uid: 1000, gid: 1001 }, 'data/sub/': null, 'data/sub/file': 'file\n',
    'data/sub/hard': { type: 'hardlink', linkName: 'data/sub/file' }, 'data/sub/link': { type: 'symlink', linkName: '../own', mode: 0o777, uid: 3 }, 'data/sub/setuid': { content: 'x', mode: 0o4755, uid: 7 },
    'data/sub/fifo': { type: 'fifo', mode: 0o600 }, 'data/sub/null': { type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 }, 'empty/': { type: 'dir', mode: 0o700, uid: 9, gid: 9 },
    'run/': null, 'var/run': { type: 'symlink', linkName: '../run' }, 'way/': null, 'way/out': { type: 'symlink', linkName: '../../../../etc' },
  })],
  config: { Volumes: { '/data': {}, '/empty': {} } },
});

export const volumeStories: readonly Story[] = [
  { name: 'volumes-verbs', once: true, tell: async (scene) => {
    await scene.sayAll(
      'volume create @aa', 'volume create @aa', 'volume create --label x=1 --label y @bb', 'volume create -d local @cc', 'volume create a', 'volume create a/b', 'volume create Ä', 'volume create -o foo=1 @no', 'volume create -o type=tmpfs @no',
      'volume create -o device=tmpfs @no', 'volume create -o o=bind @no', 'volume create -o size=10m @no', 'volume create -o size=zz @no', 'volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=7 @dd', 'volume inspect @aa @bb @dd', 'volume inspect @no @aa',
      'volume inspect -f "{{.Name}} {{.Driver}} {{.Scope}} {{.Options}}" @dd', 'volume ls --filter name=@', 'volume ls -q --filter name=@', 'volume ls --filter label=x --filter name=@', 'volume ls -q --filter label=x=1 --filter name=@', 'volume ls -q --filter label=x=2 --filter name=@',
      'volume ls -q --filter driver=local --filter name=@', 'volume ls -q --filter driver=loc --filter name=@', 'volume ls -q --filter dangling=true --filter name=@', 'volume ls -q --filter dangling=0 --filter name=@', 'volume ls --filter dangling=x', 'volume ls --filter nosuch=1',
      `volume ls --filter name=@ --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}} {{.Label "x"}} {{.Links}} {{.Size}}'`, 'volume ls --filter name=@ --format "{{json .}}"', 'volume ls --filter name=@ --format "table {{.Name}}\\t{{.Driver}}"',
    );
    await scene.sayAll('volume rm @aa @no @dd', 'volume rm -f @no', 'volume rm', 'volume inspect', 'volume create x y', 'volume create --name x y', 'volume prune -f --filter label=@nosuch', 'volume prune -f --filter nosuch=1', 'volume rm @bb @cc', 'volume ls --filter name=@', 'inspect --type volume @bb');
  } },
  { name: 'volumes-use', once: true, tell: async (scene) => {
    await scene.sayAll(
      'run --name @a -v @vv:/data IMAGE sh -c "echo one > /data/f; ls /data"', 'run --rm -v @vv:/data:ro IMAGE sh -c "cat /data/f; echo x > /data/x"', 'run --rm --mount src=@vv,dst=/d IMAGE cat /d/f', 'run --rm --mount src=@vv,dst=/d,ro IMAGE sh -c "cat /d/f; rm /d/f"',
      'volume ls -q --filter dangling=false --filter name=@', 'ps -a --filter volume=@vv --format {{.Names}}', 'ps -a --filter volume=/data --filter name=@ --format "{{.Names}} {{.LocalVolumes}} {{.Mounts}}"', 'ps -a --no-trunc --filter volume=/data --filter name=@ --format "{{.Names}} {{.LocalVolumes}} {{.Mounts}}"', 'ps -a --filter volume=/nosuch --format {{.Names}}',
    );
    await scene.say('volume rm @vv');
    await scene.sayAll('volume rm -f @vv', 'rm -v @a', 'volume inspect -f {{.Name}} @vv', 'volume rm @vv', 'run --rm -v @vv:/data IMAGE ls /data', 'volume rm @vv');
    for (const words of ['-v /anon', '--mount dst=/anon', '-v @named:/anon']) {
      for (const removal of ['rm @n', 'rm -v @n']) {
        await scene.do(`create --name @n ${words} IMAGE true`);
        const volume = (await scene.do('inspect -f "{{(index .Mounts 0).Name}}" @n')).trim();
        await scene.say(removal);
        scene.note(`${words}, ${removal}`, (await scene.do('volume ls -q')).split('\n').includes(volume));
      }
    }
    await scene.do('create --name @one -v /anon IMAGE true');
    const shared = (await scene.do('inspect -f "{{(index .Mounts 0).Name}}" @one')).trim();
    await scene.do('create --name @two --volumes-from @one IMAGE true');
    for (const words of ['rm -v @one', 'rm -v @two']) {
      await scene.say(words);
      scene.note(`after ${words}`, (await scene.do('volume ls -q')).split('\n').includes(shared));
    }
  } },
  { name: 'volumes-fill', once: true, tell: async (scene) => {
    const tell = 'sh -c "cd /data; find . | sort | while read f; do stat -c \\"%n %F %a %u:%g %h %s %Y %t:%T\\" $f; done; readlink sub/link; cat own; stat -c %a:%u /empty; ls /empty"';
    await scene.sayAll(`run --name @a VOLIMAGE ${tell}`, `run --rm -v @vv:/data VOLIMAGE ${tell}`, `run --rm -v @vv:/data VOLIMAGE sh -c "rm -r /data/sub; echo mine > /data/own; ls /data"`, 'run --rm -v @vv:/data VOLIMAGE sh -c "cat /data/own; ls /data"');
    await scene.sayAll('run --rm -v @nocopy:/data:nocopy VOLIMAGE ls -A /data', 'run --rm --mount src=@nocopy,dst=/other,volume-nocopy --mount src=@copy,dst=/data -v @etc:/way/out -v @up:/data/sub/../sub VOLIMAGE sh -c "ls -A /other /data /way/out /data/sub"');
    await scene.sayAll('run --rm --tmpfs /data -v FOLDER/bound:/empty VOLIMAGE ls -A /data /empty', 'create --name @f -v /data/own VOLIMAGE true', 'run --rm -v @file:/data/own VOLIMAGE true', 'inspect @f');
    await scene.say('run --rm --volumes-from @a VOLIMAGE ls -A /data');
    await scene.say('inspect -f "{{json .Config.Volumes}} {{len .Mounts}}" @a');
  } },
  { name: 'volumes-options', once: true, tell: async (scene) => {
    mkdirSync(join(scene.folder, 'there'));
    writeFileSync(join(scene.folder, 'there', 'file'), 'of the host\n');
    const [bind, flat] = ['-o type=none -o o=bind -o device=FOLDER/there', 'volume-opt=type=none,volume-opt=o=bind,volume-opt=device=FOLDER/nosuch'];
    await scene.sayAll(`volume create ${bind} @bind`, 'volume inspect @bind', 'run --rm -v @bind:/d -v @bind:/etc IMAGE cat /d/file /etc/file', `run --rm --mount src=@gone,dst=/d,${flat} IMAGE true`, 'volume inspect -f {{.Options}} @gone', 'volume rm @gone');
    await scene.sayAll('volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=7,mode=750 @mem', 'run --rm -v @mem:/d IMAGE sh -c "echo lost > /d/f; stat -c %a:%u /d; df -k /d | tail -1; grep -c \' /d tmpfs \' /proc/mounts"', 'run --rm -v @mem:/d IMAGE ls /d', 'run -d --name @one -v @mem:/d IMAGE sh -c "echo shared > /d/f; sleep 1000"');
    await written(scene, 'exec @one cat /d/f', 'shared');
    await scene.sayAll('run --rm -v @mem:/x IMAGE cat /x/f', 'volume rm @mem', 'rm -f @one', 'run --rm -v @mem:/d IMAGE ls /d', 'volume rm @mem @bind', 'run --rm --mount src=@nfs,dst=/x,volume-opt=type=nosuchfs,volume-opt=device=:/x,volume-opt=o=addr=127.0.0.1 IMAGE true', 'volume rm @nfs');
    await scene.sayAll('create --name @l --volume-driver local -v @drv:/d --mount src=@l,dst=/e,volume-label=a=b,volume-driver=local IMAGE true', 'volume inspect -f "{{.Labels}} {{.Options}}" @l @drv', 'create --name @l2 --mount src=@l,dst=/d,volume-opt=type=tmpfs IMAGE true', 'create --name @l3 --mount src=@m,dst=/d,volume-opt=type=tmpfs IMAGE true');
  } },
  { name: 'volumes-events', once: true, tell: async (scene) => {
    const since = (Date.now() / 1000).toFixed(3);
    await scene.do('run --rm --name @a -v @vv:/x IMAGE true');
    await scene.say('run --rm --name @b -v @vv:/x:ro IMAGE nosuch');
    await scene.do('volume rm @vv');
    await scene.do('run --rm --name @c -v @ww:/x -v /anon IMAGE true');
    const past = (filters: string) => scene.do(`events --since ${since} --until ${(Date.now() / 1000).toFixed(3)} ${filters}`);
    await until('all of them to be told of', async () => (await past('--filter container=@a --filter container=@c --filter event=destroy')).split('destroy').length > 2);
    const events = await past(`--filter volume=@vv --format "{{.Action}} {{json .Actor.Attributes}}"`);
    scene.note('events of a volume', events);
    const types = await past(`--filter container=@a --filter container=@c --format "{{.Type}} {{.Action}}"`);
    scene.note('events of its containers', types.split('\n').filter((line) => !/network|attach/.test(line)).join('\n'));
  } },
];

/** All that inspect says of a container's mounts, in the order of their places: dockerd tells them in any. */
export async function mountsOf(scene: Scene, name: string): Promise<void> {
  const [mounts = '', binds = '', ...asked] = (await scene.do(`inspect -f '{{json .Mounts}}\n{{json .HostConfig.Binds}}\n{{json .HostConfig.Mounts}}\n{{json .HostConfig.Tmpfs}}\n{{json .HostConfig.VolumesFrom}}\n{{json .Config.Volumes}}' ${name}`)).split('\n');
  const sorted = (JSON.parse(mounts) as Array<{ Destination: string }>).toSorted((a, b) => (a.Destination < b.Destination ? -1 : 1));
  // The command line itself sends binds in any order.
  scene.note(`mounts of ${name}`, [JSON.stringify(sorted), JSON.stringify((JSON.parse(binds) as string[] | null)?.toSorted()), ...asked].join('\n'));
}
