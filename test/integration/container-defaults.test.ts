// The daemon's flags for what containers get that do not say otherwise: the same flags and the same words to dockerd, and the same answers.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { CLIS, openDocker, type Docker } from '../kit/docker.ts';
import { startDockerd, type Dockerd } from '../kit/dockerd.ts';
import { busyboxImage } from '../kit/image.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot, type TempRoot } from '../kit/temp.ts';

let root: TempRoot;
let registry: DebianRegistry;
let image: string;
let profile: string;

before(async () => {
  root = openTempRoot();
  registry = await startRegistry({ root: join(root.path, 'registry') });
  image = await pushImage(registry.host, busyboxImage(), { repository: 'defaults', tag: '1' });
  profile = join(root.path, 'profile.json');
  writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }] }));
});
after(async () => {
  await registry.stop();
  await root[Symbol.asyncDispose]();
});

/** What both say; they must agree. */
async function told(docker: Docker): Promise<string[]> {
  const said: string[] = [];
  const run = async (...words: string[]) => { const { code, stdout, stderr } = await docker.run(words); said.push(`${words.slice(0, -1).join(' ')}: ${code} ${stdout}${stderr.split('\n')[0]}`); };
  await docker.ok(['pull', '-q', image]);
  const see = 'cat /proc/1/comm; grep NoNewPrivs /proc/self/status; mkdir /made; readlink /proc/self/ns/cgroup | cut -c1-7';
  await run('run', '--rm', '--network', 'none', image, 'sh', '-c', see);
  await run('run', '--rm', '--network', 'none', '--init=false', '--security-opt', 'no-new-privileges=false', '--security-opt', 'seccomp=unconfined', image, 'sh', '-c', see);
  await docker.ok(['create', '--name', 'plain', '--network', 'none', image, 'true']);
  await docker.ok(['create', '--name', 'own', '--network', 'none', '--ipc', 'private', '--cgroupns', 'host', image, 'true']);
  for (const name of ['plain', 'own']) await run('inspect', '-f', '{{.HostConfig.IpcMode}} {{.HostConfig.CgroupnsMode}} {{.HostConfig.Init}} {{.HostConfig.Runtime}} {{json .HostConfig.SecurityOpt}}', name);
  await run('run', '--rm', '--network', 'none', image, 'sh', '-c', 'grep -c " /dev/shm " /proc/mounts; cut -d: -f3 /proc/self/cgroup | sort -u');
  await docker.ok(['rm', 'plain', 'own']);
  return said;
}

test('defaults of security, init and namespaces are those of dockerd with the same flags', async () => {
  const flags = ['--init', '--no-new-privileges', '--seccomp-profile', profile, '--default-ipc-mode', 'shareable', '--default-cgroupns-mode', 'private'];
  const tell = async (engine: Daemon | Dockerd) => told(openDocker({ host: engine.host, configDir: join(root.path, 'client'), binary: CLIS.debian }));
  await using ours = await startDaemon({ root: join(root.path, 'ours'), flags });
  await using theirs = await startDockerd({ root: join(root.path, 'theirs'), flags });
  const [here, there] = await Promise.all([tell(ours), tell(theirs)]);
  assert.deepEqual(here, there);
  assert.match(here[0] ?? '', /docker-init|tini/, 'the flags did something');
  assert.match(here[0] ?? '', /NoNewPrivs:\t1/);
  assert.equal(await openDocker({ host: ours.host, configDir: join(root.path, 'client'), binary: CLIS.debian }).ok(['info', '-f', '{{.SecurityOptions}}']), `[name=seccomp,profile=${profile} name=no-new-privileges]`);
  assert.equal(await ours.stop(), 0);
});

test('an init, a profile or a user that is not there is told when it is wanted', async () => {
  await using daemon = await startDaemon({ root: join(root.path, 'init'), flags: ['--init-path', '/nosuch/init'] });
  const docker = openDocker({ host: daemon.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
  await docker.ok(['pull', '-q', image]);
  assert.match((await docker.run(['run', '--rm', '--init', image, 'true'])).stderr, /exec: "\/nosuch\/init": stat \/nosuch\/init: no such file or directory/);
  await docker.ok(['run', '--rm', image, 'true']);
  await daemon.stop();
  for (const [flag, value, said] of [
    ['--seccomp-profile', '/nosuch/profile', 'opening seccomp profile (/nosuch/profile) failed: open /nosuch/profile: no such file or directory'],
    ['--userns-remap', 'nosuch', 'Error during uid lookup for "nosuch": unable to find entry "nosuch" in passwd database'], ['--userns-remap', 'a:b:c', 'Invalid user/group specification in --userns-remap: "a:b:c"'],
  ] as const) {
    await assert.rejects(startDaemon({ root: join(root.path, 'refused'), flags: [flag, value] }), (error: Error) => error.message.includes(said), said);
  }
});

test('the ID of a container goes into the variable that is named for it, unless one begins so already', async () => {
  await using daemon = await startDaemon({ root: join(root.path, 'cid') });
  const docker = openDocker({ host: daemon.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
  const own = openDocker({ host: daemon.host, configDir: join(root.path, 'client'), binary: join(import.meta.dirname, '../../bin/vaquita') });
  await docker.ok(['pull', '-q', image]);
  const id = await own.ok(['create', '--cidenv', 'SELF_ID', '-e', 'A=b', image, 'sh', '-c', 'echo $SELF_ID']);
  assert.equal(await docker.ok(['start', '-a', id]), id);
  assert.match(await docker.ok(['inspect', '-f', '{{json .Config.Env}}', id]), new RegExp(`"SELF_ID=${id}"\\]$`), 'behind all others');
  for (const taken of ['A', 'PA', 'PATH']) {
    const { code, stderr } = await own.run(['run', '--rm', '--cidenv', taken, '-e', 'A=b', image, 'true']);
    assert.deepEqual([code, stderr.includes(`Error environment variable ${taken} already defined`)], [125, true], stderr);
  }
  assert.equal(await own.ok(['run', '--rm', '--cidenv', 'B', '-e', 'A=b', image, 'sh', '-c', 'echo ${#B}']), '64');
  await docker.ok(['rm', id]);
  await daemon.stop();
});
