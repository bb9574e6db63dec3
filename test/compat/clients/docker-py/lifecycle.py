"""From start to removal: states, signals, waits, names, and the errors on the way."""
import threading
import time

from scene import story

TRAP = ['sh', '-c', 'trap "exit 5" TERM; trap "exit 6" HUP; trap "echo usr" USR1; echo up; while :; do sleep 0.05; done']


def state(container):
    """What is the same on every engine once a state is settled."""
    container.reload()
    told = container.attrs['State']
    return {**{key: told[key] for key in ('Status', 'Running', 'Paused', 'Restarting', 'OOMKilled', 'Dead', 'ExitCode', 'Error')}, 'pid': told['Pid'] > 0, 'started': told['StartedAt'] > '1', 'finished': told['FinishedAt'] > '1'}


@story('lifecycle')
def lifecycle(scene):
    box = scene.create('a', TRAP)
    scene.say('created', lambda: state(box))
    for label, ask in [
        ('stop what never ran', box.stop), ('kill what never ran', box.kill), ('pause what never ran', box.pause), ('unpause what never ran', box.unpause),
        ('top of what never ran', box.top), ('exec in what never ran', lambda: box.exec_run('true')), ('resize what never ran', lambda: box.resize(10, 10)),
        ('logs of what never ran', box.logs), ('changes of what never ran', box.diff),
    ]:
        scene.say(label, ask)
    scene.say('start', box.start)
    scene.logged(box, 'up')
    scene.say('running', lambda: state(box))
    scene.say('start twice', box.start)
    scene.say('unpause what runs', box.unpause)
    scene.say('remove what runs', box.remove)
    scene.say('pause', box.pause)
    scene.say('paused', lambda: state(box))
    for label, ask in [
        ('pause twice', box.pause), ('start what is paused', box.start), ('exec in what is paused', lambda: box.exec_run('true')), ('restart what is paused', lambda: box.restart(timeout=60)),
    ]:
        scene.say(label, ask)
    scene.until('it to be up again', lambda: box.logs().count(b'up') == 2)
    scene.say('restarted', lambda: state(box))
    scene.say('kill with a signal it takes', lambda: box.kill('SIGUSR1'))
    scene.logged(box, 'usr')
    for signal in ['NOSUCH', 'SIGNOSUCH', 'usr1', 10, '65', '0', '-1']:
        scene.say(f'kill with {signal}', lambda signal=signal: box.kill(signal))
    scene.say('stop', lambda: box.stop(timeout=60))
    scene.say('stopped', lambda: state(box))
    for label, ask in [
        ('stop twice', box.stop), ('kill what is stopped', box.kill), ('pause what is stopped', box.pause), ('top of what is stopped', box.top), ('exec in what is stopped', lambda: box.exec_run('true')),
        ('wait for what is stopped', box.wait),
    ]:
        scene.say(label, ask)
    scene.say('start again', box.start)
    scene.until('it to be up again', lambda: box.logs().count(b'up') == 3)
    scene.say('kill', box.kill)
    scene.say('wait for what is killed', box.wait)
    scene.say('killed', lambda: state(box))
    scene.say('remove', box.remove)
    for label, ask in [('inspect what is gone', box.reload), ('remove what is gone', box.remove), ('remove what is gone with force', lambda: box.remove(force=True))]:
        scene.say(label, ask)
    scene.gone(box)


