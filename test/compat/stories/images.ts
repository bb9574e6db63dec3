// Images: pull, list, inspect, history, remove.
import type { Story } from '../scene.ts';

const LIST = '--format "{{.Repository}}|{{.Tag}}|{{.ID}}|{{.Digest}}"';

export const imageStories: readonly Story[] = [
  { name: 'pull', tell: (scene) => scene.sayAll(
    'pull OWNIMAGE', 'pull OWNIMAGE', 'pull -q OWNIMAGE', 'pull OTHERIMAGE', 'pull REGISTRY/compat/nosuch', 'pull REGISTRY/compat/nosuch:1', 'pull 127.0.0.1:1/no:1', 'pull Upper', 'pull OWNDIGESTIMAGE', 'pull OWNIMAGE@sha256:nonsense', 'pull -a REGISTRY/@repo', 'pull --platform linux/s390x OWNIMAGE', 'pull',
    `images REGISTRY/@repo ${LIST}`, `images --digests REGISTRY/@repo`, 'images REGISTRY/@repo:1', 'images REGISTRY/@repo:nosuch', 'images -q REGISTRY/@repo', 'images --no-trunc -q REGISTRY/@repo', 'images --filter reference=REGISTRY/@repo:1 --format {{.Tag}}', 'images --filter reference=*/@repo:* --format {{.Tag}}', 'images --filter nosuch=1', 'images --filter dangling=maybe',
    'images REGISTRY/@repo --filter label=story=own --format {{.Tag}}', 'images REGISTRY/@repo --filter label=story=nosuch --format {{.Tag}}', 'images REGISTRY/@repo --filter before=OTHERIMAGE --format {{.Tag}}', 'images REGISTRY/@repo --filter dangling=true -q', 'images --filter since=nosuch:x',
    'image inspect OWNIMAGE', 'inspect OWNIMAGE -f "{{.Id}} {{.Os}}/{{.Architecture}} {{json .RepoTags}} {{json .RepoDigests}} {{json .Config.Cmd}} {{.RootFS.Type}} {{len .RootFS.Layers}} {{.Created}}"', 'image inspect nosuch:1', 'image inspect OWNIMAGE nosuch:1 -f {{.Id}}',
    'history OWNIMAGE', 'history -q OWNIMAGE', 'history --no-trunc OWNIMAGE', 'history nosuch:1', 'tag OWNIMAGE REGISTRY/@repo:extra', 'tag nosuch:1 x:1', 'tag OWNIMAGE Bad:1', `images REGISTRY/@repo ${LIST}`,
    'rmi REGISTRY/@repo:extra', 'rmi REGISTRY/@repo:extra', 'rmi -f REGISTRY/@repo:extra', 'run --name @user OWNIMAGE true', 'rmi OWNIMAGE', 'rmi OTHERIMAGE', 'rmi OTHERIMAGE nosuch:1', 'rmi -f OWNIMAGE', `images -a ${LIST} --filter reference=REGISTRY/@repo`, 'ps -a --filter name=@user --format "{{.Names}} {{.Image}}"', 'start -a @user', 'inspect -f {{.Config.Image}} @user', 'rm @user', 'rmi',
  ) },
  { name: 'rmi', once: true, tell: async (scene) => {
    const id = await scene.do('pull -q RMIIMAGE').then(() => scene.do('inspect -f {{.Id}} RMIIMAGE'));
    await scene.do('tag RMIIMAGE @two:1');
    await scene.say(`rmi ${id}`);
    await scene.say(`rmi ${id.slice(7, 19)}`);
    await scene.do('run -d --name @run RMIIMAGE sleep 1000');
    await scene.sayAll('rmi @two:1', 'rmi RMIIMAGE', 'rmi -f RMIIMAGE', 'kill @run', `rmi ${id}`);
    await scene.say(`rmi -f ${id}`);
    await scene.sayAll('rm -f @run', 'pull -q RMIIMAGE', 'tag RMIIMAGE @two:1', `rmi -f ${id}`, 'image inspect RMIIMAGE', 'pull -q RMIIMAGE', 'rmi --no-prune RMIIMAGE', 'create --name @gone RMIIMAGE', 'rmi RMIIMAGE', 'rm @gone', 'rmi RMIIMAGE');
  } },
];
