"""What a container is asked to be: every field of its configuration, alone and together, and what inspect says of it afterwards."""
from docker.types import DeviceRequest, Healthcheck, LogConfig, Mount, Ulimit

from scene import story

CONFIGS = [
    ('plain', {}),
    ('words', {'command': ['echo', 'two words']}),
    ('line', {'command': 'echo "two words" three'}),
    ('entrypoint', {'entrypoint': ['sh', '-c'], 'command': ['exit 3']}),
    ('entrypoint line', {'entrypoint': 'sh -c true'}),
    ('terminal', {'tty': True, 'stdin_open': True}),
    ('user', {'user': '1000:1000'}),
    ('user as a number', {'user': 1000}),
    ('hostname', {'hostname': 'host', 'domainname': 'example.org'}),
    ('directory', {'working_dir': '/made/here'}),
    ('environment', {'environment': {'A': '1', 'B': '', 'C': None}}),
    ('environment as a list', {'environment': ['Z=last', 'A=b=c', 'PATH=/bin']}),
    ('labels', {'labels': {'one': '1', 'empty': ''}}),
    ('labels as a list', {'labels': ['one', 'two']}),
    ('ports', {'ports': ['80', ('53', 'udp'), 443]}),
    ('volumes', {'volumes': ['/one', '/two']}),
    ('stop', {'stop_signal': 'SIGUSR1', 'stop_timeout': 3}),
    ('stop by number', {'stop_signal': '9'}),
    ('no network', {'network_disabled': True}),
    ('mac address', {'mac_address': '02:42:ac:11:00:02'}),
    ('health check', {'healthcheck': Healthcheck(test=['CMD', 'true'], interval=1000000000, timeout=2000000000, retries=3, start_period=5000000)}),
    ('health check in the shell', {'healthcheck': {'test': 'exit 0'}}),
    ('no health check', {'healthcheck': {'test': ['NONE']}}),
]

HOST_CONFIGS = [
    ('restart', {'restart_policy': {'Name': 'on-failure', 'MaximumRetryCount': 5}}),
    ('restart always', {'restart_policy': {'Name': 'always'}}),
    ('restart unless stopped', {'restart_policy': {'Name': 'unless-stopped', 'MaximumRetryCount': 0}}),
    ('auto remove', {'auto_remove': True}),
    ('capabilities', {'cap_add': ['NET_ADMIN', 'SYS_TIME'], 'cap_drop': ['CHOWN', 'MKNOD']}),
    ('privileged', {'privileged': True}),
    ('read only', {'read_only': True, 'tmpfs': {'/run': 'size=1m,mode=755', '/tmp': ''}}),
    ('tmpfs as a list', {'tmpfs': ['/scratch']}),
    ('names', {'dns': ['1.1.1.1', '8.8.8.8'], 'dns_search': ['example.org'], 'dns_opt': ['ndots:2'], 'extra_hosts': {'db': '10.0.0.1', 'cache': '10.0.0.2'}}),
    ('namespaces', {'pid_mode': 'host', 'ipc_mode': 'host', 'uts_mode': 'host', 'network_mode': 'host'}),
    ('ipc private', {'ipc_mode': 'private'}),
    ('ipc shareable', {'ipc_mode': 'shareable'}),
    ('ipc none', {'ipc_mode': 'none'}),
    ('user namespace', {'userns_mode': 'host'}),
    ('security', {'security_opt': ['no-new-privileges', 'seccomp=unconfined']}),
    ('security with a label', {'security_opt': ['label=disable']}),
    ('groups', {'group_add': ['audio', 1001]}),
    ('memory', {'mem_limit': '64m', 'memswap_limit': '128m', 'mem_reservation': '32m'}),
    ('memory without swap limit', {'mem_limit': 67108864}),
    ('swappiness', {'mem_swappiness': 10}),
    ('swappiness zero', {'mem_swappiness': 0}),
    ('oom', {'oom_kill_disable': True, 'mem_limit': '64m', 'oom_score_adj': 500}),
    ('cpu', {'cpu_shares': 512, 'cpu_period': 50000, 'cpu_quota': 25000, 'cpuset_cpus': '0', 'cpuset_mems': '0'}),
    ('nano cpus', {'nano_cpus': 500000000}),
    ('processes', {'pids_limit': 100}),
    ('processes without limit', {'pids_limit': -1}),
    ('block devices', {'blkio_weight': 300}),
    ('block devices by rate', {'device_read_bps': [{'Path': '/dev/vda', 'Rate': 1048576}], 'device_write_iops': [{'Path': '/dev/vda', 'Rate': 100}]}),
    ('devices', {'devices': ['/dev/null:/dev/mine:rw', '/dev/zero'], 'device_cgroup_rules': ['c 7:* rmw']}),
    ('device requests', {'device_requests': [DeviceRequest(count=-1, capabilities=[['gpu']])]}),
    ('ulimits', {'ulimits': [Ulimit(name='nofile', soft=512, hard=1024), {'name': 'nproc', 'soft': 64, 'hard': 64}]}),
    ('sysctls', {'sysctls': {'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.shm_rmid_forced': '1'}}),
    ('shared memory', {'shm_size': '8m'}),
    ('init', {'init': True}),
    ('no init', {'init': False}),
    ('runtime', {'runtime': 'runc'}),
    ('cgroup parent', {'cgroup_parent': '/docker/nested'}),
    ('log', {'log_config': LogConfig(type='json-file', config={'max-size': '1m', 'max-file': '3', 'labels': 'one', 'env': 'A', 'tag': '{{.Name}}'})}),
    ('log local', {'log_config': LogConfig(type='local', config={'max-size': '1m'})}),
    ('no log', {'log_config': LogConfig(type='none')}),
    ('ports', {'port_bindings': {'80/tcp': 8080, '443': ('127.0.0.1', 8443), '53/udp': [5353, 5354]}, 'publish_all_ports': True}),
    ('volume driver', {'volume_driver': 'local'}),
]