@story('what is not there')
def what_is_not_there(scene):
    api, name = scene.api, scene.name('nosuch')
    for label, ask in [
        ('inspect', lambda: api.inspect_container(name)), ('start', lambda: api.start(name)), ('stop', lambda: api.stop(name)), ('restart', lambda: api.restart(name)), ('kill', lambda: api.kill(name)),
        ('pause', lambda: api.pause(name)), ('unpause', lambda: api.unpause(name)), ('wait', lambda: api.wait(name)), ('logs', lambda: api.logs(name)), ('attach', lambda: api.attach(name)),
        ('top', lambda: api.top(name)), ('stats', lambda: api.stats(name, stream=False)), ('diff', lambda: api.diff(name)), ('export', lambda: list(api.export(name))),
        ('put_archive', lambda: api.put_archive(name, '/', b'')), ('get_archive', lambda: api.get_archive(name, '/')), ('rename', lambda: api.rename(name, scene.name('other'))),
        ('update', lambda: api.update_container(name, mem_limit='64m')), ('resize', lambda: api.resize(name, 10, 10)), ('remove', lambda: api.remove_container(name)), ('commit', lambda: api.commit(name)),
        ('exec_create', lambda: api.exec_create(name, 'true')), ('exec_inspect', lambda: api.exec_inspect('nosuch')), ('exec_start', lambda: api.exec_start('nosuch')), ('exec_resize', lambda: api.exec_resize('nosuch', 10, 10)),
        ('port', lambda: api.port(name, 80)), ('create of no image', lambda: api.create_container('nosuch:image')), ('create of an image with a wrong name', lambda: api.create_container('No Such')),
        ('inspect_image', lambda: api.inspect_image('nosuch')), ('history', lambda: api.history('nosuch')), ('tag', lambda: api.tag('nosuch', 'other')), ('remove_image', lambda: api.remove_image('nosuch')),
        ('inspect_volume', lambda: api.inspect_volume('nosuch')), ('remove_volume', lambda: api.remove_volume('nosuch')), ('inspect_network', lambda: api.inspect_network('nosuch')), ('remove_network', lambda: api.remove_network('nosuch')),
    ]:
        scene.say(label, ask)


@story('names')
def names(scene):
    box, other = scene.create('one', 'true'), scene.create('two', 'true')
    rename = lambda name: lambda: box.rename(name)  # noqa: E731
    for label, name in [('to one that is taken', other.name), ('to a name that is none', 'a b'), ('to nothing', ''), ('to its own', scene.name('one')), ('to another', scene.name('three')), ('with a slash', '/' + scene.name('four'))]:
        scene.say(f'rename {label}', rename(name))
    scene.say('its name', lambda: [box.reload(), box.name][1])
    scene.say('by the old name', lambda: scene.client.containers.get(scene.name('one')))
    scene.say('by the name with a slash', lambda: scene.client.containers.get('/' + scene.name('four')))
    scene.say('by the start of its ID', lambda: scene.client.containers.get(box.id[:20]))
    scene.say('a name that is taken', lambda: scene.create('two', 'true'), shown=str)
    scene.say('a name that is none', lambda: scene.client.containers.create(scene.image, name='not a name'))
    scene.say('the old name again', lambda: scene.create('one', 'true'))


@story('wait')
def wait(scene):
    box = scene.run('a', ['sh', '-c', 'sleep 1; exit 7'])
    scene.say('until it ends', box.wait)
    scene.say('when it has ended', lambda: box.wait(condition='not-running'))
    answers = {}
    threads = []
    for condition in ('next-exit', 'removed'):
        def ask(condition=condition):
            answers[condition] = scene.client.containers.get(box.id).wait(condition=condition, timeout=30)
        threads.append(threading.Thread(target=ask))
    for thread in threads:
        thread.start()
    time.sleep(1.5)  # for both to be asked; none of them may have an answer before the next start
    scene.note('nothing yet', sorted(answers))
    box.start()
    threads[0].join()
    scene.note('at the next exit', answers)
    box.remove()
    threads[1].join()
    scene.note('at the removal', answers)
    new = scene.create('b', 'true')
    scene.say('for what never ran', new.wait)
    scene.say('for a condition that is none', lambda: new.wait(condition='nosuch'))
    scene.say('for too short', lambda: scene.run('c').wait(timeout=3))


