// Pushes: where it shows what was there before, each engine has a repository of its own.
import { basename, dirname } from 'node:path';
import type { Scene, Story } from '../scene.ts';

/**
 * Lines of several layers come in whatever order they are done; how long a layer is depends on who packs it, and who lends it on which of several
 * repositories was seen with it last. `mine` is a repository that nobody pushed to before.
 */
async function sorted(scene: Scene, mine: string, words: string): Promise<void> {
  const outcome = await scene.open(words.replaceAll('MINE', mine)).outcome;
  scene.keep(words, { ...outcome, stdout: outcome.stdout.replaceAll(mine, 'MINE').replace(/size: 7\d\d$/gm, 'size: <7xx>').replace(/Mounted from \S+$/gm, 'Mounted from <one>').replace(/^[0-9a-f]{12}:/gm, '<layer>:').split('\n').toSorted().join('\n') });
}

let tellings = 0;

export const pushStories: readonly Story[] = [
  { name: 'push', once: true, tell: async (scene) => {
    const mine = `${scene.registry}/push-of-${basename(dirname(scene.folder))}-${++tellings}`;
    const since = Math.floor(Date.now() / 1000);
    for (const tag of ['1', '2']) for (const repo of ['REGISTRY/@repo', mine]) await scene.do(`tag VOLIMAGE ${repo}:${tag}`);
    await sorted(scene, mine, 'push MINE:1');
    await sorted(scene, mine, 'push MINE:1');
    await sorted(scene, mine, 'push -a MINE');
    await scene.sayAll('push -q REGISTRY/@repo:2', 'image push --quiet --all-tags REGISTRY/@repo', 'push --disable-content-trust=false REGISTRY/@none:1', 'images --digests REGISTRY/@repo --format "{{.Tag}} {{.ID}} {{.Digest}}"');
    // A layer that nobody has yet.
    await scene.do('run --name @c IMAGE sh -c "echo new > /new"');
    await scene.do(`commit @c ${mine}:3`);
    await sorted(scene, mine, 'push MINE:3');
    await sorted(scene, mine, 'push MINE:3');
    await scene.do(`rmi ${mine}:3`);
    await scene.do(`pull -q ${mine}:3`);
    await sorted(scene, mine, 'run --rm MINE:3 cat /new');
    await scene.say('rm @c');
    await scene.sayAll(
      'push', 'push REGISTRY/@repo', 'push -q REGISTRY/@repo', 'push REGISTRY/@none', 'push REGISTRY/@none:1', 'push nosuch', 'push -a nosuch', 'push -a REGISTRY/@repo:1', 'push Upper', 'push REGISTRY/@repo:1:2',
      `push REGISTRY/@repo@sha256:${'ab'.repeat(32)}`, 'push --nosuch x', 'tag IMAGE 127.0.0.1:1/x:1', 'push 127.0.0.1:1/x:1', 'rmi 127.0.0.1:1/x:1',
    );
    const until = Math.floor(Date.now() / 1000) + 1;
    scene.note('told', (await scene.do(`events --since ${since} --until ${until} --filter event=push --format "{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}"`)).replaceAll(mine, 'MINE'));
    for (const name of [`${mine}:1`, `${mine}:2`, `${mine}:3`, 'REGISTRY/@repo:1', 'REGISTRY/@repo:2']) await scene.do(`rmi ${name}`);
  } },
];
