"""What a program writes and reads: attach in all its forms, logs in all their options, log drivers."""
import re
import socket
import struct
import threading
import time

import docker
from docker.types import LogConfig

from scene import story

TALK = ['sh', '-c', 'echo out1; sleep 0.3; echo err1 >&2; sleep 0.3; echo out2; sleep 0.3; printf half']


def raw(sock):
    """The connection itself, below what the library wraps it in."""
    return getattr(sock, '_sock', sock)


def frames(data):
    """[(stream, text)], those of one stream in a row put together: where a frame ends is a matter of timing."""
    told = []
    while len(data) >= 8:
        stream, size = struct.unpack('>BxxxL', data[:8])
        text, data = data[8:8 + size], data[8 + size:]
        if told and told[-1][0] == stream:
            told[-1] = (stream, told[-1][1] + text)
        else:
            told.append((stream, text))
    return told + ([('rest', data)] if data else [])


def read_all(sock):
    data = b''
    while True:
        try:
            part = raw(sock).recv(65536)
        except ConnectionResetError:
            part = b''
        if not part:
            return data
        data += part


@story('attach')
def attach(scene):
    for label, options in [('both streams', {}), ('standard output', {'stderr': False}), ('standard error', {'stdout': False}), ('apart', {'demux': True}), ('as it comes', {'stream': True}), ('as it comes, apart', {'stream': True, 'demux': True})]:
        box = scene.create('a', TALK)

        def whole(box=box, options=options):
            sock = box.attach(**{'stream': True, **options})
            box.start()
            return list(sock)
        scene.say(label, whole, shown=lambda parts, options=options: joined(parts, options))
        box.wait()
        scene.say(f'{label}, with what was before', lambda: attached(scene, box.id, stdout=options.get('stdout', True), stderr=options.get('stderr', True)))
        box.remove()
    box = scene.create('b', 'cat', stdin_open=True)
    box.start()
    sock = raw(box.attach_socket(params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1}))
    sock.sendall(b'one\n')
    scene.logged(box, 'one')
    sock.sendall(b'two\n')
    scene.logged(box, 'two')
    sock.shutdown(socket.SHUT_WR)
    scene.note('both ways', frames(read_all(sock)))
    sock.close()
    scene.note('the only client that types was it', scene.settled(box, 'exited').attrs['State']['ExitCode'])
    box.remove()
    once = scene.create('c', ['sh', '-c', 'cat; echo end'], stdin_open=True)
    config = scene.api.inspect_container(once.id)['Config']
    scene.note('who opens standard input', [config['OpenStdin'], config['StdinOnce']])
    once.remove()
    made = scene.api.create_container(scene.image, ['sh', '-c', 'cat; echo end'], name=scene.name('d'), stdin_open=True, host_config=scene.api.create_host_config(network_mode='none'))
    sock = raw(scene.api.attach_socket(made['Id'], params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1}))
    scene.api.start(made['Id'])
    sock.sendall(b'typed\n')
    sock.shutdown(socket.SHUT_WR)
    scene.note('attached before the start', frames(read_all(sock)))
    sock.close()
    scene.say('its end', lambda: scene.api.wait(made['Id']))
    scene.say('attach to what has ended', lambda: attached(scene, made['Id'], stdout=True))
    scene.say('keys that are none', lambda: scene.api._result(scene.api._post(scene.api._url('/containers/{0}/attach', made['Id']), params={'detachKeys': 'nosuch', 'stream': 1, 'stdout': 1}, headers={'Connection': 'Upgrade', 'Upgrade': 'tcp'})))
    scene.say('no stream at all', lambda: scene.api._result(scene.api._post(scene.api._url('/containers/{0}/attach', made['Id']))))


