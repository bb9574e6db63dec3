"""What a container may use: limits as they stand in its cgroup, their change while it runs, and what it used."""
from docker.types import Ulimit

from scene import shape as shape_of, story

CGROUP = {
    'memory': ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.soft_limit_in_bytes', 'memory.swappiness', 'memory.oom_control'],
    'cpu': ['cpu.shares', 'cpu.cfs_quota_us', 'cpu.cfs_period_us'], 'cpuset': ['cpuset.cpus', 'cpuset.mems'], 'pids': ['pids.max'],
    'blkio': ['blkio.throttle.read_bps_device', 'blkio.throttle.write_iops_device', 'blkio.bfq.weight'], 'devices': ['devices.list'],
}


def in_force(scene, box):
    """What the kernel was told, read on the host: with Docker's cgroups of version 1 as with those of version 2 by their own names."""
    pid = scene.client.api.inspect_container(box.id)['State']['Pid']
    places = {}
    with open(f'/proc/{pid}/cgroup') as groups:
        for line in groups:
            _number, controllers, path = line.strip().split(':', 2)
            for controller in controllers.split(','):
                places[controller] = path
    told = {}
    for controller, files in CGROUP.items():
        for name in files:
            try:
                with open(f'/sys/fs/cgroup/{controller}{places[controller]}/{name}') as file:
                    told[name] = sorted(line for line in file.read().splitlines() if 'oom_kill ' not in line)
            except (OSError, KeyError):
                told[name] = 'not there'
    return told


def shape(told):
    """What was read and written, and whether anything was, is the machine's matter."""
    return {**shape_of(told), 'blkio_stats': {key: type(field).__name__ for key, field in told['blkio_stats'].items()}}


@story('limits')
def limits(scene):
    for label, options in [
        ('none', {}), ('memory', {'mem_limit': '64m', 'memswap_limit': '128m', 'mem_reservation': '32m', 'mem_swappiness': 20}), ('memory without swap', {'mem_limit': '64m', 'memswap_limit': '64m'}), ('memory and any swap', {'mem_limit': '64m', 'memswap_limit': -1}),
        ('no oom kill', {'mem_limit': '64m', 'oom_kill_disable': True}), ('cpu', {'cpu_shares': 512, 'cpu_period': 50000, 'cpu_quota': 25000, 'cpuset_cpus': '0', 'cpuset_mems': '0'}), ('nano cpus', {'nano_cpus': 1500000000}), ('processes', {'pids_limit': 100}), ('any processes', {'pids_limit': -1}),
        ('devices', {'devices': ['/dev/null:/dev/mine:r', '/dev/zero:/dev/other'], 'device_cgroup_rules': ['c 7:* rmw', 'b 8:0 r']}),
    ]:
        box = scene.run('a', 'sleep 1000', **options)
        scene.say(label, lambda: in_force(scene, box))
        box.remove(force=True)
    for label, options, command in [
        ('ulimits', {'ulimits': [Ulimit(name='nofile', soft=512, hard=1024), Ulimit(name='core', soft=0, hard=0)]}, 'ulimit -Sn; ulimit -Hn; ulimit -c'), ('shared memory', {'shm_size': '8m'}, 'df -k /dev/shm | tail -n 1'), ('shared memory by default', {}, 'df -k /dev/shm | tail -n 1'),
        ('sysctls', {'sysctls': {'kernel.shm_rmid_forced': '1', 'net.ipv4.ip_forward': '1'}}, 'cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward'), ('oom score', {'oom_score_adj': 321}, 'cat /proc/self/oom_score_adj'), ('devices', {'devices': ['/dev/null:/dev/mine:r']}, 'ls -l /dev/mine | cut -c 1-10; echo x > /dev/mine'),
        ('too many processes', {'pids_limit': 20}, '(for n in $(seq 40); do sleep 3 & done) 2>&1 | tail -n 1'), ('too much memory', {'mem_limit': '16m', 'memswap_limit': '16m'}, 'tail /dev/zero; echo $?'),
    ]:
        scene.say(f'seen inside: {label}', lambda: scene.output(command, **options))
    killed = scene.run('c', 'tail /dev/zero', mem_limit='16m', memswap_limit='16m')
    scene.say('killed for its memory', killed.wait, shown=lambda told: told['StatusCode'])


