// Files of containers: copied in and out, compared, exported, made into images.
import { mkdirSync, readdirSync, lstatSync, linkSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TarReader } from '../../../src/archive/tar-read.ts';
import { tarBytes } from '../../../src/archive/tar-write.ts';
import type { Scene, Story } from '../scene.ts';
import { written } from './settled.ts';

export const fileStories: readonly Story[] = [
  { name: 'cp', tell: async (scene) => {
    makeSources(scene.folder);
    await scene.do('create --name @a -v @v:/vol IMAGE true');
    const into = (...pairs: string[]) => scene.sayAll(...pairs.map((pair) => `cp ${pair.replaceAll('SRC', 'FOLDER/src')}`));
    await into('SRC/file @a:/tmp', 'SRC/file @a:/tmp/new', 'SRC/file @a:/tmp/no/new', 'SRC/file @a:/tmp/newdir/', 'SRC/dir @a:/tmp/d2', 'SRC/dir @a:/tmp', 'SRC/dir/. @a:/tmp/d4', 'SRC/dir @a:/etc/passwd',
      'SRC/file @a:/etc/passwd', 'SRC/link @a:/tmp/l1', '-L SRC/link @a:/tmp/l2', '-L SRC/dang @a:/tmp/l8', 'SRC/nosuch @a:/tmp', 'SRC/file @nosuch:/tmp', 'SRC/file @a:',
      'SRC/file SRC/x', '@a:/a @a:/b', 'SRC/file/ @a:/tmp', 'SRC/file @a:/etc/mtab', '-a SRC/file @a:/tmp/arch');
    await scene.say('cp - @a:/tmp/d2/', { input: tarBytes([{ name: 'piped', type: 'file', mode: 0o644, mtimeNs: 0n, content: 'piped\n' }]) });
    await scene.say('cp - @a:/tmp/file', { input: tarBytes([]) });
    await scene.say('cp - @a:/tmp', { input: 'no archive at all'.repeat(100) });
    await scene.say('cp - @a:/tmp', { input: tarBytes([{ name: 'out', type: 'symlink', linkName: '../../../etc', mode: 0o777 }]) });
    await into('@a:/tmp SRC/../dst', '@a:/tmp SRC/../dst/new', '@a:/tmp/. SRC/../dst/dot', '@a:/tmp/file SRC/../dst/f1', '@a:/tmp/file SRC/../dst/no/f1', '@a:/tmp SRC/../dst/f1', '@a:/tmp/l1 SRC/../dst/l1',
      '-L @a:/tmp/d4/up SRC/../dst/l2', '@a:/nosuch SRC/../dst', '@nosuch:/x SRC/../dst', '@a:/tmp/d2/ SRC/../dst/dd', '@a:/etc /dev/null', 'SRC');
    scene.note('what was copied here', listed(join(scene.folder, 'dst')));
    await archived(scene, 'cp @a:/tmp -');
    await archived(scene, 'cp @a:/etc/passwd -');
    await archived(scene, 'cp @a:/nosuch -');
    await scene.do('rm -v @a');
  } },
  { name: 'live-cp', once: true, tell: async (scene) => {
    makeSources(scene.folder);
    await scene.do('run -d --name @a --read-only -v FOLDER/src:/ro:ro -v @v:/rw -v FOLDER/dst:/bind IMAGE sh -c "echo made > /rw/inside; sleep 1000"');
    await written(scene, 'exec @a cat /rw/inside', 'made');
    await scene.sayAll('cp FOLDER/src/file @a:/tmp', 'cp FOLDER/src/file @a:/ro/x', 'cp FOLDER/src/file @a:/rw', 'cp FOLDER/src/dir @a:/bind', 'exec @a cat /rw/file /bind/dir/one', 'exec @a stat -c "%a %u:%g %s" /rw/file');
    await archived(scene, 'cp @a:/ro -');
    await archived(scene, 'cp @a:/rw/. -');
    await scene.sayAll('cp @a:/etc/hostname FOLDER/dst/h', 'cp @a:/proc/1/status FOLDER/dst/none', 'pause @a', 'cp @a:/rw/inside FOLDER/dst/paused', 'unpause @a');
    scene.note('what was copied here', listed(join(scene.folder, 'dst')));
    await scene.do('rm -f -v @a');
  } },
  { name: 'diff', tell: async (scene) => {
    await scene.do(`create --name @a IMAGE ${CHANGER}`);
    await scene.say('diff @a');
    await scene.do('start -a @a');
    scene.note('diff @a', (await scene.do('diff @a')).split('\n').toSorted().join('\n')); // dockerd has no order
    await scene.sayAll('diff @nosuch', 'diff');
  } },
  { name: 'export', once: true, tell: async (scene) => {
    await scene.do(`run --name @a IMAGE ${CHANGER}`);
    await archived(scene, 'export @a');
    await scene.sayAll('export -o FOLDER/out.tar @a', 'export -o FOLDER/no/out.tar @a', 'export -o /dev/null @a', 'export @nosuch', 'export');
    scene.note('out.tar', (lstatSync(join(scene.folder, 'out.tar')).mode & 0o777).toString(8));
  } },
  { name: 'commit', once: true, tell: async (scene) => {
    await scene.do(`run --name @a -e OWN=1 --label mine=yes IMAGE ${CHANGER}`);
    const named = (tag: number) => `commit/${scene.name('i')}:${tag}`;
    const image = named(1);
    const changes = ['CMD ["cat","/tmp/new"]', 'ENV A=b C=$OWN D="e f"', 'ENV K v w', 'LABEL k=v', 'EXPOSE 80 90/udp', 'WORKDIR /sub', 'WORKDIR deep', 'USER 1000', 'ONBUILD RUN x', 'HEALTHCHECK --interval=5s --retries=2 CMD true'];
    await quietly(scene, `commit -m message -a somebody ${changes.map((change) => `-c '${change}'`).join(' ')} @a ${image}`);
    await scene.sayAll(`image inspect -f "{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Env}} {{json .Config.Labels}} {{json .Config.ExposedPorts}} {{json .Config.WorkingDir}} {{json .Config.User}} {{json .Config.OnBuild}} {{json .Config.Healthcheck}} {{.Author}} {{.Comment}} {{len .RootFS.Layers}}" ${image}`, `history --format "{{.CreatedBy}}|{{.Comment}}" ${image}`);
    await scene.sayAll(`run --rm ${image}`, `run --rm --user 0 ${image} find /a /tmp /root /bin/yes -exec stat -c '%n %a %u:%g %h %F %N' {} +`, `run --rm --user 0 ${image} ls /bin/ls`);
    for (const change of ['RUN x', 'ENV A', 'EXPOSE x', 'VOLUME', 'ONBUILD FROM x', 'HEALTHCHECK x', '# c']) await scene.say(`commit -c '${change}' @a`);
    await scene.sayAll('commit @nosuch', 'commit @a Upper', 'commit @a a@sha256:0000000000000000000000000000000000000000000000000000000000000000', 'commit');
    await scene.do('create --name @b IMAGE true');
    await quietly(scene, `commit @b ${named(2)}`);
    await scene.sayAll(`image inspect -f "{{len .RootFS.Layers}} {{json .Config.Cmd}}" ${named(2)}`, `rm @a @b`);
    await scene.do('run -d --name @c IMAGE sleep 1000');
    await quietly(scene, `commit -p=false @c ${named(3)}`);
    await quietly(scene, `commit @c ${named(4)}`);
    await scene.sayAll('inspect -f {{.State.Status}} @c', 'rm -f @c');
    for (const tag of [4, 3, 2, 1]) scene.note(`rmi ${tag}`, (await scene.do(`rmi ${named(tag)}`)).split('\n')[0]);
  } },
];