@story('create')
def create(scene):
    for label, options in CONFIGS:
        inspected(scene, label, options)


@story('create for the host')
def create_for_the_host(scene):
    for label, options in HOST_CONFIGS:
        options = {'network_mode': 'none', **options}
        inspected(scene, label, {'host_config': lambda options=options: scene.api.create_host_config(**options)})


@story('create from an image')
def create_from_an_image(scene):
    for label, options in [
        ('nothing of its own', {}),
        ('words', {'command': ['other']}),
        ('entrypoint', {'entrypoint': ['cat']}),
        ('entrypoint and words', {'entrypoint': ['cat'], 'command': ['file']}),
        ('environment', {'environment': {'GREETING': 'bye', 'MORE': '1'}}),
        ('labels', {'labels': {'both': 'own', 'own': 'x'}}),
        ('ports', {'ports': [8080]}),
        ('the rest', {'working_dir': '/', 'user': 'root', 'stop_signal': 'TERM'}),
    ]:
        inspected(scene, label, options, image=scene.images['FULL'])
    inspected(scene, 'health check of the image', {}, image=scene.images['HEALTH'])
    inspected(scene, 'a part of its health check', {'healthcheck': {'interval': 7000000000}}, image=scene.images['HEALTH'])
    inspected(scene, 'none of its health check', {'healthcheck': {'test': ['NONE']}}, image=scene.images['HEALTH'])


def inspected(scene, label, options, image=None):
    """Made, looked at as a whole, removed."""
    name = scene.name('a')

    def make():
        chosen = {key: value() if callable(value) else value for key, value in options.items()}
        chosen.setdefault('host_config', scene.api.create_host_config(network_mode='none'))
        return scene.api.create_container(image or scene.image, name=name, **chosen)
    made = scene.say(f'{label}: create', make)
    if made is None:
        return
    scene.say(f'{label}: inspect', lambda: scene.api.inspect_container(made['Id']))
    scene.remove(made['Id'])


