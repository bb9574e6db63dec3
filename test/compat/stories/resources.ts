// Limits: what may be asked for and what is said of it, where they stand in the container's cgroup, what is used of them, and how they are changed.
import type { Scene, Story } from '../scene.ts';
import { saidUntil } from './settled.ts';

const FIELDS = [
  'Memory', 'MemorySwap', 'MemoryReservation', 'MemorySwappiness', 'NanoCpus', 'CpuShares', 'CpuPeriod', 'CpuQuota', 'CpusetCpus', 'CpusetMems', 'PidsLimit', 'OomScoreAdj', 'OomKillDisable', 'Ulimits', 'ShmSize',
  'BlkioWeight', 'BlkioWeightDevice', 'BlkioDeviceReadBps', 'BlkioDeviceWriteIOps', 'Devices', 'DeviceCgroupRules', 'CgroupParent',
];
const hostConfig = (name: string) => `inspect -f '${FIELDS.map((field) => `{{json .HostConfig.${field}}}`).join(' ')} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' ${name}`;
const GROW = 'x=a; while :; do x=$x$x; done';

export const resourceStories: readonly Story[] = [
  { name: 'resources-create', once: true, tell: async (scene) => {
    const refused = [
      '-m 4m', '-m 8m --memory-swap 4m', '--memory-swap 8m', '--memory-reservation 4m', '-m 8m --memory-reservation 9m', '--memory-swappiness 101', '--cpus 99', '--cpus 1 --cpu-period 10000',
      '--cpu-period 10', '--cpu-quota 10', '--cpuset-cpus 0-99', '--cpuset-cpus x', '--cpuset-mems 9', '--oom-score-adj 2000',
    ];
    for (const words of refused) await scene.say(`create --name @no ${words} IMAGE true`);
    await scene.sayAll(
      'create --name @all -m 64m --memory-swap 128m --memory-reservation 32m --memory-swappiness 10 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 20 --oom-score-adj 100 --ulimit nofile=100:200 --shm-size 8m --device /dev/null:/dev/x:r --device-cgroup-rule "c 1:3 r" --device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:7 --cgroup-parent /compat-parent IMAGE true',
      hostConfig('@all'), 'create --name @quota --cpu-period 50000 --cpu-quota -1 -m 8m IMAGE true', hostConfig('@quota'), 'create --name @none --pids-limit -1 --memory-swap -1 IMAGE true', hostConfig('@none'),
      'create --name @oom --oom-kill-disable IMAGE true', 'create --name @blkio --blkio-weight 300 IMAGE true', hostConfig('@blkio'),
    );
    // Found out at the start, as it is with Docker.
    for (const words of ['--device /dev/nosuch', '--gpus all']) await scene.say(`run --name @late --rm ${words} IMAGE true`);
  } },
  { name: 'resources-limits', once: true, tell: async (scene) => {
    const files = ['memory/memory.limit_in_bytes', 'memory/memory.memsw.limit_in_bytes', 'memory/memory.soft_limit_in_bytes', 'memory/memory.swappiness', 'cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us', 'cpu/cpu.shares', 'cpuset/cpuset.cpus', 'pids/pids.max']
      .map((file) => `/sys/fs/cgroup/${file}`).join(' ');
    await scene.sayAll(
      `run --rm -m 64m --memory-swap 128m --memory-reservation 32m --memory-swappiness 10 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 1 --pids-limit 20 IMAGE cat ${files}`,
      'run --rm --oom-score-adj 100 --ulimit nofile=1000:2000 --shm-size 8m --sysctl net.ipv4.ip_forward=0 IMAGE sh -c "cat /proc/1/oom_score_adj /proc/sys/net/ipv4/ip_forward; ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -n 1"',
      'run --rm --device /dev/full:/dev/given:r IMAGE sh -c "ls -l /dev/given; head -c 1 /dev/given | wc -c; echo a > /dev/given"',
      'run --rm --pids-limit 3 IMAGE sh -c "sleep 5 & sleep 5 & sleep 5 & wait"',
      `run --name @own -m 16m --memory-swap 16m IMAGE sh -c "${GROW}"`, `run --name @child -m 16m --memory-swap 16m IMAGE sh -c "sh -c '${GROW}' 2>/dev/null; echo child $?; exit 3"`,
    );
    await scene.sayAll('inspect -f "{{.State.OOMKilled}} {{.State.ExitCode}}" @own', 'inspect -f "{{.State.OOMKilled}} {{.State.ExitCode}}" @child');
  } },
  { name: 'stats', tell: async (scene) => {
    await scene.do('run -d --name @runs -m 64m --pids-limit 30 IMAGE sleep 1000');
    await scene.do('create --name @rests IMAGE true');
    await scene.sayAll(
      'stats --no-stream @rests', 'stats --no-stream --no-trunc --format "{{.Container}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}" @rests',
      'stats --no-stream @nosuch', 'stats --no-stream --format {{.Nosuch}} @rests',
    );
    // A client that has waited for two seconds shows dashes.
    await saidUntil(scene, 'stats --no-stream --format "table {{.Name}}\\t{{.PIDs}}\\t{{.NetIO}}\\t{{.Container}}" @runs @rests', /-runs +1 /);
    await live(scene, 'stats --format "{{.Name}} {{.PIDs}}" @runs', /-runs 1[\s\S]*-runs 1/);
    await live(scene, 'stats', /CPU %[\s\S]*-runs/);
  } },
  { name: 'update', once: true, tell: async (scene) => {
    const limits = 'exec @live sh -c "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus"';
    await scene.do('run -d --name @live -m 64m --memory-swap 128m IMAGE sleep 1000');
    await scene.do('create --name @rests IMAGE true');
    await scene.do('run -d --rm --name @gone IMAGE sleep 1000');
    await scene.sayAll(
      'update @live', 'update -m 100m --memory-reservation 50m --cpus 0.5 --cpu-shares 512 --pids-limit 9 --cpuset-cpus 0 @live', limits, hostConfig('@live'),
      'update -m 300m @live', 'update --cpu-period 5000 @live', 'update --cpuset-cpus 99 @live', 'update -m 4m @live @nosuch', limits, 'update --pids-limit -1 --cpuset-cpus 0,1 @live', limits, hostConfig('@live'),
      'update -m 32m --memory-swap 64m @rests @live', hostConfig('@rests'), 'update --blkio-weight 300 @rests', 'update --restart on-failure:3 @rests', 'update --restart always:3 @rests', 'update --restart always:x @rests', hostConfig('@rests'),
      'create --name @undying --oom-kill-disable IMAGE true', 'update --restart always @gone', 'update --restart no @gone', 'update -m 1g @nosuch', 'pause @live', 'update --cpu-shares 100 @live', 'unpause @live', limits,
    );
  } },
];

/** Looked at until it shows what it shall; what else it showed is chance. */
async function live(scene: Scene, words: string, pattern: RegExp): Promise<void> {
  await using session = scene.open(words);
  await session.sees(pattern);
  session.signal('SIGKILL');
  scene.note(words, 'seen');
}