const CHANGER = 'sh -c "rm /bin/ls; rm -r /tmp; mkdir /tmp; chmod 1777 /tmp; echo x > /tmp/new; chmod 640 /tmp/new; rm -r /root; echo a > /root; mkdir -p /a/b; echo q > /a/b/f; ln /a/b/f /a/hard; ln -s /nowhere /a/dang; '
  + 'mkfifo /a/p; chown 5:6 /a/b; rm /bin/yes; mkdir /bin/yes; touch /bin/yes/x"';

/** Names, modes, owners and contents that stay the same wherever they are. */
function makeSources(folder: string): void {
  const at = (name: string) => join(folder, name);
  for (const name of ['src', 'src/dir', 'src/dir/sub', 'dst']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('src/file'), 'file\n', { mode: 0o640 });
  writeFileSync(at('src/dir/one'), 'one\n');
  writeFileSync(at('src/dir/sub/two'), 'two\n');
  linkSync(at('src/dir/one'), at('src/dir/hard'));
  for (const [target, name] of [['file', 'link'], ['dir', 'dlink'], ['nowhere', 'dang'], ['sub/two', 'dir/up']] as const) symlinkSync(target, at(`src/${name}`));
  utimesSync(at('src/file'), 1_600_000_000, 1_600_000_000.5);
}

/** Whatever an archive on stdout holds, told by entries; a refusal by its words. */
async function archived(scene: Scene, words: string): Promise<void> {
  const session = scene.open(words);
  session.end();
  const outcome = await session.outcome;
  scene.keep(words, { ...outcome, stdout: outcome.code === 0 ? entriesOf(outcome.stdoutBytes).join('\n') : outcome.stdout });
}

function entriesOf(tar: Buffer): string[] {
  const lines: string[] = [];
  let content = '';
  const reader = new TarReader({
    raw() {}, hole() {},
    entry({ type, mode, uid, gid, sizeBytes, name, linkName }) { content = ''; lines.push(`${type} ${mode.toString(8)} ${uid}:${gid} ${sizeBytes} ${name} ${linkName}`); },
    data(bytes, start, end) { if (content.length < 100) content += bytes.toString('latin1', start, Math.min(end, start + 100)); },
    entryEnd() { if (/^[\x20-\x7e\n]{1,20}$/.test(content)) lines.push(`  ${JSON.stringify(content)}`); },
  });
  reader.write(tar);
  reader.finish();
  return lines;
}

function listed(folder: string): string {
  const lines: string[] = [];
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).toSorted()) {
    const stat = lstatSync(join(folder, name));
    lines.push(`${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.isDirectory() ? '' : stat.size} ${stat.nlink} ${name} ${stat.isSymbolicLink() ? readlinkSync(join(folder, name)) : ''}`);
  }
  return lines.join('\n');
}

/** The ID of a new image is never the same twice. */
async function quietly(scene: Scene, words: string): Promise<void> {
  const outcome = await scene.do(words);
  scene.note(words, outcome.replace(/sha256:[0-9a-f]{64}/, '<image>'));
}
