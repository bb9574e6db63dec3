// What guards a container and what it shares: options that are right, wrong or strange, namespaces of others, init, runtimes, devices.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Story } from '../scene.ts';
import { written } from './settled.ts';

const STATUS = 'IMAGE sh -c "grep -E \'^(Cap(Bnd|Eff)|NoNewPrivs|Seccomp:|Groups)\' /proc/self/status"';
/** Mounts of shared memory and queues, in the order of their places. */
const SHM = 'sh -c "grep -E \' /dev/(shm|mqueue) \' /proc/mounts | cut -d\' \' -f2-4 | sed s/,inode64// | sort"';
const LIST = 'sh -c "stat -c \'%F %A %t:%T\' /dev/x"';

export const securityStories: readonly Story[] = [
  { name: 'security-caps', once: true, tell: (scene) => scene.sayAll(
    `run --rm --cap-add cap_net_admin --cap-add CAP_SYS_TIME --cap-drop Mknod ${STATUS}`, `run --rm --cap-drop aLL --cap-add SetUid ${STATUS}`, `run --rm --cap-drop ALL --cap-add net_raw -u 33 ${STATUS}`, `run --rm --cap-add CAP_ALL ${STATUS}`, `run --rm --cap-drop nosuch ${STATUS}`, `run --rm --cap-add net_admin --cap-drop net_admin ${STATUS}`,
    'create --name @a --cap-add net_admin --cap-drop CAP_MKNOD IMAGE true', 'inspect -f "{{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}}" @a',
  ) },
  { name: 'security-options', once: true, tell: async (scene) => {
    const allow = join(scene.folder, 'allow.json');
    writeFileSync(allow, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }, { name: 'chmod', action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_CHOWN'] } }, { names: ['nosuchcall'], action: 'SCMP_ACT_ERRNO' }] }));
    writeFileSync(join(scene.folder, 'empty.json'), '{}');
    writeFileSync(join(scene.folder, 'bad.json'), '{"defaultAction":');
    writeFileSync(join(scene.folder, 'both.json'), '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ERRNO"}]}');
    await scene.sayAll(
      'run --rm --security-opt seccomp=FOLDER/allow.json IMAGE sh -c "mkdir /x; chmod 700 /tmp && echo changed; grep Seccomp: /proc/self/status"', `run --rm --security-opt seccomp=FOLDER/empty.json ${STATUS}`, `run --rm --security-opt seccomp=FOLDER/bad.json ${STATUS}`, `run --rm --security-opt seccomp=FOLDER/both.json ${STATUS}`, `run --rm --security-opt seccomp=FOLDER/nosuch.json ${STATUS}`,
      `run --rm --security-opt no-new-privileges=false ${STATUS}`, `run --rm --security-opt no-new-privileges:x ${STATUS}`, `run --rm --security-opt no-new-privileges --security-opt seccomp=unconfined ${STATUS}`, `run --rm --security-opt apparmor=unconfined --security-opt label=disable ${STATUS}`, `run --rm --security-opt x ${STATUS}`,
      'run --rm --security-opt systempaths=unconfined IMAGE sh -c "ls /proc/scsi >/dev/null 2>&1; touch /proc/sys/kernel/domainname && echo writable; grep -c \' /proc/\' /proc/mounts"', 'create --name @a --security-opt no-new-privileges --security-opt label=level:s0 --read-only IMAGE true', 'inspect -f "{{json .HostConfig.SecurityOpt}} {{.AppArmorProfile}}|{{.ProcessLabel}}|{{.MountLabel}} {{.HostConfig.ReadonlyRootfs}} {{len .HostConfig.MaskedPaths}} {{len .HostConfig.ReadonlyPaths}}" @a',
    );
  } },
  { name: 'security-users', once: true, tell: (scene) => scene.sayAll(
    ...['root', '33:34', ':34', 'nosuch', '0:nosuch', '99999999999'].map((user) => `run --rm -u ${user} IMAGE id`),
    'run --rm --group-add 5 --group-add 5 --group-add 33 IMAGE sh -c "grep Groups /proc/self/status"', 'run --rm --group-add nosuch IMAGE true', 'run --rm --group-add 4294967296 IMAGE true',
  ) },
  { name: 'security-devices', once: true, tell: async (scene) => {
    mkdirSync(join(scene.folder, 'none'));
    await scene.sayAll(
      `run --rm --device /dev/zero:/dev/x IMAGE ${LIST}`, 'run --rm --device /dev/zero:/dev/x:r IMAGE sh -c "head -c1 /dev/x | wc -c; echo x > /dev/x"', 'run --rm --device /dev/net:/dev/x IMAGE ls /dev/x', 'run --rm --device FOLDER/none:/dev/x IMAGE true', 'run --rm --device /etc/passwd:/dev/x IMAGE true', 'run --rm --device /dev/zero:/dev/x:z IMAGE true',
      'run --rm --device-cgroup-rule "c 1:11 rwm" IMAGE sh -c "mknod /k c 1 11 && head -c0 /k && echo opened"', 'run --rm IMAGE sh -c "mknod /k c 1 11 && cat /k"', 'run --rm --device-cgroup-rule bad IMAGE true', 'run --rm --gpus all IMAGE true',
    );
  } },
  { name: 'security-ipc', once: true, tell: async (scene) => {
    await scene.sayAll(...['private', 'shareable', 'none', 'host'].map((mode) => `run --rm --ipc ${mode} IMAGE ${SHM}`), `run --rm --ipc shareable --tmpfs /dev/shm:size=64k IMAGE ${SHM}`, 'run --rm --ipc nosuch IMAGE true');
    await scene.do('run -d --name @shares --ipc shareable IMAGE sh -c "echo told > /dev/shm/word; sleep 1000"');
    await written(scene, 'exec @shares cat /dev/shm/word', 'told');
    await scene.do('run -d --name @private IMAGE sleep 1000');
    await scene.do('create --name @created --ipc shareable IMAGE sleep 1000');
    await scene.sayAll(
      `run --rm --ipc container:@shares IMAGE ${SHM}`, 'run --rm --ipc container:@shares IMAGE cat /dev/shm/word', 'run --rm --ipc container:@private IMAGE true', 'run --rm --ipc container:@created IMAGE true', 'run --rm --ipc container:@nosuch IMAGE true',
      'create --name @joins --ipc container:@shares IMAGE true', 'inspect -f "{{.HostConfig.IpcMode}}" @joins', 'kill @shares', 'wait @shares', 'start @joins', 'inspect -f "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}" @joins', 'rm -f @shares @private @created @joins',
    );
  } },
  { name: 'security-joined', once: true, tell: async (scene) => {
    await scene.do('run -d --name @a -h named --dns 192.0.2.1 IMAGE sh -c "sleep 1000"');
    await scene.do('create --name @created IMAGE sleep 1000');
    await scene.sayAll(
      'run --rm --network container:@a IMAGE sh -c "hostname; cat /etc/hostname /etc/resolv.conf"', 'run --rm --network container:@a -h x IMAGE true', 'run --rm --network container:@a --dns 192.0.2.2 IMAGE true', 'run --rm --network container:@a --add-host a:192.0.2.2 IMAGE true', 'run --rm --network container:@created IMAGE true',
      'run --rm --pid container:@created IMAGE true', 'run --rm --pid container:@nosuch IMAGE true', 'run --rm --pid container:@a --cap-add SYS_PTRACE IMAGE sh -c "ps | grep -c \'sleep 100[0]\'"', 'run --rm --uts host -h x IMAGE true', 'run --rm --userns host IMAGE cat /proc/self/uid_map', 'run --rm --userns nosuch IMAGE true',
      'create --name @self --network container:@self IMAGE true', 'start @self', 'inspect -f "{{.State.Error}}" @self', 'create --name @later --network container:@notyet IMAGE hostname', 'start @later', 'run -d --name @notyet -h there IMAGE sleep 1000', 'start -a @later', 'rm -f @a @created @self @later @notyet',
    );
  } },
  { name: 'init', once: true, tell: (scene) => scene.sayAll(
    'run --rm --init IMAGE sh -c "cat /proc/1/comm; ls -l /sbin/docker-init | cut -c1-10"', 'run --rm --init IMAGE sh -c "exit 3"', 'run --rm --init IMAGE nosuch', 'run --rm --init --pid host IMAGE sh -c "readlink /proc/self/exe"', 'create --name @a --init IMAGE sleep 1000', 'inspect -f "{{.HostConfig.Init}}" @a', 'start @a', 'exec @a cat /proc/1/comm', 'stop @a', 'inspect -f "{{.State.ExitCode}}" @a', 'rm @a',
  ) },
  { name: 'runtimes', tell: (scene) => scene.sayAll(
    'run --rm --runtime io.containerd.runc.v2 IMAGE echo ran', 'run --rm --runtime runc IMAGE echo ran', 'run --rm --runtime nosuch IMAGE true', 'create --name @a --runtime nosuch IMAGE true', 'create --name @a --runtime runc IMAGE true', 'inspect -f "{{.HostConfig.Runtime}}" @a', 'info -f "{{.DefaultRuntime}}"',
  ) },
];
