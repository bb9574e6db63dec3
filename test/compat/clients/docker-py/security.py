"""What a container may do, and what it shares with others."""
import os

from scene import story

STATUS = 'grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status'


def seen(scene, label, command, **options):
    """What a program finds out about itself."""
    scene.say(label, lambda: scene.output(command, **options))


@story('security')
def security(scene):
    seen(scene, 'by default', STATUS)
    seen(scene, 'capabilities', STATUS, cap_add=['NET_ADMIN', 'CAP_SYS_TIME'], cap_drop=['CHOWN'])
    seen(scene, 'no capabilities', STATUS, cap_drop=['ALL'])
    seen(scene, 'one capability', STATUS, cap_drop=['ALL'], cap_add=['NET_BIND_SERVICE'])
    seen(scene, 'as a user', STATUS, user='1000')
    seen(scene, 'no new privileges', STATUS, security_opt=['no-new-privileges'])
    seen(scene, 'no new privileges, said otherwise', STATUS, security_opt=['no-new-privileges:true'])
    seen(scene, 'no seccomp', STATUS, security_opt=['seccomp=unconfined'])
    profile = '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}'
    seen(scene, 'a profile of its own', f'{STATUS}; mkdir /x 2>&1', security_opt=['seccomp=' + profile])
    seen(scene, 'what the default forbids', 'mount -t tmpfs x /tmp 2>&1; unshare -m true 2>&1; hostname other 2>&1; mknod /tmp/x c 1 3 && echo made')
    seen(scene, 'read-only', 'echo x > /x; echo y > /tmp/y && cat /tmp/y; echo z > /dev/shm/z && cat /dev/shm/z', read_only=True, tmpfs={'/tmp': 'size=1m'})
    seen(scene, 'what is hidden', 'cat /proc/kcore 2>&1 | head -c 100; cat /proc/keys; ls /proc/scsi /sys/firmware 2>&1; echo x > /proc/sys/kernel/domainname; echo x > /proc/sysrq-trigger')
    seen(scene, 'groups', 'id; id -G', group_add=['daemon', '1234'])
    seen(scene, 'groups of a user', 'id -G', user='nobody', group_add=['5'])
    seen(scene, 'umask and limits', 'umask; ulimit -c')
    seen(scene, 'device rules', 'ls /dev | sort | grep -v core | tr "\\n" " "')


@story('namespaces')
def namespaces(scene):
    link = lambda *kinds: '; '.join(f'readlink /proc/self/ns/{kind}' for kind in kinds)  # noqa: E731
    host = {kind: os.readlink(f'/proc/self/ns/{kind}') for kind in ('pid', 'ipc', 'uts', 'net', 'cgroup', 'user', 'mnt')}

    def shared(label, **options):
        scene.say(label, lambda: scene.output(link(*host), **options)[1].decode().split(), shown=lambda told: {kind: told[at] == host[kind] for at, kind in enumerate(host)})
    shared('by default')
    shared('pid of the host', pid_mode='host')
    shared('ipc of the host', ipc_mode='host')
    shared('uts of the host', uts_mode='host')
    shared('network of the host', network_mode='host')
    base = scene.run('base', ipc_mode='shareable', hostname='base')
    name = f'container:{base.name}'
    own = {kind: base.exec_run(['readlink', f'/proc/1/ns/{kind}']).output.strip() for kind in host}
    for kind, options in [('pid', {'pid_mode': name}), ('ipc', {'ipc_mode': name}), ('net', {'network_mode': name})]:
        scene.say(f'{kind} of another', lambda: scene.output(f'readlink /proc/self/ns/{kind}', **options)[1].strip() == own[kind])
    private = scene.run('private', ipc_mode='private')
    for label, options in [
        ('ipc of what is private', {'ipc_mode': f'container:{private.name}'}), ('hostname with the host\'s', {'uts_mode': 'host', 'hostname': 'x'}), ('hostname with another\'s network', {'network_mode': name, 'hostname': 'x'}), ('names with another\'s network', {'network_mode': name, 'dns': ['1.1.1.1']}),
        ('hosts with another\'s network', {'network_mode': name, 'extra_hosts': {'a': '1.2.3.4'}}), ('an address with another\'s network', {'network_mode': name, 'mac_address': '02:42:ac:11:00:03'}), ('pid of itself', {'pid_mode': f'container:{scene.name("c")}'}),
    ]:
        box = scene.say(f'{label}: create', lambda: scene.create('c', 'true', **options))
        if box is None:
            continue
        scene.say(f'{label}: start', box.start)
        box.remove(force=True)
    private.kill()
    private.wait()
    for label, options in [('pid of what has ended', {'pid_mode': f'container:{private.name}'}), ('network of what has ended', {'network_mode': f'container:{private.name}'})]:
        box = scene.create('d', 'true', **options)
        scene.say(label, box.start)
        box.remove(force=True)
    seen(scene, 'hostname', 'hostname; cat /etc/hostname', hostname='given', domainname='example.org')
    seen(scene, 'hosts', 'cat /etc/hosts', extra_hosts={'db': '10.0.0.1'}, hostname='given')
    seen(scene, 'names', 'cat /etc/resolv.conf', dns=['1.1.1.1'], dns_search=['example.org'], dns_opt=['ndots:2'])
    seen(scene, 'init', 'ps -o pid,args | head -n 2 | tail -n 1 | cut -c 1-40', init=True)
    base.remove(force=True)