@story('auto remove')
def auto_remove(scene):
    scene.say('run', lambda: scene.client.containers.run(scene.image, ['sh', '-c', 'echo hi; sleep 0.5'], name=scene.name('a'), network_mode='none', remove=True))
    scene.say('run what fails', lambda: scene.client.containers.run(scene.image, ['sh', '-c', 'echo out; echo err >&2; sleep 0.5; exit 3'], name=scene.name('b'), network_mode='none', remove=True))
    scene.say('run with both streams', lambda: scene.client.containers.run(scene.image, ['sh', '-c', 'echo out; sleep 0.2; echo err >&2; sleep 0.5'], name=scene.name('c'), network_mode='none', stderr=True, remove=True))
    scene.say('run what is not there', lambda: scene.client.containers.run(scene.image, 'nosuch', name=scene.name('d'), network_mode='none', remove=True))
    box = scene.run('e', auto_remove=True)
    scene.say('while it runs', lambda: box.attrs['HostConfig']['AutoRemove'])
    box.stop(timeout=0)
    scene.gone(box)
    scene.say('its name is free', lambda: scene.create('e', 'true'))
    failing = scene.create('f', 'nosuch', auto_remove=True)
    scene.say('a start that fails', failing.start)
    scene.gone(failing)
    for label, options in [('detached', {'detach': True}), ('detached with a stream', {'detach': True, 'stdout': False})]:
        made = scene.say(f'run {label}', lambda options=options: scene.client.containers.run(scene.image, 'true', name=scene.name('g'), network_mode='none', auto_remove=True, **options))
        scene.gone(made)
    scene.say('run as a stream', lambda: list(scene.client.containers.run(scene.image, ['sh', '-c', 'echo one; echo two; sleep 0.5'], name=scene.name('h'), network_mode='none', stream=True)), shown=lambda parts: b''.join(parts))


@story('starts that fail')
def starts_that_fail(scene):
    for label, options in [
        ('a program that is not there', {'command': 'nosuch'}), ('a directory', {'command': '/tmp'}), ('a file that cannot be run', {'command': '/etc/passwd'}),
        ('a path that is not there', {'command': '/no/such'}), ('a user that is not there', {'command': 'true', 'user': 'nosuch'}), ('a group that is not there', {'command': 'true', 'user': 'root:nosuch'}),
        ('nothing to run', {'command': [], 'entrypoint': ['']}),
    ]:
        command = options.pop('command')
        box = scene.say(f'{label}: create', lambda: scene.create('a', command, **options))
        if box is None:
            continue
        scene.say(f'{label}: start', box.start)
        scene.say(f'{label}: state', lambda: state(box))
        box.remove(force=True)


