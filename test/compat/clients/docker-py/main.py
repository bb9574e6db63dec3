"""Tells one story: main.py --list, or main.py STORY STAGE where the stage is JSON with the arguments of a Scene."""
import importlib
import json
import sys

from scene import STORIES, Scene

for module in ('create', 'lifecycle', 'streams', 'execs', 'files', 'resources', 'security', 'mounts', 'health', 'images', 'system'):
    importlib.import_module(module)  # each registers its stories

if sys.argv[1] == '--list':
    print('\n'.join(STORIES))
else:
    STORIES[sys.argv[1]](Scene(**json.loads(sys.argv[2])))
