"""Files in and out: archives, changes, exports, commits."""
import io
import os
import tarfile

from scene import story


def tar(entries):
    """Name → text, or None for a folder, or a dictionary of fields of a TarInfo with `text`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as archive:
        for name, entry in entries.items():
            fields = entry if isinstance(entry, dict) else {} if entry is None else {'text': entry}
            text = fields.pop('text', '').encode()
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime, info.size = (tarfile.DIRTYPE, 0o755, 1600000000, 0) if entry is None else (tarfile.REGTYPE, 0o644, 1600000000, len(text))
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(text))
    return made.getvalue()


def listing(parts, only=None):
    """What stands in an archive; times only where the test has set them."""
    with tarfile.open(fileobj=io.BytesIO(b''.join(parts))) as archive:
        rows = [(info.name.rstrip('/'), info.type.decode(), oct(info.mode), info.uid, info.gid, info.size, info.linkname, info.devmajor if info.isdev() else 0, archive.extractfile(info).read() if info.isreg() and info.size < 100 else b'') for info in archive]
    return [row for row in rows if only is None or any(row[0] == name or row[0].startswith(name + '/') for name in only)]


TREE = {
    'made': None, 'made/file': 'text', 'made/program': {'text': '#!/bin/sh\n', 'mode': 0o4755}, 'made/owned': {'text': 'x', 'uid': 1000, 'gid': 1001},
    'made/link': {'type': tarfile.SYMTYPE, 'linkname': 'file'}, 'made/hard': {'type': tarfile.LNKTYPE, 'linkname': 'made/file'}, 'made/pipe': {'type': tarfile.FIFOTYPE}, 'made/äöü 日本': 'named', 'made/' + 'long' * 40: 'long',
}


@story('archives')
def archives(scene):
    for label, box in [('stopped', scene.create('stopped')), ('running', scene.run('running', volumes={scene.folder: {'bind': '/bound', 'mode': 'rw'}, scene.folder + '/ro': {'bind': '/fixed', 'mode': 'ro'}}, tmpfs={'/memory': ''}))]:
        scene.say(f'{label}: put', lambda: box.put_archive('/tmp', tar(TREE)))
        get = lambda path: (lambda: box.get_archive(path))  # noqa: E731
        for path in ['/tmp/made', '/tmp/made/link', '/nosuch'] if label == 'stopped' else ['/tmp/made', '/tmp/made/', '/tmp/made/.', '/tmp/made/file', '/tmp/made/link', '/tmp/made/pipe', 'tmp/made/file', '/tmp/../tmp/made/hard', '/nosuch', '/tmp/made/file/x', '/etc/passwd/', '', '/bin/sh']:
            scene.say(f'{label}: get {path}', get(path), shown=lambda told: {'stat': {key: value for key, value in told[1].items() if key != 'mtime'}, 'files': listing(told[0])})
        scene.say(f'{label}: time of a file', get('/tmp/made/file'), shown=lambda told: told[1]['mtime'][:10])
        cases = [
            ('over a file', '/tmp', tar({'made/file': 'new text'})), ('a folder over a file', '/tmp', tar({'made/file': None})), ('a file over a folder', '/tmp', tar({'made': 'text'})), ('into a file', '/etc/passwd', tar({'x': 'y'})), ('to nowhere', '/nosuch', tar({'x': 'y'})),
            ('what is no archive', '/tmp', b'no archive at all, but longer than a block' * 20), ('nothing', '/tmp', b''), ('out of its folder', '/tmp', tar({'../escaped': 'x'})), ('by a link', '/tmp', tar({'out': {'type': tarfile.SYMTYPE, 'linkname': '/etc'}, 'out/written': 'x'})),
            ('with an absolute name', '/tmp', tar({'/absolute': 'x'})), ('through a link', '/bin/../tmp', tar({'through': 'x'})),
        ]
        for case, path, data in cases if label == 'running' else cases[:4]:
            scene.say(f'{label}: put {case}', lambda: box.put_archive(path, data))
        scene.say(f'{label}: what is there now', get('/tmp'), shown=lambda told: sorted(listing(told[0])))
    import bz2
    import gzip
    import lzma
    for how, pack in [('gzip', gzip.compress), ('bzip2', bz2.compress), ('xz', lzma.compress)]:
        scene.say(f'put {how}', lambda: box.put_archive('/tmp', pack(tar({how: how}))))
        scene.say(f'got {how}', lambda: box.exec_run(['cat', f'/tmp/{how}']))
    for path in ['/bound', '/memory', '/fixed', '/proc', '/dev']:
        scene.say(f'put into {path}', lambda: box.put_archive(path, tar({'mine': 'text'})))
        scene.say(f'get from {path}', lambda: box.get_archive(path + '/mine'), shown=lambda told: listing(told[0]))
    scene.note('on the host', os.path.exists(scene.folder + '/mine'))
    api = scene.api
    put = lambda data, **params: lambda: api._result(api._put(api._url('/containers/{0}/archive', box.id), params=params, data=data))  # noqa: E731
    scene.say('a folder over a file, refused', put(tar({'made/owned': None}), path='/tmp', noOverwriteDirNonDir='1'))
    scene.say('a file over a folder, refused', put(tar({'made': 'text'}), path='/tmp', noOverwriteDirNonDir='true'))
    scene.say('with owners', put(tar({'mine': {'text': 'x', 'uid': 1234, 'gid': 1234}}), path='/tmp', copyUIDGID='1'))
    scene.say('its owner', lambda: box.exec_run(['stat', '-c', '%u:%g', '/tmp/mine']))
    scene.say('without a path', put(tar({'x': 'y'})))
    scene.say('stat', lambda: api.head(api._url('/containers/{0}/archive', box.id), params={'path': '/tmp/made'}), shown=lambda told: [told.status_code, 'X-Docker-Container-Path-Stat' in told.headers])
    scene.say('stat of what is not there', lambda: api.head(api._url('/containers/{0}/archive', box.id), params={'path': '/nosuch'}), shown=lambda told: [told.status_code, 'X-Docker-Container-Path-Stat' in told.headers])
    fixed = scene.create('fixed', read_only=True)
    scene.say('put into what is read-only', lambda: fixed.put_archive('/tmp', tar({'x': 'y'})))


@story('changes')
def changes(scene):
    box = scene.run('a', ['sh', '-c', 'echo x > /new; mkdir /dir; echo y > /dir/file; rm /etc/group; echo z >> /etc/passwd; ln -s new /link; chmod 700 /tmp; touch /etc; echo done; exec sleep 1000'], tmpfs={'/memory': ''}, volumes={scene.folder: {'bind': '/bound', 'mode': 'rw'}})
    scene.logged(box, 'done')
    box.exec_run('touch /memory/x /bound/x')
    by_path = lambda told: sorted(told or [], key=lambda row: row['Path'])  # noqa: E731
    scene.say('while it runs', box.diff, shown=by_path)
    box.kill()
    box.wait()
    scene.say('when it has ended', box.diff, shown=by_path)
    scene.say('none', lambda: scene.create('b').diff())
    mine = ['new', 'dir', 'link', 'etc', 'tmp', 'memory', 'bound']
    scene.say('export', lambda: list(box.export()), shown=lambda parts: sorted(listing(parts, mine)))
    scene.say('export of what never ran', lambda: list(scene.create('c').export()), shown=lambda parts: sorted(row[:3] for row in listing(parts)))


@story('commit')
def commit(scene):
    box = scene.run('a', ['sh', '-c', 'echo x > /new; rm /etc/group; echo done; exec sleep 1000'], labels={'of': 'container'}, environment={'A': '1'}, image=scene.images['FULL'], entrypoint=[], user='0')
    scene.logged(box, 'done')
    repository = scene.name('made')
    image = scene.say('plain', lambda: box.commit(repository, tag='1'))
    if image is None:
        return
    meant = lambda image: {key: image.attrs[key] for key in ('Author', 'Comment', 'Architecture', 'Os', 'RepoTags', 'Config')} | {'layers': len(image.attrs['RootFS']['Layers'])}  # noqa: E731
    scene.say('its image', lambda: scene.client.images.get(f'{repository}:1'), shown=meant)
    scene.say('its history', image.history, shown=lambda rows: [(row['CreatedBy'], row['Comment'], row['Size'] > 0, row['Tags']) for row in rows])
    changes = ['ENV B=2 C="3 4"', 'LABEL x=y', 'CMD ["ls"]', 'ENTRYPOINT ["sh", "-c"]', 'WORKDIR /there', 'USER nobody', 'EXPOSE 81/udp 82', 'VOLUME /vol', 'STOPSIGNAL TERM', 'HEALTHCHECK --interval=5s CMD true', 'ONBUILD RUN x']
    scene.say('with changes', lambda: box.commit(repository, tag='2', message='why', author='who', changes=changes))
    scene.say('its image with changes', lambda: scene.client.images.get(f'{repository}:2'), shown=meant)
    scene.say('with a configuration', lambda: box.commit(repository, tag='3', conf={'Cmd': ['other'], 'Labels': {'own': '1'}, 'Env': ['D=4']}))
    scene.say('its image with a configuration', lambda: scene.client.images.get(f'{repository}:3'), shown=meant)
    scene.say('without a pause', lambda: scene.api.commit(box.id, repository, '4', pause=False), shown=sorted)
    scene.say('run what was made', lambda: scene.output('cat /new', image=f'{repository}:1', entrypoint=[]))
    scene.say('what was removed is gone', lambda: scene.output('ls /etc', image=f'{repository}:1', entrypoint=[]))
    for label, options in [('a change that is none', {'changes': 'NOSUCH x'}), ('a change that may not be', {'changes': 'RUN x'}), ('a change with a fault', {'changes': 'ENV'}), ('a name that is none', {'repository': 'No Such'}), ('a tag that is none', {'repository': repository, 'tag': '??'})]:
        scene.say(label, lambda options=options: box.commit(**options))
    nameless = scene.say('without a name', box.commit, shown=lambda made: made.tags)
    scene.client.images.remove(nameless.id)
    box.kill()
    box.wait()
    scene.say('of what has ended', lambda: box.commit(repository, tag='5'))