@story('list')
def list_all(scene):
    folder = scene.folder
    running = scene.run('run', labels={'role': 'one', 'tier': '2'}, volumes={folder: {'bind': '/folder', 'mode': 'rw'}})
    done = scene.run('done', ['sh', '-c', 'exit 3'], labels={'role': 'two'})
    done.wait()
    fresh = scene.create('new', 'echo many words', labels={'role': 'three'}, network_mode='host')
    paused = scene.run('paused')
    paused.pause()
    mine = {'name': scene.prefix}

    def listed(filters=None, **options):
        return lambda: scene.api.containers(**{'all': True, **options}, filters={**mine, **(filters or {})})
    scene.say('whole', listed(), shown=lambda rows: [{**row, 'Status': row['Status'].split(' ')[0]} for row in rows])
    scene.say('running ones', listed(all=False), shown=named)
    scene.say('the last', listed(limit=1), shown=named)
    scene.say('with sizes', listed(size=True), shown=lambda rows: [(row['SizeRw'] if row['State'] == 'created' else None, row['SizeRootFs'] > 1000000) for row in rows])
    for label, filters in [
        ('status running', {'status': 'running'}), ('status exited', {'status': 'exited'}), ('status created', {'status': 'created'}), ('status paused', {'status': 'paused'}), ('two states', {'status': ['exited', 'paused']}),
        ('status dead', {'status': 'dead'}), ('a status that is none', {'status': 'nosuch'}), ('exit code', {'exited': '3'}), ('another exit code', {'exited': ['0', '1']}), ('an exit code that is none', {'exited': 'x'}),
        ('a label', {'label': 'role'}), ('a label and its value', {'label': 'role=two'}), ('two labels', {'label': ['role=one', 'tier=2']}), ('two labels that exclude each other', {'label': ['role=one', 'role=two']}),
        ('name', {'name': scene.name('ru')}), ('name by a pattern', {'name': f'^/?{scene.prefix}-(run|new)$'}), ('a pattern that is none', {'name': '('}), ('ID', {'id': running.id}), ('the start of an ID', {'id': done.id[:12]}),
        ('before', {'before': fresh.name}), ('since', {'since': running.name}), ('before and since', {'before': paused.name, 'since': running.id}), ('before what is not there', {'before': 'nosuch'}),
        ('image', {'ancestor': scene.image}), ('image by ID', {'ancestor': fresh.image.id}), ('another image', {'ancestor': scene.images['FULL']}), ('an image that is not there', {'ancestor': 'nosuch'}),
        ('volume by source', {'volume': folder}), ('volume by destination', {'volume': '/folder'}), ('volume of another', {'volume': '/other'}), ('network', {'network': 'none'}), ('network host', {'network': 'host'}), ('a network that is not there', {'network': 'nosuch'}),
        ('health none', {'health': 'none'}), ('health that is none', {'health': 'nosuch'}), ('exposed port', {'expose': '80'}), ('exposed port and protocol', {'expose': '80/udp'}), ('published port', {'publish': '80'}), ('a port that is none', {'expose': 'x'}),
        ('tasks', {'is-task': 'true'}), ('no tasks', {'is-task': 'false'}), ('isolation', {'isolation': 'default'}), ('a filter that is none', {'nosuch': 'x'}),
    ]:
        scene.say(f'by {label}', listed(filters), shown=named)
    scene.say('as objects', lambda: scene.client.containers.list(all=True, filters=mine), shown=lambda boxes: [(box.name, box.status, box.image.tags, box.labels, box.short_id == box.id[:10]) for box in boxes])
    scene.say('sparse', lambda: scene.client.containers.list(all=True, sparse=True, filters=mine), shown=lambda boxes: [sorted(box.attrs) for box in boxes])
    for box in (running, paused):
        box.remove(force=True)


def named(rows):
    return [row['Names'] for row in rows]


@story('prune')
def prune(scene):
    label = f'only={scene.prefix}'
    scene.run('a', 'true', labels=['only', 'keep']).wait()
    scene.create('b', 'true', labels={'only': scene.prefix})
    scene.run('c', labels={'only': scene.prefix})
    made = scene.client.containers.list(all=True, filters={'label': label})
    scene.say('of a label that none has', lambda: scene.client.containers.prune(filters={'label': 'nosuch'}))
    scene.say('by a filter that is none', lambda: scene.client.containers.prune(filters={'nosuch': 'x'}))
    scene.say('by a time that is none', lambda: scene.client.containers.prune(filters={'until': 'x'}))
    scene.say('before their time', lambda: scene.client.containers.prune(filters={'until': '24h', 'label': label}))
    scene.say('by a label', lambda: scene.client.containers.prune(filters={'label': label}), shown=lambda told: (len(told['ContainersDeleted']), len(made), told['SpaceReclaimed']))
    scene.say('those that are left', lambda: [box.name for box in scene.client.containers.list(all=True, filters={'name': scene.prefix})])


@story('top')
def top(scene):
    box = scene.run('a', ['sh', '-c', 'sleep 1000 & exec sleep 2000'])
    scene.until('both to run', lambda: sorted(row[-1] for row in box.top()['Processes']) == ['sleep 1000', 'sleep 2000'])
    shown = lambda told: {'Titles': told['Titles'], 'Processes': [[field for title, field in zip(told['Titles'], row) if title in ('CMD', 'COMMAND', 'UID', 'USER', 'ARGS')] for row in told['Processes']]}  # noqa: E731
    for args in [None, 'aux', '-o pid,user,args', '-ef', '-nosuch', '-o user,args', '-eo pid,comm']:
        scene.say(f'with {args}', lambda args=args: box.top(ps_args=args), shown=shown)