@story('create with mounts')
def create_with_mounts(scene):
    folder = scene.folder
    for label, options in [
        ('binds', {'binds': {folder + '/one': {'bind': '/one', 'mode': 'ro'}, folder + '/two': {'bind': '/two'}}}),
        ('binds as a list', {'binds': [folder + '/list:/list:rw', folder + '/made:/made']}),
        ('binds of volumes', {'binds': [scene.name('volume') + ':/named', scene.name('volume2') + ':/other:ro,nocopy']}),
        ('bind', {'mounts': [Mount('/target', folder, type='bind', read_only=True, propagation='rslave')]}),
        ('volume', {'mounts': [Mount('/target', scene.name('typed'), labels={'a': 'b'}, no_copy=True)]}),
        ('volume without a name', {'mounts': [Mount('/target', None)]}),
        ('tmpfs', {'mounts': [Mount('/target', None, type='tmpfs', tmpfs_size='1m', tmpfs_mode=0o700)]}),
        ('a folder that is not there', {'mounts': [Mount('/target', folder + '/nosuch', type='bind')]}),
        ('a relative target', {'mounts': [{'Type': 'bind', 'Source': folder, 'Target': 'relative'}]}),
        ('an unknown type', {'mounts': [{'Type': 'nosuch', 'Source': folder, 'Target': '/t'}]}),
        ('options of another type', {'mounts': [{'Type': 'tmpfs', 'Target': '/t', 'BindOptions': {'Propagation': 'rslave'}}]}),
        ('tmpfs with a source', {'mounts': [{'Type': 'tmpfs', 'Source': folder, 'Target': '/t'}]}),
        ('the same target twice', {'binds': [folder + ':/same', folder + '/two:/same']}),
        ('the same target in both ways', {'binds': [folder + ':/same'], 'mounts': [Mount('/same', folder, type='bind')]}),
        ('a bind to the root', {'binds': [folder + ':/']}),
        ('a bind with a wrong mode', {'binds': [folder + ':/x:nosuch']}),
        ('a bind with too many parts', {'binds': ['a:/b:ro:x']}),
        ('a bind of a relative folder', {'binds': ['./here:/x']}),
        ('a bind without a target', {'binds': [folder + ':']}),
        ('volumes of a container that is not there', {'volumes_from': ['nosuch']}),
    ]:
        inspected(scene, label, {'host_config': lambda options=options: scene.api.create_host_config(network_mode='none', **options)})


