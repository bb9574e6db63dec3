"""One telling of a story through docker-py: whatever the engine answers becomes one line of JSON on standard output."""
import json
import os
import time

import docker
import requests
from docker.models.resource import Model

STORIES = {}
PATIENCE_SECONDS = 60


def story(name):
    """Registers a function of a scene under the name that the test shows."""
    def keep(tell):
        STORIES[name] = tell
        return tell
    return keep


def plain(value):
    """As JSON can say it: objects of the library by their class and name, bytes as text."""
    if isinstance(value, Model):
        return {'class': type(value).__name__, 'name': value.attrs.get('Name', value.attrs.get('Names', value.attrs.get('RepoTags')))}
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode('utf-8', 'backslashreplace')
    if isinstance(value, dict):
        return {str(key): plain(field) for key, field in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return {'class': type(value).__name__}


def shape(value):
    """Keys and types alone, for figures that are never the same twice."""
    if isinstance(value, dict):
        return {key: shape(field) for key, field in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return 'number' if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def failure(error):
    """An error as a program that uses the library can tell it from others."""
    said = {'class': type(error).__name__}
    if isinstance(error, docker.errors.APIError):
        said.update(status=error.status_code, message=plain(error.explanation))
    elif isinstance(error, docker.errors.ContainerError):
        said.update(code=error.exit_status, stderr=plain(error.stderr))
    elif not isinstance(error, requests.exceptions.RequestException):
        said.update(message=str(error))
    return said


class Scene:
    """`client` and `api` are the library's two layers, at the version that the engine offers."""

    def __init__(self, socket, door, prefix, images, folder, registry):
        self.url, self.prefix, self.images, self.folder, self.registry = 'unix://' + socket, prefix, images, folder, registry
        self.client = docker.DockerClient(base_url=self.url, version='auto', timeout=60)
        self.api = self.client.api
        self.door = 'tcp://' + door
        self.image = images['IMAGE']
        os.makedirs(folder, exist_ok=True)

    def name(self, word):
        return f'{self.prefix}-{word}'

    def at(self, version):
        """The lower layer at a version of its own."""
        return docker.APIClient(base_url=self.url, version=version, timeout=60)

    def note(self, says, answer):
        print(json.dumps({'says': says, 'answer': plain(answer)}), flush=True)

    def say(self, says, ask, shown=None):
        """Keeps the answer, or the error; gives the answer itself. `shown`: the part of it that is compared."""
        try:
            answer = ask()
            self.note(says, shown(answer) if shown else answer)
            return answer
        except Exception as error:  # whatever it is, it is the answer
            print(json.dumps({'says': says, 'error': failure(error)}), flush=True)
            return None

    def create(self, word, command='sleep 1000', image=None, **options):
        options.setdefault('network_mode', 'none')
        return self.client.containers.create(image or self.image, command, name=self.name(word), **options)

    def run(self, word, command='sleep 1000', **options):
        container = self.create(word, command, **options)
        container.start()
        return container

    def output(self, command, image=None, **options):
        """Exit code and all that a program wrote, in the order of its writing: to its end, then its logs. Docker's own `run` may miss what a short program says."""
        box = self.create('output', ['sh', '-c', 'exec 2>&1; ' + command], image=image, **options)
        try:
            box.start()
            return [box.wait()['StatusCode'], box.logs()]
        finally:
            box.remove(force=True, v=True)

    def remove(self, name):
        """Whatever it takes: dockerd on a busy machine may say that a removal is already in progress, or that a driver is."""
        def gone():
            try:
                self.api.remove_container(name, v=True, force=True)
                return True
            except docker.errors.NotFound:
                return True
            except docker.errors.APIError:
                return False
        self.until(f'{name} to be removed', gone)

    def until(self, what, ask):
        """Asks until the answer is true, and gives it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = ask()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError('waited in vain for: ' + what)
            time.sleep(0.05)

    def settled(self, container, status):
        """Until it is in that state; the container with fresh attributes."""
        def there():
            container.reload()
            return container.status == status
        self.until(f'{container.name} to be {status}', there)
        return container

    def logged(self, container, text):
        self.until(f'{container.name} to log {text}', lambda: text.encode() in container.logs())
        return container

    def gone(self, container):
        def missing():
            try:
                container.reload()
                return False
            except docker.errors.NotFound:
                return True
        self.until(f'{container.name} to be gone', missing)
