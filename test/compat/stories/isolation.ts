// What the kernel grants: capabilities, limits, mounts, namespaces, seen from within and from the cgroup.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Story } from '../scene.ts';

const CAPS = 'IMAGE sh -c "grep -E \'^(Cap|NoNewPrivs|Seccomp:)\' /proc/self/status"';
const CGROUP = (controller: string, file: string) => `cat /sys/fs/cgroup/${controller}/${file}`;

export const isolationStories: readonly Story[] = [
  { name: 'caps', once: true, tell: (scene) => scene.sayAll(
    `run --rm ${CAPS}`, `run --rm --cap-drop ALL ${CAPS}`, `run --rm --cap-drop CHOWN --cap-drop net_raw ${CAPS}`, `run --rm --cap-add NET_ADMIN --cap-add SYS_TIME ${CAPS}`, `run --rm --cap-drop ALL --cap-add chown ${CAPS}`,
    `run --rm --cap-add ALL --cap-drop SYS_ADMIN ${CAPS}`, `run --rm --cap-add NOSUCH ${CAPS}`, `run --rm --privileged ${CAPS}`, `run --rm -u 1000 ${CAPS}`, `run --rm -u 1000 --cap-add NET_ADMIN ${CAPS}`, `run --rm --security-opt no-new-privileges ${CAPS}`, `run --rm --security-opt no-new-privileges:true ${CAPS}`,
    `run --rm --security-opt seccomp=unconfined ${CAPS}`, `run --rm --security-opt nosuch=1 ${CAPS}`, 'run --rm --cap-drop CHOWN IMAGE chown 1 /tmp', 'run --rm IMAGE mount -t tmpfs x /tmp', 'run --rm IMAGE sh -c "unshare -n true"', 'run --rm IMAGE reboot -f',
  ) },
  { name: 'limits', once: true, tell: (scene) => scene.sayAll(
    `run --rm --memory 64m IMAGE ${CGROUP('memory', 'memory.limit_in_bytes')}`, `run --rm --memory 64m --memory-reservation 32m IMAGE ${CGROUP('memory', 'memory.soft_limit_in_bytes')}`, `run --rm --cpus 0.5 IMAGE sh -c "cd /sys/fs/cgroup/cpu; cat cpu.cfs_quota_us cpu.cfs_period_us"`,
    `run --rm --cpu-shares 512 IMAGE ${CGROUP('cpu', 'cpu.shares')}`, `run --rm --cpuset-cpus 0 IMAGE ${CGROUP('cpuset', 'cpuset.cpus')}`, `run --rm --pids-limit 20 IMAGE ${CGROUP('pids', 'pids.max')}`, `run --rm --pids-limit -1 IMAGE ${CGROUP('pids', 'pids.max')}`,
    'run --rm --ulimit nofile=100:200 --ulimit core=0 IMAGE sh -c "ulimit -Sn; ulimit -Hn; ulimit -c"', 'run --rm --shm-size 1m IMAGE sh -c "df -k /dev/shm | tail -1"', 'run --rm IMAGE sh -c "df -k /dev/shm | tail -1"', 'run --rm --oom-score-adj 100 IMAGE cat /proc/self/oom_score_adj',
    'run --name @oom --memory 16m IMAGE tail /dev/zero', 'inspect -f "{{.State.OOMKilled}} {{.State.ExitCode}}" @oom', 'run --rm --cpus 100 IMAGE true', 'run --rm --memory 64m --memory-swap 32m IMAGE true', 'run --rm --memory-swap 32m IMAGE true',
    'run --rm --cgroup-parent /compat-parent IMAGE sh -c "cat /proc/self/cgroup | grep :memory:"', 'run --rm --ulimit nosuch=1 IMAGE true',
  ) },
  { name: 'mounts', once: true, tell: async (scene) => {
    writeFileSync(join(scene.folder, 'file'), 'of the host\n');
    await scene.sayAll(
      'run --rm -v FOLDER:/data IMAGE sh -c "cat /data/file; echo new > /data/new; ls /data"', 'run --rm -v FOLDER:/data:ro IMAGE sh -c "cat /data/new; echo x > /data/x"', 'run --rm -v FOLDER/file:/one IMAGE cat /one', 'run --rm -v FOLDER/missing:/m IMAGE sh -c "ls -d /m; ls /m"',
      'run --rm --mount type=bind,source=FOLDER,target=/data,readonly IMAGE sh -c "ls /data; echo x > /data/x"', 'run --rm --mount type=bind,source=FOLDER/nosuch,target=/data IMAGE true', 'run --rm --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700 IMAGE sh -c "df -k /t | tail -1; stat -c %a /t"',
      'run --rm --tmpfs /t IMAGE sh -c "grep \' /t \' /proc/mounts"', 'run --rm --tmpfs /t:size=64k,mode=755,exec IMAGE sh -c "grep \' /t \' /proc/mounts"', 'run --rm --read-only IMAGE sh -c "echo x > /x"', 'run --rm --read-only --tmpfs /tmp IMAGE sh -c "echo x > /tmp/x && cat /tmp/x"', 'run --rm --read-only IMAGE sh -c "echo x > /dev/shm/x; cat /dev/shm/x"',
      'run --rm -v FOLDER:/data:nosuch IMAGE true', 'run --rm -v FOLDER:relative IMAGE true', 'run --rm -v FOLDER:/ IMAGE true', 'run --rm -v FOLDER:/a -v FOLDER:/a IMAGE true', 'run --rm -v /etc/passwd:/etc/passwd/x IMAGE true',
      'run --rm IMAGE sh -c "grep -v overlay /proc/mounts | cut -d\' \' -f2 | sort"', 'run --rm --privileged IMAGE sh -c "grep -v overlay /proc/mounts | cut -d\' \' -f2 | sort"', 'run --rm IMAGE sh -c "ls -l /dev | cut -c1-10,57-; ls /dev/pts"', 'run --rm -t IMAGE sh -c "ls -1 /dev; tty"', 'run --rm --device /dev/loop-control:/dev/x IMAGE sh -c "ls -l /dev/x | cut -c1-10"', 'run --rm --device /dev/nosuch IMAGE true',
      'run --rm IMAGE sh -c "echo x > /proc/sys/kernel/hostname"', 'run --rm IMAGE sh -c "wc -c < /proc/kcore; ls /proc/acpi /sys/firmware"', 'run --name @w IMAGE sh -c "echo kept > /kept"', 'start -a @w',
    );
  } },
  { name: 'namespaces', once: true, tell: async (scene) => {
    await scene.sayAll(
      'run --rm --network none IMAGE sh -c "ls /sys/class/net; cat /sys/class/net/lo/operstate; ip -o addr show lo | head -1; ping -c1 -W1 127.0.0.1 >/dev/null && echo up"', 'run --rm IMAGE sh -c "ip link show lo | head -1"', 'run --rm --network host IMAGE sh -c "readlink /proc/self/ns/net"', 'run --rm --network host IMAGE hostname', 'run --rm --pid host IMAGE sh -c "readlink /proc/self/ns/pid"',
      'run --rm --uts host IMAGE hostname', 'run --rm --ipc host IMAGE sh -c "readlink /proc/self/ns/ipc"', 'run --rm IMAGE sh -c "echo $$"', 'run --rm IMAGE sh -c "cat /proc/self/cgroup | wc -l"', 'run --rm --pid nosuch IMAGE true', 'run --rm --network host --hostname x IMAGE hostname', 'run --rm --cgroupns private IMAGE sh -c "cut -d: -f3 /proc/self/cgroup | sort -u"',
    );
    await scene.do('run -d --name @a --ipc shareable IMAGE sleep 1000');
    await scene.sayAll('run --rm --pid container:@a IMAGE sh -c "ps | grep -c \'sleep 100[0]\'"', 'run --rm --network container:@a IMAGE ls /sys/class/net', 'run --rm --ipc container:@a IMAGE true', 'run --rm --network container:@nosuch IMAGE true', 'kill @a', 'wait @a', 'run --rm --network container:@a IMAGE true');
  } },
];
