"""The engine itself, its networks, and what it takes no part in."""
from scene import shape, story


@story('system')
def system(scene):
    client, api = scene.client, scene.api
    scene.say('ping', client.ping)
    scene.say('version', client.version, shown=lambda told: [sorted(told), told['Os'], told['Arch'], [sorted(part) for part in told['Components'][:1]], told['MinAPIVersion'] <= '1.24', told['KernelVersion']])
    scene.say('info', client.info, shown=shape)
    scene.say('what it says', client.info, shown=lambda told: {key: told.get(key) for key in (
        'Driver', 'LoggingDriver', 'CgroupDriver', 'CgroupVersion', 'OSType', 'Architecture', 'NCPU', 'MemTotal', 'KernelVersion', 'OperatingSystem', 'MemoryLimit', 'SwapLimit', 'CpuCfsPeriod', 'CpuCfsQuota', 'CPUShares', 'CPUSet', 'PidsLimit', 'OomKillDisable', 'IPv4Forwarding', 'Debug', 'Isolation', 'DefaultRuntime', 'Name',
        'HttpProxy', 'HttpsProxy', 'NoProxy', 'Labels', 'ExperimentalBuild', 'IndexServerAddress')})
    scene.say('in no cluster', client.info, shown=lambda told: told['Swarm']['LocalNodeState'])
    scene.say('df', client.df, shown=lambda told: sorted(told))
    box = scene.run('a', ['sh', '-c', 'head -c 100000 /dev/zero > /part; mv /part /file; exec sleep 1000'])
    volume = client.volumes.create(scene.name('v'))
    scene.until('the file', lambda: box.exec_run(['test', '-s', '/file']).exit_code == 0)
    mine = lambda rows, name: [row for row in rows if name in str(row.get('Names') or row.get('Name') or row.get('RepoTags'))]  # noqa: E731
    scene.say('df of a container', client.df, shown=lambda told: [{key: field for key, field in row.items() if key not in ('NetworkSettings', 'Status', 'Created')} for row in mine(told['Containers'], scene.prefix)])
    scene.say('df of a volume', client.df, shown=lambda told: mine(told['Volumes'], scene.prefix))
    scene.say('df of an image', client.df, shown=lambda told: [{key: row[key] for key in ('Containers', 'Size', 'SharedSize', 'RepoTags')} for row in mine(told['Images'], 'clients/full')])
    volume.remove()
    box.remove(force=True)
    scene.say('login to what is not there', lambda: api.login('user', 'password', registry='127.0.0.1:1'))
    for label, ask in [
        ('nodes', client.nodes.list), ('services', client.services.list), ('secrets', client.secrets.list), ('configs', client.configs.list), ('swarm', lambda: api.inspect_swarm()), ('leave', lambda: client.swarm.leave()), ('tasks', lambda: api.tasks()),
        ('a version that is too new', lambda: scene.at('9.99').info()), ('an unknown path', lambda: api._result(api._get(api.base_url + '/nosuch'))), ('an unknown path of a version', lambda: api._result(api._get(api._url('/containers/x/nosuch')))),
        ('a wrong method', lambda: api._result(api._put(api._url('/containers/json')))), ('no JSON', lambda: api._result(api._post(api._url('/containers/create'), data='{', headers={'Content-Type': 'application/json'}))), ('another type', lambda: api._result(api._post(api._url('/containers/create'), data='{}', headers={'Content-Type': 'text/plain'}))),
        ('nothing', lambda: api._result(api._post(api._url('/containers/create'), headers={'Content-Type': 'application/json'}))), ('filters that are none', lambda: api._result(api._get(api._url('/containers/json'), params={'filters': 'x'}))), ('filters of another shape', lambda: api._result(api._get(api._url('/containers/json'), params={'filters': '{"name":{"nosuch":true}}'}))),
        ('a limit that is none', lambda: api._result(api._get(api._url('/containers/json'), params={'limit': 'x'}))),
    ]:
        scene.say(label, ask)


@story('networks')
def networks(scene):
    client, api = scene.client, scene.api
    box = scene.run('a')
    plain = lambda network: {key: field for key, field in network.items() if key not in ('Created', 'Id', 'Containers')}  # noqa: E731
    scene.say('list', lambda: sorted((network for network in api.networks(names=['none', 'host'])), key=lambda network: network['Name']), shown=lambda rows: [plain(row) for row in rows])
    for name in ('none', 'host'):
        scene.say(f'inspect {name}', lambda: api.inspect_network(name), shown=plain)
        scene.say(f'by ID, {name}', lambda: client.networks.get(client.networks.get(name).id).name)
    scene.say('who is in it', lambda: api.inspect_network('none')['Containers'].get(box.id), shown=lambda row: row and row['Name'])
    for label, options in [('driver', {'filters': {'driver': 'null'}}), ('type', {'filters': {'type': 'builtin', 'name': 'none'}}), ('custom', {'filters': {'type': 'custom'}}), ('scope', {'filters': {'scope': 'local', 'name': 'host'}}), ('name', {'names': ['hos']}), ('a filter that is none', {'filters': {'nosuch': 'x'}}), ('a type that is none', {'filters': {'type': 'nosuch'}})]:
        scene.say(f'list by {label}', lambda: [network.name for network in client.networks.list(**options)])
    for label, ask in [
        ('remove none', lambda: api.remove_network('none')), ('remove host', lambda: api.remove_network('host')), ('create one that is there', lambda: api.create_network('none')), ('create host', lambda: api.create_network('host', driver='host')),
    ]:
        scene.say(label, ask)
    box.remove(force=True)