@story('update')
def update(scene):
    box = scene.run('a', mem_limit='64m', memswap_limit='128m', cpu_shares=512)
    fields = ('Memory', 'MemorySwap', 'MemoryReservation', 'CpuShares', 'CpuQuota', 'CpuPeriod', 'CpusetCpus', 'CpusetMems', 'BlkioWeight', 'PidsLimit', 'NanoCpus', 'RestartPolicy', 'KernelMemory')

    def seen():
        box.reload()
        return [{key: box.attrs['HostConfig'].get(key) for key in fields if key in box.attrs['HostConfig']}, in_force(scene, box)]
    for label, options in [
        ('memory', {'mem_limit': '48m'}), ('memory and swap', {'mem_limit': '96m', 'memswap_limit': '192m'}), ('reservation', {'mem_reservation': '32m'}), ('cpu', {'cpu_shares': 256, 'cpu_quota': 30000, 'cpu_period': 60000}), ('cpuset', {'cpuset_cpus': '0', 'cpuset_mems': '0'}),
        ('restart', {'restart_policy': {'Name': 'on-failure', 'MaximumRetryCount': 4}}), ('nothing', {}), ('memory above swap', {'mem_limit': '512m'}), ('memory too small', {'mem_limit': '1m'}), ('a cpu that is not there', {'cpuset_cpus': '99'}), ('quota too small', {'cpu_quota': 1}), 
    ]:
        scene.say(f'{label}: update', lambda: box.update(**options))
        scene.say(f'{label}: seen', seen)
    ask = lambda body: lambda: scene.api._result(scene.api._post_json(scene.api._url('/containers/{0}/update', box.id), body), True)  # noqa: E731
    for label, body in [
        ('processes', {'PidsLimit': 50}), ('any processes', {'PidsLimit': -1}), ('nano cpus beside a quota', {'NanoCpus': 500000000}), ('restart by a name that is none', {'RestartPolicy': {'Name': 'nosuch'}}), ('restart always', {'RestartPolicy': {'Name': 'always'}}),
        ('restart always with a count', {'RestartPolicy': {'Name': 'always', 'MaximumRetryCount': 2}}), ('memory that is text', {'Memory': '1m'}), ('a field that is none', {'Nosuch': 1}), ('a field that may not change', {'Binds': ['/x:/y']}),
    ]:
        scene.say(f'{label}: update', ask(body))
        scene.say(f'{label}: seen', seen)
    box.update(restart_policy={'Name': 'no'})
    box.kill()
    box.wait()
    scene.say('when it has ended: update', lambda: box.update(mem_limit='80m', memswap_limit='160m'))
    box.start()
    scene.say('when it has begun again: seen', seen)
    leaving = scene.run('b', auto_remove=True)
    scene.say('restart of what is to be removed', lambda: leaving.update(restart_policy={'Name': 'always'}))
    leaving.kill()
    scene.gone(leaving)


@story('stats')
def stats(scene):
    box = scene.run('a', mem_limit='64m', memswap_limit='64m')
    told = scene.say('once', lambda: box.stats(stream=False), shown=shape)
    if told is None:
        return
    meant = lambda told: [told['memory_stats'].get('limit'), told['pids_stats'].get('current'), told['name'] == '/' + box.name, told['id'] == box.id, told['cpu_stats'].get('online_cpus'), told['cpu_stats']['system_cpu_usage'] > 0, 0 < told['memory_stats']['usage'] < 67108864, told['num_procs'], told['read'] > told['preread']]  # noqa: E731
    scene.note('what it says', meant(told))
    scene.note('since the last one', [told['precpu_stats']['cpu_usage']['total_usage'] > 0, told['cpu_stats']['system_cpu_usage'] > told['precpu_stats']['system_cpu_usage']])
    stream = box.stats(stream=True, decode=True)
    two = [next(stream), next(stream)]
    scene.note('as a stream', [shape(one) for one in two])
    scene.note('one after the other', two[1]['preread'] == two[0]['read'])
    raw = lambda **params: lambda: scene.api._result(scene.api._get(scene.api._url('/containers/{0}/stats', box.id), params=params), True)  # noqa: E731
    scene.say('one shot', raw(stream='0', **{'one-shot': '1'}), shown=shape)
    box.pause()
    scene.say('paused', lambda: box.stats(stream=False), shown=shape)
    box.unpause()
    box.kill()
    box.wait()
    scene.say('when it has ended', lambda: box.stats(stream=False), shown=shape)
    scene.say('when it has ended, what it says', lambda: box.stats(stream=False), shown=lambda told: {key: field for key, field in told.items() if key not in ('id', 'name')})
