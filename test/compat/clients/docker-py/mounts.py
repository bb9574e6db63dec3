"""Folders of the host, volumes, and memory in a container."""
import os

from docker.types import DriverConfig, Mount

from scene import story


def in_order(mounts):
    return sorted(mounts, key=lambda mount: mount['Destination'])


@story('mounts')
def mounts(scene):
    folder = scene.folder
    with open(folder + '/file', 'w') as file:
        file.write('of the host')
    os.chmod(folder + '/file', 0o640)

    def seen(label, command, **options):
        box = scene.say(f'{label}: create', lambda: scene.create('a', ['sh', '-c', command], **options))
        if box is None:
            return
        scene.say(f'{label}: start', box.start)
        scene.say(f'{label}: its end', lambda: box.wait()['StatusCode'])
        scene.say(f'{label}: what it said', lambda: sorted(box.logs().splitlines()))
        scene.say(f'{label}: mounts', lambda: (box.reload() or box).attrs['Mounts'], shown=in_order)
        scene.say(f'{label}: in a list', lambda: scene.api.containers(all=True, filters={'id': box.id})[0]['Mounts'], shown=in_order)
        box.remove(v=True)
    flags = 'grep " /m " /proc/self/mountinfo | cut -d " " -f 5-7'
    seen('bind', f'cat /m/file; echo new > /m/new; {flags}', volumes={folder: {'bind': '/m', 'mode': 'rw'}})
    scene.note('on the host', sorted(os.listdir(folder)))
    seen('bind, read-only', f'echo x > /m/x; {flags}', volumes={folder: {'bind': '/m', 'mode': 'ro'}})
    for mode in ['rshared', 'rprivate', 'ro,rslave', 'rw,z']:
        seen(f'bind with {mode}', flags.replace('5-7', '5-6'), volumes={folder: {'bind': '/m', 'mode': mode}})
    seen('a file', 'cat /m', volumes={folder + '/file': {'bind': '/m', 'mode': 'ro'}})
    seen('a folder that is made', 'ls -ld /m | cut -c 1-10', volumes={folder + '/made/deep': {'bind': '/m', 'mode': 'rw'}})
    scene.note('it was made', os.path.isdir(folder + '/made/deep'))
    seen('a folder as a mount', f'cat /m/file; {flags}', mounts=[Mount('/m', folder, type='bind', read_only=True)])
    seen('propagation of a mount', flags, mounts=[Mount('/m', folder, type='bind', propagation='rshared')])
    seen('memory', 'grep " /m " /proc/self/mounts; stat -c %a /m', tmpfs={'/m': 'size=2m,mode=700,uid=1000'})
    seen('memory as it comes', 'grep " /m " /proc/self/mounts; stat -c %a /m', tmpfs={'/m': ''})
    seen('memory with a program', 'cp /bin/busybox /m/sh; /m/sh true 2>&1 | head -n 1', tmpfs={'/m': 'exec'})
    seen('memory as a mount', 'grep " /m " /proc/self/mounts; stat -c %a /m', mounts=[Mount('/m', None, type='tmpfs', tmpfs_size='1m', tmpfs_mode=0o750)])
    seen('memory with an option that is none', 'true', tmpfs={'/m': 'nosuch=1'})
    seen('one in the other', 'ls /m /m/in', volumes={folder: {'bind': '/m', 'mode': 'rw'}}, tmpfs={'/m/in': ''})
    inside = 'ls -lan /data | tail -n +2 | sed "s/ \\+/ /g" | cut -d " " -f 1-5,9-; cat /data/file'
    seen('volume of the image', inside, image=scene.images['VOLUME'])
    name = scene.name('volume')
    seen('volume by name', f'{inside}; echo kept > /data/kept', image=scene.images['VOLUME'], volumes={name: {'bind': '/data', 'mode': 'rw'}})
    seen('volume again', inside + ' /data/kept', image=scene.images['VOLUME'], volumes={name: {'bind': '/data', 'mode': 'ro'}})
    seen('volume without a copy', inside, image=scene.images['VOLUME'], volumes={scene.name('empty'): {'bind': '/data', 'mode': 'nocopy'}})
    seen('volume as a mount', inside, image=scene.images['VOLUME'], mounts=[Mount('/data', scene.name('typed'), labels={'a': 'b'}, driver_config=DriverConfig('local'))])
    seen('volume as a mount without a copy', inside, image=scene.images['VOLUME'], mounts=[Mount('/data', scene.name('typed2'), no_copy=True, read_only=True)])
    seen('a folder over the volume', 'ls /data', image=scene.images['VOLUME'], volumes={folder: {'bind': '/data', 'mode': 'rw'}})
    scene.say('the label of a mount', lambda: scene.client.volumes.get(scene.name('typed')).attrs)
    first = scene.create('first', 'true', image=scene.images['VOLUME'], volumes={folder: {'bind': '/host', 'mode': 'ro'}, name: {'bind': '/named', 'mode': 'rw'}})
    seen('those of another', 'ls /data /host /named; echo x > /host/x; echo shared > /data/shared', volumes_from=[first.name])
    seen('those of another, read-only', 'cat /data/shared; echo x > /data/x', volumes_from=[first.name + ':ro'])
    seen('those of another with a wrong mode', 'true', volumes_from=[first.name + ':nosuch'])
    first.remove(v=True)