def attached(scene, name, **streams):
    """What was written before, by attach: through a connection of its own, as the library loses what comes with the head of an answer."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(scene.url[len('unix://'):])
    query = '&'.join(f'{stream}={int(wanted)}' for stream, wanted in streams.items())
    sock.sendall(f'POST /containers/{name}/attach?logs=1&{query} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'.encode())
    head, _, data = read_all(sock).partition(b'\r\n\r\n')
    sock.close()
    return [head.split(b'\r\n')[0], frames(data) if data[:1] in b'\x01\x02' else data]


def joined(parts, options):
    if not options.get('demux'):
        return b''.join(parts)
    return [b''.join(part[side] or b'' for part in parts) for side in (0, 1)]


@story('attach to a terminal')
def attach_to_a_terminal(scene):
    box = scene.create('a', ['sh', '-c', 'stty -echo; echo up; read line; echo "got $line"; stty size; echo err >&2'], tty=True, stdin_open=True)
    sock = raw(box.attach_socket(params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1}))
    box.start()
    scene.logged(box, 'up')
    scene.say('resize', lambda: box.resize(height=33, width=77))
    sock.sendall(b'typed\n')
    scene.note('all that was shown', read_all(sock))
    sock.close()
    scene.say('its end', box.wait)
    scene.say('its logs', box.logs)
    scene.say('its logs by attach', lambda: attached(scene, box.id, stdout=True, stderr=True))
    scene.say('resize what has ended', lambda: box.resize(height=33, width=77))
    keys = scene.create('b', ['sh', '-c', 'echo up; exec cat'], tty=True, stdin_open=True)
    sock = raw(keys.attach_socket(params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1, 'detachKeys': 'ctrl-x,x'}))
    keys.start()
    scene.logged(keys, 'up')
    sock.sendall(b'\x18x')
    shown = read_all(sock).replace(b'^X', b'').replace(b'x', b'')  # how much is echoed before the keys are whole differs by timing
    scene.note('detached by keys', [shown.startswith(b'up\r\n'), scene.settled(keys, 'running').status])
    sock.close()
    keys.remove(force=True)


@story('attach by websocket')
def attach_by_websocket(scene):
    client = docker.DockerClient(base_url=scene.door, version='auto', timeout=60)
    for label, options in [('plain', {}), ('terminal', {'tty': True})]:
        box = scene.create('a', ['sh', '-c', 'stty -echo 2>/dev/null; echo up; read line; echo "got $line"; sleep 0.2; echo err >&2'], stdin_open=True, **options)
        box.start()
        scene.logged(box, 'up')
        sock = client.api.attach_socket(box.id, params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1, 'logs': 1}, ws=True)
        sock.settimeout(30)
        seen = b''
        while b'up' not in seen:
            seen += told(sock)
        sock.send('typed\n')
        while not re.search(b'err\r?\n', seen):  # a terminal may give the end of a line by itself
            seen += told(sock)
        scene.note(f'{label}: all that came', seen)
        sock.close()
        scene.say(f'{label}: its end', box.wait)
        box.remove()
    scene.say('of what is not there', lambda: client.api.attach_socket('nosuch', ws=True))


def told(sock):
    part = sock.recv()
    return part if isinstance(part, bytes) else part.encode()


@story('logs')
def logs(scene):
    box = scene.run('a', TALK)
    box.wait()
    stamped = [line.split(b' ', 1) for line in box.logs(timestamps=True).splitlines()]
    scene.note('stamps', [len(stamped), all(stamp.endswith(b'Z') and len(stamp) <= 30 for stamp, _text in stamped), [text for _stamp, text in stamped]])
    from datetime import datetime, timedelta
    times = [datetime.strptime(stamp.decode()[:26].rstrip('Z'), '%Y-%m-%dT%H:%M:%S.%f') for stamp, _text in stamped]
    middle = times[1] + (times[2] - times[1]) / 2
    seconds = (middle - datetime(1970, 1, 1)) / timedelta(seconds=1)
    for label, options in [
        ('all', {}), ('standard output', {'stderr': False}), ('standard error', {'stdout': False}), ('neither', {'stdout': False, 'stderr': False}), ('the last', {'tail': 1}), ('the last two', {'tail': 2}), ('none of them', {'tail': 0}),
        ('more than there are', {'tail': 100}), ('all by name', {'tail': 'all'}), ('to their end', {'follow': True}), ('to their end from the last', {'follow': True, 'tail': 1}),
        ('since the future', {'since': int(time.time()) + 3600}), ('since long ago', {'since': 1}), ('until long ago', {'until': 1}), ('until the future', {'until': int(time.time()) + 3600}),
    ]:
        scene.say(label, lambda options=options: whole(box.logs(**options)))
    api = scene.api
    ask = lambda **params: lambda: [text for _stream, text in frames(api._result(api._get(api._url('/containers/{0}/logs', box.id), params={'stdout': 1, 'stderr': 1, **params}), binary=True))]  # noqa: E731
    for label, params in [
        ('since the middle', {'since': f'{seconds:.9f}'}), ('until the middle', {'until': f'{seconds:.9f}'}), ('since a date', {'since': middle.isoformat()[:26] + 'Z'}), ('since a while', {'since': '1h'}), ('since what is no time', {'since': 'nosuch'}), ('until what is no time', {'until': 'nosuch'}),
        ('a tail that is none', {'tail': 'x'}), ('a negative tail', {'tail': '-1'}), ('with details', {'details': 1}), ('with words for yes', {'stderr': 'false', 'stdout': 'True'}),
    ]:
        scene.say(label, ask(**params))
    slow = scene.run('b', ['sh', '-c', 'echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two; echo three >&2'])
    scene.logged(slow, 'one')
    got = []
    reader = threading.Thread(target=lambda: got.extend(slow.logs(stream=True, follow=True)))
    reader.start()
    scene.until('the first line', lambda: b''.join(got) == b'one\n')
    slow.exec_run('touch /go')
    reader.join()
    scene.note('followed', sorted(b''.join(got).splitlines()))
    scene.say('of a terminal', lambda: scene.output('echo out; echo err >&2', tty=True))


def whole(told):
    return told if isinstance(told, bytes) else b''.join(told)


@story('log drivers')
def log_drivers(scene):
    for label, driver, options in [
        ('json-file', 'json-file', {'max-size': '1m', 'max-file': '2'}), ('json-file rotated', 'json-file', {'max-size': '2k', 'max-file': '2'}), ('json-file compressed', 'json-file', {'max-size': '2k', 'max-file': '3', 'compress': 'true'}),
        ('local', 'local', {}), ('none', 'none', {}), ('by attributes', 'json-file', {'labels': 'one,nosuch', 'labels-regex': '^tw', 'env': 'A', 'env-regex': '^B', 'tag': '{{.Name}}/{{.ImageName}}'}),
        ('without blocking', 'json-file', {'mode': 'non-blocking', 'max-buffer-size': '1m'}),
    ]:
        box = scene.create('a', ['sh', '-c', 'echo err >&2; sleep 0.3; for n in $(seq 30); do echo "line $n of many, long enough to fill a page of the log sooner or later"; done'],
                           log_config=LogConfig(type=driver, config=options), labels={'one': '1', 'two': '2'}, environment={'A': 'a', 'BB': 'b'})
        box.start()
        box.wait()
        many = 'rotated' in label or 'compressed' in label  # the last lines are there whatever was rotated away
        scene.say(f'{label}: logs', lambda: box.logs(tail=5 if many else 'all', stderr=not many, stdout=True), shown=lambda text: sorted(text.splitlines()))
        scene.say(f'{label}: details', lambda: scene.api._result(scene.api._get(scene.api._url('/containers/{0}/logs', box.id), params={'stdout': 1, 'details': 1, 'tail': 1}), binary=True)[8:])
        if driver != 'none' and not many:  # which Docker takes for a plugin, and looks for it for 15 seconds
            scene.say(f'{label}: attach', lambda: attached(scene, box.id, stderr=True))
        scene.say(f'{label}: inspect', lambda: box.attrs['HostConfig']['LogConfig'])
        box.remove()
    for label, config in [
        ('a size that is none', {'max-size': 'x'}), ('a negative size', {'max-size': '-1'}), ('no files', {'max-file': '0'}), ('files that are none', {'max-file': 'x'}), ('compression that is none', {'compress': 'x'}),
        ('compression without size', {'compress': 'true'}), ('files without size', {'max-file': '2'}), ('mode that is none', {'mode': 'nosuch'}), ('buffer without mode', {'max-buffer-size': '1m'}), ('tag that is none', {'tag': '{{.Nosuch}}'}), ('pattern that is none', {'labels-regex': '('}),
        ('another option', {'nosuch': '1'}),
    ]:
        for driver in ('json-file', 'local'):
            box = scene.say(f'{driver} with {label}: create', lambda: scene.create('b', 'true', log_config={'Type': driver, 'Config': config}), shown=str_class)
            if box is None:
                continue
            scene.say(f'{driver} with {label}: start', box.start)
            box.remove(force=True)


def str_class(box):
    return type(box).__name__
