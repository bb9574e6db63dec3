"""Images: fetched, listed, named, removed."""
from scene import story


@story('images')
def images(scene):
    client, api = scene.client, scene.api
    image, first, second = scene.image, scene.images['PULLPY'], scene.images['PULLPY2']
    repository = first.rsplit(':', 1)[0]
    summary = lambda image: {key: image.attrs.get(key) for key in ('RepoTags', 'RepoDigests', 'Id', 'Parent', 'Comment', 'Created', 'DockerVersion', 'Author', 'Architecture', 'Os', 'RootFS', 'Metadata')}  # noqa: E731
    scene.say('pull', lambda: client.images.pull(repository, tag='1'), shown=summary)
    scene.say('pull again', lambda: client.images.pull(first), shown=summary)
    scene.say('pull as it comes', lambda: list(api.pull(repository, tag='2', stream=True, decode=True)), shown=progress)
    scene.say('pull what is there', lambda: list(api.pull(repository, tag='2', stream=True, decode=True)), shown=progress)
    scene.say('pull all', lambda: client.images.pull(repository, all_tags=True), shown=lambda found: sorted(tag for image in found for tag in image.tags))
    digest = client.images.get(first).attrs['RepoDigests'][0]
    scene.say('by digest', lambda: client.images.get(digest), shown=summary)
    scene.say('pull by digest', lambda: client.images.pull(digest), shown=summary)
    for label, name in [('what is not there', scene.images['PULLNOTHING']), ('a name that is none', 'No Such'), ('a registry that is not there', '127.0.0.1:1/x')]:
        scene.say(f'pull {label}', lambda: api.pull(name))
        scene.say(f'pull {label} as an object', lambda: client.images.pull(name))
    scene.say('the data of a registry', lambda: client.images.get_registry_data(first), shown=lambda data: [data.id, data.attrs['Descriptor']['mediaType'], data.attrs['Platforms'], data.has_platform('linux/amd64')])
    scene.say('inspect', lambda: api.inspect_image(first))
    scene.say('inspect with 1.41', lambda: scene.at('1.41').inspect_image(first))
    scene.say('history', lambda: api.history(first))
    scene.say('list', lambda: [row for row in api.images() if first in (row['RepoTags'] or [])])
    scene.say('list with 1.41', lambda: [row for row in scene.at('1.41').images() if first in (row['RepoTags'] or [])])
    of = lambda **options: lambda: sorted(tag for found in client.images.list(**options) for tag in found.tags)  # noqa: E731
    for label, options in [
        ('name', {'name': repository}), ('name and tag', {'name': first}), ('reference', {'filters': {'reference': '*/clients/pull-py:*'}}), ('label', {'filters': {'label': 'own=py'}}), ('label that none has', {'filters': {'label': 'nosuch'}}), ('before', {'filters': {'before': first, 'reference': '*/clients/pull-py'}}),
        ('since', {'filters': {'since': image, 'reference': '*/clients/pull-py'}}), ('dangling', {'filters': {'dangling': True, 'label': 'own'}}), ('not dangling', {'filters': {'dangling': False, 'label': 'own=py2'}}), ('a filter that is none', {'filters': {'nosuch': 'x'}}), ('a value that is none', {'filters': {'dangling': 'maybe'}}), ('before what is not there', {'filters': {'before': 'nosuch'}}),
    ]:
        scene.say(f'list by {label}', of(**options))
    got = client.images.get(first)
    name = scene.name('copy')
    scene.say('tag', lambda: got.tag(name, tag='1'))
    scene.say('tag again', lambda: api.tag(first, name))
    scene.say('its tags', lambda: sorted(client.images.get(first).tags))
    for label, target in [('a name that is none', ('No Such', 'x')), ('a tag that is none', (name, '!!')), ('nothing', ('', ''))]:
        scene.say(f'tag as {label}', lambda: api.tag(first, *target))
    scene.say('by a short ID', lambda: client.images.get(got.id[7:19]).id == got.id)
    box = scene.create('user', 'true', image=name + ':1')
    scene.say('remove what is used', lambda: client.images.remove(got.id))
    scene.say('remove a tag of what is used', lambda: client.images.remove(name + ':1'))
    box.remove()
    scene.say('remove a tag', lambda: api.remove_image(name))
    scene.say('remove what has two names', lambda: [api.tag(first, name), api.remove_image(got.id)][1])
    scene.say('remove all by force', lambda: api.remove_image(got.id, force=True), shown=lambda told: [sorted(row) for row in told])
    scene.say('remove what is gone', lambda: api.remove_image(first))
    scene.say('prune by a label', lambda: client.images.prune(filters={'label': 'nosuch', 'dangling': False}))
    scene.say('prune by a filter that is none', lambda: client.images.prune(filters={'nosuch': 'x'}))
    second_id = client.images.get(second).id
    scene.say('remove without its parents', lambda: api.remove_image(second, noprune=True), shown=lambda told: [sorted(row) for row in told])
    scene.say('is it gone', lambda: client.images.get(second_id))
    scene.say('create from what is gone', lambda: client.containers.create(second))


def progress(lines):
    """The layers come in any order, and how much of each is seen depends on haste."""
    steps = {}
    for line in lines:
        if line.get('id') == 'Total':
            continue  # balenaEngine's
        steps.setdefault(line.get('id', ''), []).append(line['status'])
    settled = ('Waiting', 'Downloading', 'Verifying Checksum', 'Extracting', 'Download complete')
    return sorted([[status for status in statuses if status not in settled] for statuses in steps.values()])
