"""Further programs in a running container."""
import socket

from scene import story
from streams import frames, raw, read_all


@story('exec')
def exec_run(scene):
    box = scene.run('a', ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'], environment={'FROM': 'container'}, working_dir='/tmp')
    both = ['sh', '-c', 'echo out; sleep 0.4; echo err >&2; exit 3']
    for label, command, options in [
        ('plain', 'echo hi', {}), ('both streams', both, {}), ('apart', both, {'demux': True}), ('standard output', both, {'stderr': False}), ('standard error', both, {'stdout': False}),
        ('terminal', ['sh', '-c', 'echo out; echo err >&2; tty'], {'tty': True}), ('directory', 'pwd', {}), ('another directory', 'pwd', {'workdir': '/etc'}), ('a directory that is not there', 'pwd', {'workdir': '/nosuch'}),
        ('environment', ['sh', '-c', 'echo $A $FROM $HOME'], {'environment': {'A': '1'}}), ('environment as a list', ['sh', '-c', 'echo $A $FROM'], {'environment': ['A=2', 'FROM=']}),
        ('user', 'id', {'user': '1000'}), ('user by name', 'id', {'user': 'nobody'}), ('user and group', 'id', {'user': '1:2'}), ('user that is not there', 'id', {'user': 'nosuch'}),
        ('what is not there', 'nosuch', {}), ('what is a directory', '/tmp', {}), ('what cannot be run', '/etc/passwd', {}), ('what is killed', ['sh', '-c', 'kill -9 $$'], {}), ('nothing', [], {}), ('binary', ['printf', '\\377\\000x'], {}),
    ]:
        scene.say(label, lambda command=command, options=options: box.exec_run(command, **options))
    scene.say('detached', lambda: box.exec_run('true', detach=True), shown=lambda told: told.output)
    scene.say('privileged', lambda: box.exec_run(['sh', '-c', 'grep Seccomp: /proc/self/status'], privileged=True))
    scene.say('as it comes', lambda: box.exec_run(both, stream=True), shown=lambda told: [told.exit_code, b''.join(told.output)])
    scene.say('as it comes, apart', lambda: box.exec_run(both, stream=True, demux=True), shown=lambda told: [told.exit_code, list(told.output)])
    box.stop(timeout=60)
    scene.say('when it has stopped', lambda: box.exec_run('true'))


@story('exec step by step')
def step_by_step(scene):
    api, box = scene.api, scene.run('a')
    made = api.exec_create(box.id, ['sh', '-c', 'read line; echo got $line; exit 4'], stdin=True)
    scene.say('before the start', lambda: api.exec_inspect(made['Id']))
    sock = raw(api.exec_start(made['Id'], socket=True))
    running = scene.until('it to run', lambda: next((told for told in [api.exec_inspect(made['Id'])] if told['Running'] and told['Pid']), None))
    scene.note('while it runs', running)
    scene.say('the container knows it', lambda: [box.reload(), box.attrs['ExecIDs'] == [made['Id']]][1])
    scene.say('start twice', lambda: api.exec_start(made['Id']))
    sock.sendall(b'typed\n')
    scene.note('what it wrote', frames(read_all(sock)))
    sock.close()
    ended = scene.until('it to end', lambda: next((told for told in [api.exec_inspect(made['Id'])] if not told['Running']), None))
    scene.note('when it has ended', ended)
    scene.say('start what has ended', lambda: api.exec_start(made['Id']))
    scene.say('resize what has ended', lambda: api.exec_resize(made['Id'], 10, 20))
    half = api.exec_create(box.id, ['sh', '-c', 'cat; echo end'], stdin=True)
    sock = raw(api.exec_start(half['Id'], socket=True))
    sock.sendall(b'half closed\n')
    sock.shutdown(socket.SHUT_WR)
    scene.note('half closed', frames(read_all(sock)))
    sock.close()
    term = api.exec_create(box.id, ['sh', '-c', 'stty -echo; echo up; read line; stty size; tty'], stdin=True, tty=True, environment=['X=1'], detach_keys='ctrl-a,b')
    scene.say('a terminal before the start', lambda: api.exec_inspect(term['Id']))
    sock = raw(api.exec_start(term['Id'], tty=True, socket=True))
    seen = b''
    while b'up' not in seen:
        seen += sock.recv(100)
    scene.say('resize', lambda: api.exec_resize(term['Id'], height=20, width=60))
    sock.sendall(b'go\n')
    scene.note('its terminal', seen + read_all(sock))
    sock.close()
    keys = api.exec_create(box.id, ['sh', '-c', 'stty raw -echo; echo up; exec cat'], stdin=True, tty=True, detach_keys='ctrl-a,b')
    sock = raw(api.exec_start(keys['Id'], tty=True, socket=True))
    seen = b''
    while b'up' not in seen:
        seen += sock.recv(100)
    sock.sendall(b'\x01b')
    scene.note('detached by keys', [read_all(sock).strip(), api.exec_inspect(keys['Id'])['Running']])
    sock.close()
    scene.say('keys that are none', lambda: api.exec_create(box.id, 'true', detach_keys='nosuch'))
    unknown = {'Cmd': ['true'], 'AttachStdout': 'x'}
    scene.say('a field of another type', lambda: api._result(api._post_json(api._url('/containers/{0}/exec', box.id), unknown), True))
    scene.say('an empty command', lambda: api._result(api._post_json(api._url('/containers/{0}/exec', box.id), {'Cmd': []}), True))
    box.pause()
    waiting = scene.say('in what is paused', lambda: api.exec_create(box.id, 'true'))
    scene.note('made all the same', waiting is not None)
    box.unpause()
    late = api.exec_create(box.id, 'true')
    box.kill()
    box.wait()
    scene.say('start when the container has ended', lambda: api.exec_start(late['Id']))