@story('volumes')
def volumes(scene):
    client, mine = scene.client, {'name': scene.prefix}
    sorted_attrs = lambda rows: sorted((row.attrs for row in rows), key=lambda attrs: attrs['Name'])  # noqa: E731
    one = scene.say('create', lambda: client.volumes.create(scene.name('one'), labels={'role': 'data', 'x': ''}))
    scene.say('its attributes', lambda: one.attrs)
    scene.say('create again', lambda: client.volumes.create(scene.name('one')).attrs)
    scene.say('create with a driver', lambda: client.volumes.create(scene.name('two'), driver='local').attrs)
    scene.say('create without a name', lambda: client.volumes.create(), shown=lambda volume: [len(volume.name), volume.remove()])
    for label, options in [
        ('a name that is none', {'name': 'a b'}), ('a short name', {'name': 'x'}), ('a path', {'name': '/tmp'}), ('a driver that is not there', {'name': scene.name('x'), 'driver': 'nosuch'}), ('an option that is none', {'name': scene.name('x'), 'driver_opts': {'nosuch': '1'}}),
        ('options without all that is needed', {'name': scene.name('x'), 'driver_opts': {'type': 'tmpfs'}}),
    ]:
        if 'driver' not in options or options['driver'] == 'local':
            scene.say(f'create with {label}', lambda: client.volumes.create(**options).attrs)
    scene.say('create with options', lambda: client.volumes.create(scene.name('memory'), driver_opts={'type': 'tmpfs', 'device': 'tmpfs', 'o': 'size=1m'}).attrs)
    scene.say('used with options', lambda: scene.output('grep " /m " /proc/self/mounts | cut -d " " -f 1-3', volumes={scene.name('memory'): {'bind': '/m', 'mode': 'rw'}}))
    holder = scene.create('holder', 'true', volumes={scene.name('one'): {'bind': '/one', 'mode': 'rw'}})
    for label, filters in [
        ('all', {}), ('name', {'name': scene.name('on')}), ('label', {'label': 'role'}), ('label and value', {'label': 'role=data'}), ('another value', {'label': 'role=x'}), ('driver', {'driver': 'local'}), ('another driver', {'driver': 'nosuch'}), ('dangling', {'dangling': True}), ('not dangling', {'dangling': False}),
        ('two drivers', {'driver': ['local', 'nosuch']}),
    ]:
        scene.say(f'list by {label}', lambda: client.volumes.list(filters={**mine, **filters}), shown=sorted_attrs)
    scene.say('list by a filter that is none', lambda: client.volumes.list(filters={'nosuch': 'x'}))
    scene.say('list by a value that is none', lambda: client.volumes.list(filters={'dangling': 'maybe'}))
    scene.say('remove what is used', one.remove)
    scene.say('remove what is used with force', lambda: one.remove(force=True))
    holder.remove()
    label = scene.name('only')
    client.volumes.create(scene.name('pruned'), labels={label: '1'})
    scene.say('prune by a label', lambda: client.volumes.prune(filters={'label': label, 'all': True} if scene.api._version > '1.41' else {'label': label}))
    scene.say('prune by a filter that is none', lambda: client.volumes.prune(filters={'nosuch': 'x'}))
    scene.say('remove', one.remove)
    scene.say('remove again', one.remove)
    scene.say('remove again with force', lambda: one.remove(force=True))
    scene.say('get what is gone', lambda: client.volumes.get(scene.name('one')))
