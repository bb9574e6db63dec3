// Mounts of containers in every way they can be asked for, and what inspect makes of them.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scene, Story } from '../scene.ts';
import { mountsOf } from './volumes.ts';

/** Made, looked at, and removed with what was made for it. */
async function made(scene: Scene, ...list: readonly string[]): Promise<void> {
  for (const words of list) {
    const { code } = await scene.say(`create --name @c ${words} IMAGE true`);
    if (code !== 0) continue;
    await mountsOf(scene, '@c');
    await scene.say('rm -v @c');
  }
}

export const mountStories: readonly Story[] = [
  { name: 'mounts-binds', once: true, tell: async (scene) => {
    const refused = ['/a:', '/a:/b:c:d', '/a:/b:nosuch', '/a:/b:ro,rw', '@v:/x:rshared', '/a:/', '@v:x', '/x:ro', '/etc:/x:nocopy', '/etc:/x:cached,delegated', './rel:/x', '/:/x:rprivate', '/etc/passwd'];
    const taken = ['/x', '/y/', '/a:/b:ro', '/a/../b:/c/../d:', '@v:/1', '@v:/2:ro', '@v:/3:nocopy', '@v:/4:z,ro', '/etc:/5:shared', '/etc:/6:cached', '/etc:/7:private', '/etc:/8:z', '/tmp:/9:rslave,ro', '/etc:/10//y/./z', '/x:/11:', '/:/12', '@v:/bin/../13'];
    await made(scene, ...refused.map((bind) => `-v ${bind}`), taken.map((bind) => `-v ${bind}`).join(' '));
    await made(scene, '-v @v:/x -v /etc:/x', '-v /x -v @v:/x -v /x', '--tmpfs /x -v /etc:/x', '--tmpfs /x -v /x -v /y', '--mount type=bind,src=/etc,dst=/x -v /tmp:/x', '--mount type=tmpfs,dst=/x -v /tmp:/x');
  } },
  { name: 'mounts-field', once: true, tell: async (scene) => {
    const refused = [
      'type=bind,src=etc,dst=/x', 'type=bind,src=/nosuch,dst=/x', 'type=bind,dst=/x', 'type=bind,src=/etc,dst=x', 'type=bind,src=/etc,dst=/', 'type=bind,src=/etc,dst=/x,bind-propagation=nosuch', 'type=bind,src=/,dst=/x,bind-propagation=private',
      'type=volume,dst=/x,ro', 'type=volume,src=@p,dst=/x,volume-opt=type=tmpfs', 'type=volume,src=/abs,dst=/x', 'type=volume,src=v,dst=/x', 'type=tmpfs,src=foo,dst=/x', 'type=nosuch,dst=/x', 'type=npipe,src=a,dst=/x', 'src=/etc,dst=/x',
    ];
    const taken = [
      'type=bind,src=/etc,dst=/1', 'type=bind,src=/etc,dst=/2,ro', 'type=bind,src=/etc,dst=/3,bind-propagation=rshared', 'type=bind,src=/etc,dst=/4,consistency=cached', 'type=bind,src=/,dst=/5', 'type=volume,dst=/6', 'type=volume,src=@v,dst=/7', 'type=volume,src=@v,dst=/8,ro',
      'type=volume,src=@w,dst=/9,volume-nocopy,volume-label=k=v', 'type=volume,src=@o,dst=/10,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs', 'type=tmpfs,dst=/11', 'type=tmpfs,dst=/12,tmpfs-size=10m,tmpfs-mode=1770', 'type=tmpfs,dst=/13,ro', 'type=tmpfs,dst=/14,tmpfs-size=1',
    ];
    await made(scene, ...refused.map((mount) => `--mount ${mount}`), taken.map((mount) => `--mount ${mount}`).join(' '));
    await made(scene, '--mount type=bind,src=/etc,dst=/x --mount type=bind,src=/etc,dst=/x/', '--mount type=tmpfs,dst=/x --tmpfs /x', '--mount type=bind,src=/etc,dst=/x --tmpfs /x', '--tmpfs x', '--tmpfs /', '--tmpfs /x:nosuch --tmpfs /y:size=1m,mode=700,exec,uid=5');
  } },
  { name: 'mounts-from', once: true, tell: async (scene) => {
    await scene.do('create --name @src -v @v7:/v7 -v /anon -v /etc:/e:ro --tmpfs /tt IMAGE true');
    await scene.do('create --name @other -v @v7:/v8:ro -v /tmp:/e IMAGE true');
    await made(scene, ...['@src', '@src:ro', '@src:nosuch', '@src:rslave', '@nosuch', "''", '@src --volumes-from @other', '@src -v @v8:/v7 -v /anon'].map((word) => `--volumes-from ${word}`));
    await scene.sayAll('run --rm --volumes-from @src IMAGE sh -c "echo one > /v7/f; echo two > /anon/f; echo x > /e/f"', 'run --rm --volumes-from @src:ro IMAGE sh -c "cat /v7/f /anon/f; echo x > /v7/f"', 'rm -v @src', 'run --rm --volumes-from @other IMAGE cat /v8/f', 'volume rm @v7');
  } },
  { name: 'mounts-inside', once: true, tell: async (scene) => {
    for (const name of ['outer', 'outer/inner', 'inner']) mkdirSync(join(scene.folder, name));
    writeFileSync(join(scene.folder, 'outer', 'file'), 'outer\n');
    writeFileSync(join(scene.folder, 'inner', 'file'), 'inner\n');
    writeFileSync(join(scene.folder, 'hosts'), '10.1.1.1 mine\n');
    symlinkSync('outer', join(scene.folder, 'link'));
    const options = 'cut -d" " -f2-4 /proc/mounts | grep "^/x" | sort';
    await scene.sayAll(
      // Parents before children, whatever the order of the words.
      'run --rm -v FOLDER/inner:/m/inner -v FOLDER/outer:/m -v FOLDER/inner:/n/inner --tmpfs /n --mount type=tmpfs,dst=/o/inner -v @v:/o IMAGE sh -c "cat /m/file /m/inner/file /n/inner/file; ls /n; grep \' /o\' /proc/mounts | cut -d\' \' -f2,3"',
      'run --rm -v FOLDER/link:/m -v FOLDER/outer/file:/new/place/f -v FOLDER/outer:/var/run/x -v FOLDER/made/by/v:/made VOLIMAGE sh -c "cat /m/file /new/place/f /var/run/x/file; ls /run; ls -la /made"',
      'run --rm -v FOLDER/hosts:/etc/hosts IMAGE cat /etc/hosts', 'run --rm -v FOLDER/hosts:/etc/hosts:ro --read-only -v @v:/rw -v /anon --mount type=tmpfs,dst=/t IMAGE sh -c "touch /rw/f /anon/f /t/f && echo written; touch /f; echo x >> /etc/hosts; echo x >> /etc/hostname"', 'run --rm --hostname boxy -v @etc:/etc IMAGE cat /etc/hostname',
      `run --rm --tmpfs /x1 --tmpfs /x2:size=1m,mode=700,exec,uid=5,suid,dev --mount type=tmpfs,dst=/x3,tmpfs-size=10m,tmpfs-mode=1770,ro --tmpfs /x4:size=2m,size=1m,ro,rw -v @v:/x5:ro IMAGE sh -c '${options}; touch /x5/y'`,
      'run --rm --tmpfs /x:nosuch IMAGE true', 'run --rm -v /etc:/x:shared IMAGE true', 'run --rm -v /etc:/x:rslave IMAGE true', 'run --rm -v /:/x:ro IMAGE ls -d /x/etc',
    );
  } },
];