REFUSED = [
    ('memory too small', {'mem_limit': '1m'}),
    ('swap below memory', {'mem_limit': '64m', 'memswap_limit': '32m'}),
    ('swap without memory', {'memswap_limit': '32m'}),
    ('reservation above memory', {'mem_limit': '32m', 'mem_reservation': '64m'}),
    ('swappiness too large', {'mem_swappiness': 101}),
    ('cpu quota too small', {'cpu_quota': 1}),
    ('cpu period too small', {'cpu_period': 1}),
    ('cpu twice', {'nano_cpus': 1, 'cpu_quota': 10000}),
    ('more cpus than there are', {'nano_cpus': 999000000000}),
    ('no such cpu', {'cpuset_cpus': '99'}),
    ('no such memory node', {'cpuset_mems': '9'}),
    ('cpus that are none', {'cpuset_cpus': 'x'}),
    ('block weight', {'blkio_weight': 5}),
    ('block device that is not there', {'device_read_bps': [{'Path': '/dev/nosuch', 'Rate': 1}]}),
    ('block weight of a device', {'blkio_weight_device': [{'Path': '/dev/vda', 'Weight': 1}]}),
    ('oom score', {'oom_score_adj': 5000}),
    ('shared memory', {'shm_size': -1}),
    ('restart with removal', {'restart_policy': {'Name': 'always'}, 'auto_remove': True}),
    ('restart by another name', {'restart_policy': {'Name': 'nosuch'}}),
    ('restart always with a count', {'restart_policy': {'Name': 'always', 'MaximumRetryCount': 3}}),
    ('restart with a negative count', {'restart_policy': {'Name': 'on-failure', 'MaximumRetryCount': -1}}),
    ('capability', {'cap_add': ['NOSUCH']}),
    ('capability to drop', {'cap_drop': ['NOSUCH']}),
    ('sysctl', {'sysctls': {'kernel.nosuch': '1'}}),
    ('sysctl of the host network', {'sysctls': {'net.ipv4.ip_forward': '1'}, 'network_mode': 'host'}),
    ('security option', {'security_opt': ['nosuch']}),
    ('security option with a value', {'security_opt': ['nosuch=1']}),
    ('seccomp profile', {'security_opt': ['seccomp={']}),
    ('pid mode', {'pid_mode': 'nosuch'}),
    ('pid of a container that is not there', {'pid_mode': 'container:nosuch'}),
    ('ipc mode', {'ipc_mode': 'nosuch'}),
    ('uts mode', {'uts_mode': 'nosuch'}),
    ('user namespace', {'userns_mode': 'nosuch'}),
    ('runtime', {'runtime': 'nosuch'}),
    ('log option', {'log_config': {'Type': 'json-file', 'Config': {'nosuch': '1'}}}),
    ('log size', {'log_config': {'Type': 'json-file', 'Config': {'max-size': 'x'}}}),
    ('log files', {'log_config': {'Type': 'json-file', 'Config': {'max-file': '0'}}}),
    ('device', {'devices': [{'PathOnHost': '/dev/nosuch', 'PathInContainer': '/dev/x', 'CgroupPermissions': 'q'}]}),
    ('device rule', {'device_cgroup_rules': ['nosuch']}),
    ('ulimit', {'ulimits': [{'Name': 'nosuch', 'Soft': 1, 'Hard': 1}]}),
    ('ulimit soft above hard', {'ulimits': [{'Name': 'nofile', 'Soft': 2, 'Hard': 1}]}),
    ('dns', {'dns': ['nosuch']}),
    ('extra host', {'extra_hosts': ['nosuch']}),
    ('port', {'port_bindings': {'nosuch': 80}}),
    ('host port', {'port_bindings': {'80/tcp': 'nosuch'}}),
    ('storage option', {'storage_opt': {'nosuch': '1'}}),
    ('network of a container that is not there', {'network_mode': 'container:nosuch'}),
    ('cgroup parent', {'cgroup_parent': 'nosuch.slice'}),
    ('kernel memory', {'kernel_memory': '1m'}),
    ('real-time cpu', {'cpu_rt_runtime': 1000, 'cpu_rt_period': 10}),
    ('group', {'group_add': ['nosuch']}),
    ('isolation', {'isolation': 'hyperv'}),
]


@story('create what cannot be')
def create_what_cannot_be(scene):
    """Each is made and, if that is allowed, started: what is refused when differs, and both moments are compared. Drivers that are not there are left out: Docker looks for them for 15 seconds."""
    for label, options in REFUSED:
        config = {'NetworkMode': 'none', **scene.at('1.41').create_host_config(**{'network_mode': 'none', **{key: value for key, value in options.items() if key not in RAW}})}
        config.update({RAW[key]: value for key, value in options.items() if key in RAW})
        made = scene.say(f'{label}: create', lambda config=config: scene.api.create_container_from_config({'Image': scene.image, 'Cmd': ['true'], 'HostConfig': config}, name=scene.name('a')))
        if made is None:
            continue
        scene.say(f'{label}: start', lambda made=made: scene.api.start(made['Id']))
        scene.remove(made['Id'])


# What the library would refuse before any engine is asked.
RAW = {'devices': 'Devices', 'log_config': 'LogConfig', 'extra_hosts': 'ExtraHosts', 'dns': 'Dns', 'shm_size': 'ShmSize', 'isolation': 'Isolation', 'pid_mode': 'PidMode', 'uts_mode': 'UTSMode', 'ulimits': 'Ulimits', 'device_cgroup_rules': 'DeviceCgroupRules', 'group_add': 'GroupAdd', 'userns_mode': 'UsernsMode'}
