"""Health checks, restart policies, and the events that tell of both."""
import threading
import time

from docker.types import Healthcheck

from scene import story

SECOND = 1000000000


def health(box):
    box.reload()
    return box.attrs['State'].get('Health')


def becomes(scene, box, status):
    """The state once it is reached, without what counts on."""
    told = scene.until(f'{box.name} to be {status}', lambda: next((told for told in [health(box)] if told and told['Status'] == status), None))
    return {'Status': told['Status'], 'failing': told['FailingStreak'] > 0, 'last': {key: field for key, field in told['Log'][-1].items() if key in ('ExitCode', 'Output')} if told['Log'] else None}


@story('health')
def health_checks(scene):
    box = scene.run('a', healthcheck=Healthcheck(test=['CMD-SHELL', 'echo checked; test ! -e /tmp/ill'], interval=SECOND // 5, timeout=10 * SECOND, retries=2), labels={'role': 'checked'})
    scene.note('well', becomes(scene, box, 'healthy'))
    scene.say('in a list', lambda: [row['Names'] for row in scene.api.containers(filters={'health': 'healthy', 'name': scene.prefix})])
    scene.say('its status', lambda: scene.api.containers(filters={'name': scene.prefix}), shown=lambda rows: [row['Status'].split('(')[-1] for row in rows])
    box.exec_run('touch /tmp/ill')
    scene.note('ill', becomes(scene, box, 'unhealthy'))
    scene.say('not in a list', lambda: [row['Names'] for row in scene.api.containers(filters={'health': 'healthy', 'name': scene.prefix})])
    box.exec_run('rm /tmp/ill')
    scene.note('well again', becomes(scene, box, 'healthy'))
    scene.until('five entries', lambda: len(health(box)['Log']) == 5)
    entry = health(box)['Log'][0]
    padded = lambda time: time.rstrip('Z').ljust(20, '.').ljust(29, '0')  # noqa: E731 -- zeros at the end are not written
    scene.note('what an entry has', [sorted(entry), padded(entry['Start']) < padded(entry['End'])])
    box.pause()
    box.unpause()
    box.kill()
    box.wait()
    scene.say('when it has ended', lambda: health(box)['Status'])
    box.remove()
    for label, check, status in [
        ('a program that is not there', {'test': ['CMD', 'nosuch'], 'interval': SECOND // 5, 'retries': 1}, 'unhealthy'), ('a check that takes too long', {'test': ['CMD', 'sleep', '1000'], 'interval': SECOND // 5, 'timeout': SECOND // 2, 'retries': 1}, 'unhealthy'),
        ('a period of grace', {'test': ['CMD', 'false'], 'interval': SECOND // 5, 'start_period': 600 * SECOND, 'retries': 1}, 'starting'), ('much output', {'test': ['CMD-SHELL', 'yes | head -c 10000'], 'interval': SECOND // 5}, 'healthy'), ('exit code 2', {'test': ['CMD-SHELL', 'exit 2'], 'interval': SECOND // 5, 'retries': 1}, 'unhealthy'),
    ]:
        box = scene.run('b', healthcheck=check)
        if status == 'starting':
            scene.until('a check', lambda: health(box)['Log'])
        scene.note(label, becomes(scene, box, status))
        box.remove(force=True)
    for label, image, options in [('of the image', scene.images['HEALTH'], {}), ('none', scene.images['HEALTH'], {'healthcheck': {'test': ['NONE']}}), ('no check at all', scene.image, {})]:
        box = scene.create('c', image=image, **options)
        scene.say(f'{label}: before the start', lambda: health(box))
        box.start()
        scene.say(f'{label}: after the start', lambda: health(box), shown=lambda told: told and told['Status'])
        box.remove(force=True)
    for label, check in [('an interval that is too short', {'test': ['CMD', 'true'], 'interval': 1000}), ('a negative timeout', {'test': ['CMD', 'true'], 'timeout': -1}), ('negative retries', {'test': ['CMD', 'true'], 'retries': -1}), ('a start period that is too short', {'test': ['CMD', 'true'], 'start_period': 10}), ('a kind that is none', {'test': ['NOSUCH', 'true']}), ('nothing to do', {'test': ['CMD']})]:
        box = scene.say(f'{label}: create', lambda: scene.create('d', healthcheck=check))
        if box:
            box.remove()


@story('restarts')
def restarts(scene):
    box = scene.run('a', ['sh', '-c', 'echo try; exit 3'], restart_policy={'Name': 'on-failure', 'MaximumRetryCount': 2})
    told = lambda box: {'count': box.attrs['RestartCount'], **{key: box.attrs['State'][key] for key in ('Status', 'Running', 'Restarting', 'ExitCode')}}  # noqa: E731
    scene.until('the last try', lambda: [box.reload(), box.attrs['RestartCount'] == 2 and box.status == 'exited'][1])
    scene.note('a few times', [told(box), box.logs()])
    well = scene.run('b', 'true', restart_policy={'Name': 'on-failure'})
    well.wait()
    scene.note('not when it went well', told(scene.settled(well, 'exited')))
    always = scene.run('c', ['sh', '-c', 'echo up; sleep 1000; exit 3'], restart_policy={'Name': 'always'})
    scene.logged(always, 'up')
    always.exec_run('kill -9 -1')
    scene.until('it to be up again', lambda: always.logs().count(b'up') == 2)
    scene.note('after a kill from inside', told(scene.settled(always, 'running')))
    always.kill()
    always.wait(condition='not-running')
    scene.note('not after a kill by a client', scene.settled(always, 'exited').status)
    always.start()
    scene.until('it to be up', lambda: always.logs().count(b'up') == 3)
    scene.note('by hand it counts from nothing', told(scene.settled(always, 'running')))
    always.stop(timeout=0)
    scene.note('stopped', told(scene.settled(always, 'exited')))
    always.remove()
    failing = scene.create('d', 'nosuch', restart_policy={'Name': 'always'})
    scene.say('what cannot start', failing.start)
    scene.note('is not tried again', told(scene.settled(failing, 'created')))
    ill = scene.run('e', ['sh', '-c', 'exit 1'], restart_policy={'Name': 'always'})
    scene.until('a few tries', lambda: [ill.reload(), ill.attrs['RestartCount'] >= 3][1])
    ill.stop()
    scene.note('stopped between two tries', scene.settled(ill, 'exited').status)
    ill.remove(force=True)


@story('events')
def events(scene):
    api, begun = scene.api, int(time.time())
    mine = lambda event: {**{key: event.get(key) for key in ('Type', 'Action', 'status', 'from', 'scope')}, 'Attributes': event['Actor']['Attributes'], 'same': [event.get('id') == event['Actor']['ID'], event['time'] == event['timeNano'] // 1000000000]}  # noqa: E731
    live = []
    listening = api.events(decode=True, filters={'container': scene.name('a'), 'type': 'container'})
    reader = threading.Thread(target=lambda: live.extend(listening), daemon=True)
    box = scene.create('a', ['sh', '-c', 'trap "exit 4" TERM; echo trapped; while :; do sleep 0.05; done'], labels={'role': 'one'})
    reader.start()
    box.start()
    scene.until('the listener to hear', lambda: [event for event in live if event['Action'] == 'start'])
    live_from = len(live)
    box.pause()
    box.unpause()
    box.exec_run('true')
    box.rename(scene.name('b'))
    box.rename(scene.name('a'))
    box.update(cpu_shares=100)
    box.kill('SIGUSR1')
    trapped = lambda times: scene.until('the trap to be set', lambda: box.logs().count(b'trapped') == times)  # noqa: E731
    trapped(1)
    box.restart(timeout=60)
    trapped(2)
    box.stop(timeout=60)
    box.remove()
    scene.until('the last one', lambda: [event for event in live if event['Action'] == 'destroy'])
    listening.close()
    until = int(time.time()) + 1
    scene.note('as they come', [mine(event) for event in live[live_from:]])
    replay = lambda **filters: lambda: list(api.events(since=begun, until=until, decode=True, filters=filters))  # noqa: E731
    whole = scene.say('again', replay(container=box.id), shown=lambda found: [mine(event) for event in found if not event['Action'].startswith('exec') or 'true' not in event['Action']][:0])
    for label, filters in [('by action', {'event': 'die'}), ('by two actions', {'event': ['start', 'stop']}), ('by label', {'label': 'role=one', 'event': 'create'}), ('by another label', {'label': 'role=two'}), ('by image', {'image': scene.image, 'event': 'kill'}), ('by type', {'type': 'network', 'event': 'destroy'}), ('by daemon', {'event': 'reload'}), ('by scope', {'scope': 'swarm'}), ('by exec', {'event': 'exec_die'})]:
        scene.say(label, replay(**{'container': box.id, **filters}), shown=lambda found: [mine(event) for event in found if not event['Action'].startswith('exec_die')] or [event['Actor']['Attributes'].get('exitCode') for event in found][-1:])
    scene.say('in the order of time', lambda: [event['timeNano'] for event in whole] == sorted(event['timeNano'] for event in whole))
    scene.say('as text', lambda: next(api.events(since=begun, until=until, filters={'container': box.id, 'event': 'destroy'})), shown=lambda text: text.endswith(b'\n'))
    scene.say('since what is no time', lambda: list(api.events(since='nosuch', until=until)))
    scene.say('until before since', lambda: list(api.events(since=until, until=begun)))
    short = scene.client.containers.run(scene.image, 'true', name=scene.name('c'), network_mode='none', detach=True, auto_remove=True)
    scene.gone(short)
    told = lambda: [event['Action'] for event in api.events(since=begun, until=int(time.time()) + 1, decode=True, filters={'container': short.id, 'type': 'container'})]  # noqa: E731
    scene.note('what removes itself', scene.until('its end to be told of', lambda: [actions for actions in [told()] if 'destroy' in actions]))
    scene.say('volumes', lambda: (scene.client.volumes.create(scene.name('v')).remove(), [mine(event) for event in api.events(since=begun, until=int(time.time()) + 1, decode=True, filters={'volume': scene.name('v')})])[1])
    copy = scene.name('tagged')
    scene.say('images', lambda: (api.tag(scene.image, copy, 'x'), api.remove_image(f'{copy}:x'), [mine(event) for event in api.events(since=begun, until=int(time.time()) + 1, decode=True, filters={'type': 'image', 'event': ['tag', 'untag']}) if copy in str(event)])[2])
