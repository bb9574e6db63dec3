// What the stories for engines leave out because only the command line decides it: pulls on a terminal, every form of run, its nouns and abbreviations.
import { until } from '../../kit/poll.ts';
import type { Scene, Story } from '../scene.ts';

const DETACH = '\x10\x11'; // ctrl-p ctrl-q

/** For an engine that is nobody else's. */
export const pruneStory: Story = { name: 'prunes', tell: async (scene) => {
  await scene.sayAll(
    'network create @one', 'network create --label keep=1 @two', 'network prune -f --filter label!=keep', 'network ls --filter name=@ --format {{.Name}}', 'network prune -f', 'network prune -f', 'network prune -f --filter nosuch=1', 'network create @one', 'volume create --label a=b @v',
    'system prune -f', 'volume ls --filter name=@ --format {{.Name}}', 'network create @one', 'system prune -f -a --volumes --filter label=a=b', 'network ls --filter name=@ --format {{.Name}}', 'volume create @w', 'system prune -f --volumes', 'system prune -f --volumes --filter until=1h', 'system df --format "{{.Type}} {{.TotalCount}} {{.Size}}"',
  );
} };

export const ownCliStories: readonly Story[] = [
  { name: 'pulls', tell: async (scene) => {
    await onTerminal(scene, 'pull TTYIMAGE');
    await onTerminal(scene, 'pull -q TTYIMAGE');
    await onTerminal(scene, 'pull REGISTRY/compat/nosuch:1');
    await scene.sayAll('rmi TTYIMAGE', 'image pull TTYIMAGE', 'pull --disable-content-trust TTYIMAGE', 'pull --quiet TTYIMAGE', 'pull -a -q TTYIMAGE');
    await scene.sayAll('run --rm AUTOIMAGE cat which', 'rmi AUTOIMAGE', 'run --rm --pull never AUTOIMAGE true', 'run --rm --pull always AUTOIMAGE cat which');
    await scene.sayAll('rmi AUTOIMAGE', 'create --name @auto --pull missing AUTOIMAGE true', 'run --rm REGISTRY/compat/absent', 'run -d REGISTRY/compat/absent', 'rmi AUTOIMAGE', 'rm @auto', 'rmi AUTOIMAGE', 'rmi AUTOIMAGE', 'pull Upper', 'pull x@sha256:short', 'pull');
  } },
  { name: 'forms', tell: async (scene) => {
    await scene.sayAll('run -d --name @d IMAGE sh -c "echo heard; exit 2"', 'wait @d', 'logs @d', 'start -a @d', 'start @d', 'run -d --rm IMAGE true', 'container run --rm IMAGE echo noun');
    await scene.sayAll('run -d -it --name @it IMAGE sh', 'run --detach --interactive --name @i IMAGE cat', 'kill @it @i', 'run -d IMAGE nosuch', 'run -d --rm IMAGE nosuch', 'run --name @bad IMAGE nosuch', 'ps -a --filter name=@bad --format {{.State}}');
    await scene.say('run -i --rm IMAGE sh -c "read a; read b; echo $b $a; exit 9"', { input: 'one\ntwo\n' });
    await scene.say('run -i IMAGE sh -c "exec cat"', { input: 'kept\n' });
    await scene.sayAll('run --rm -a stdin IMAGE cat', 'run --rm -a nosuch IMAGE cat', 'run --rm --cidfile FOLDER/cid IMAGE true', 'run --rm --cidfile FOLDER/cid IMAGE true', 'run --rm --sig-proxy=false IMAGE true', 'run --rm IMAGE /etc', 'run --rm -w /etc/passwd IMAGE true', 'run --rm -u nosuch IMAGE true', 'run --rm IMAGE sh -c "kill -9 $$"', 'run --name @d IMAGE true', 'run --rm Upper/Case', 'run --nosuch', 'run');
    await scene.sayAll('inspect -f "{{.State.ExitCode}} {{.State.Status}}" @d', 'start -a @nosuch', 'start @d @nosuch', 'wait @d', 'rm @d @nosuch', 'rm @bad');
    const proxied = scene.open('run --name @sig IMAGE sh -c "trap \'echo hup; exit 7\' HUP; echo up; while :; do sleep 0.1; done"');
    await proxied.sees(/up/);
    proxied.signal('SIGHUP');
    scene.keep('run @sig: SIGHUP', await proxied.outcome);
  } },
  { name: 'terminals', tell: async (scene) => {
    const size = 'until stty size 2>/dev/null | grep -v "^0 0"; do sleep 0.05; done'; // clients tell the size when the program runs already
    await dialogue(scene, `run -it --rm IMAGE sh -c '${size}'`);
    await dialogue(scene, 'run -it --name @a --detach-keys ctrl-a,b IMAGE sh -c "echo up; while read x; do echo got $x $(stty size 2>/dev/null); done; exit 6"', /up\r\n/, '\x01b');
    await dialogue(scene, `exec -it @a sh -c '${size}; tty; exit 3'`);
    await dialogue(scene, 'exec -it --detach-keys ctrl-a,b @a sh -c "echo up; cat"', /up\r\n/, '\x01b');
    for (const [words, keys] of [['attach --detach-keys ctrl-a,b @a', '\x01b'], ['start -ai @a', DETACH], ['attach @a', '\x04'], ['start -ai @a', '\x04']] as const) {
      // Nothing tells when the keys of an attached terminal arrive: they are typed until they come back, and what came back is not compared. Nor when the client
      // has told the size, which a program that has ended is too late for: so with the keys the size comes back.
      await using session = scene.openPty(words);
      await until(`${words} to answer`, async () => { session.write('x\r'); return session.sees(/got x [1-9]/, 300).then(() => true, () => false); });
      session.write(keys);
      const outcome = await session.outcome;
      scene.keep(`on a terminal: ${words}`, { ...outcome, stdout: outcome.stdout.replace(/^(got x( \d+ \d+)?|x|up|\s)*/, '') });
    }
    await scene.sayAll('wait @a', 'attach @a', 'inspect -f {{.State.ExitCode}} @a');
    await dialogue(scene, 'run -i --rm IMAGE cat', 'typed\r', /typed\r\ntyped/, '\x04');
    await dialogue(scene, 'ps -a --filter name=@a --format {{.Names}}');
    await scene.say('run --rm -it IMAGE true', { input: '' });
  } },
  { name: 'streams', tell: async (scene) => {
    await scene.do('run -d --name @a -e FROM=container IMAGE sleep 1000');
    await scene.sayAll('exec @a sh -c "echo out; echo err >&2; exit 3"', 'exec @a nosuch', 'exec @a /etc/passwd', 'exec -w /etc -e A=1 -u 1000:1000 @a sh -c "pwd; id; echo $A $FROM"', 'exec -d @a sh -c "echo made > /tmp/made"', 'exec @a sh -c "until grep made /tmp/made; do sleep 0.1; done 2>/dev/null"', 'exec -d @a nosuch', 'exec @nosuch true', 'exec --privileged @a true', 'exec -it @a true');
    await scene.say('exec -i @a sh -c "cat; sleep 0.3; echo late"', { input: 'early\n' });
    await scene.say('exec @a cat', { input: 'unread' });
    await scene.say('run --rm -i IMAGE sh -c "md5sum; echo end >&2; exit 4"', { input: Buffer.alloc(1 << 20, 'line\n') });
    await scene.say('run --rm -a stderr IMAGE sh -c "echo out; echo err >&2"');
    await scene.do('create -i --name @i IMAGE sh -c "while read x; do echo out $x; echo err $x >&2; done; exit 7"');
    await scene.do('start @i');
    const attached = scene.open('attach @i');
    attached.write('one\n');
    await attached.sees(/out one/);
    attached.end();
    scene.keep('attach @i: end of input', await attached.outcome);
    await scene.do('create -i --name @s IMAGE cat');
    await scene.say('start -ai @s', { input: 'first\n' });
    await scene.say('start -a @s @i');
    await scene.sayAll('pause @a', 'attach @a', 'exec @a true', 'ps --filter name=@a --format {{.Status}}', 'unpause @a', 'top @nosuch', 'top @a -o args', 'stop -t 0 @a', 'stop @a', 'wait @a', 'kill @a', 'kill -s NOSUCH @a', 'exec @a true', 'top @a', 'pause @a', 'wait @a @nosuch @i', 'start @a', 'kill -s 9 @a', 'rm @nosuch @a', 'rm -f @nosuch');
    await scene.do('run -d --name @f IMAGE sh -c "echo one; sleep 0.4; echo two >&2; exit 3"');
    await scene.sayAll('logs -f @f', 'logs --tail 1 @f', 'logs -t @f', 'logs --since nonsense @f', 'rename @f @g', 'rename @g @g', 'rename @nosuch @h', 'inspect -f {{.Name}} @g @nosuch');
  } },
  { name: 'events', tell: async (scene) => {
    const since = String(Math.floor(Date.now() / 1000) - 1);
    await scene.do('run --name @e -l role=one IMAGE sh -c "exit 3"').catch(() => '');
    await scene.do('rename @e @f');
    await scene.do('rm @f');
    const past = `events --since ${since} --until ${Math.floor(Date.now() / 1000) + 1}`;
    const mine = '--filter container=@e --filter container=@f';
    for (const more of ['', `--format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}} {{.Status}} {{.From}}'`, `--filter event=die --format '{{json .}}'`, '--filter type=image', '--filter label=role=one --filter event=create']) await scene.say(`${past} ${mine} ${more}`);
    await scene.sayAll('events --since nonsense', 'events --filter nosuch --until 1', 'events --format "{{.Nope}}" --since 1 --until 2', 'events --format "{{.Nope" --until 1');
    await using session = scene.open(`events --filter container=@live --format '{{.Action}}'`);
    await until('the listener to hear', async () => {
      await scene.do('run --rm --name @live IMAGE true');
      return /create[\s\S]*destroy/.test(session.stdout());
    });
    session.signal('SIGTERM');
    await session.outcome;
    scene.note('events, live', /create[^]*?destroy/.exec(session.stdout())?.[0]);
  } },
  { name: 'images', tell: async (scene) => {
    await scene.sayAll('tag IMAGE @i:1', 'tag IMAGE @i:2', 'images @i', 'images --digests REGISTRY/compat/busybox', 'images --no-trunc -q @i', 'images @i:nosuch', 'images --filter reference=@i:* --format {{.Tag}}', 'images --filter nosuch=1', 'images --filter dangling=maybe', 'images -a --filter label=nosuch', 'image inspect @i:1', 'inspect -f "{{.Os}}/{{.Architecture}} {{json .RepoTags}} {{len .RootFS.Layers}}" @i:2',
      'history @i:1', 'history -q --no-trunc @i:1', 'history -H=false @i:1', 'history nosuch:1', 'tag nosuch:1 x:1', 'tag IMAGE Bad:1', 'create --name @c @i:1 true', 'rmi @i:1', 'rmi @i:2 nosuch:1', 'rm @c', 'image inspect nosuch:1 IMAGE -f {{.Id}}', 'info -f "{{.OSType}} {{.NCPU}} {{.Driver}} {{json .Plugins.Volume}}"', 'info', 'version', 'version -f "{{.Server.Os}} {{.Client.Os}}"', 'nosuch', '--nosuch', 'ps extra', 'login -u x', 'logout REGISTRY');
  } },
  { name: 'nouns', tell: async (scene) => {
    await scene.sayAll(
      'container create --name @a -l x=1 IMAGE sleep 1000', 'container start @a', 'container ls -q --filter name=@nosuch', 'container ps --filter name=@a --format {{.Names}}', 'container list -a --filter name=@a --format "{{.Names}} {{.State}}"', 'container inspect -f {{.Name}} @a',
      'container exec @a echo in', 'container top @a -o args', 'container rename @a @b', 'container pause @b', 'container unpause @b', 'container kill -s USR1 @b', 'container stop -t 0 @b', 'container restart -t 0 @b', 'container logs @b', 'container port @b', 'container port @b 80', 'port @b 80/udp', 'container wait @nosuch', 'container rm @b', 'container rm -f @b', 'container rm -f @b',
      'image ls --format {{.Tag}} REGISTRY/compat/busybox', 'image list -q REGISTRY/compat/busybox', 'image inspect -f {{.Id}} IMAGE', 'image tag IMAGE @t:1', 'image history -q IMAGE', 'image rm @t:1', 'image remove @t:1', 'image tag IMAGE', 'image prune -f --filter label=nosuch', 'container prune -f --filter label=nosuch', 'image prune -f --filter nosuch=1',
      'system info -f {{.OSType}}', 'system df --format "{{.Type}}"', 'system df --nosuch', 'system events --since 1 --until 2', 'container', 'container nosuch', 'image -x', 'container ls x', 'container prune x',
      'ps --nosuch', 'ps -z', 'ps --all=maybe', 'ps --last x', 'stop --time', 'logs', 'rm --force=1 @nosuch', 'tag a', 'rename a', 'exec', 'attach', 'attach a b', 'top', 'port', 'wait', 'pause', 'unpause', 'history', 'inspect', 'inspect --type nosuch x', 'events x', 'version x', 'info x', '--version', '-v',
    );
  } },
  { name: 'formats', tell: async (scene) => {
    await scene.do('create --name @a -l a=1 -l b=2 -e X=1 IMAGE echo "two words" 3');
    for (const format of [
      '{{.Name}}', '{{json .Config.Labels}}', '{{index .Config.Labels "a"}}', '{{range .Config.Env}}{{println .}}{{end}}', '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}', '{{if .State.Running}}yes{{else}}no{{end}}', '{{len .Args}} {{join .Args ","}} {{index .Args 0}}',
      '{{.State.Status | upper}} {{title .State.Status}} {{printf "%s %d %v %q" .Name .State.Pid .State.Running .Path}}', '{{with .HostConfig}}{{.Memory}} {{.RestartPolicy.Name}}{{end}}', '{{eq .State.Status "created"}} {{ne 1 2}} {{and true false}} {{or "" "x"}} {{not false}} {{lt 1 2}}',
      '{{split .Name "-"}} {{slice .Name 0 3}} {{truncate .Name 4}} {{pad .Path 2 2}}|', '{{.HostConfig.NoSuch}}', '{{.Config.Labels.nosuch}}', '{{nosuch .Name}}', '{{.Name', '{{end}}', '{{index .Args 7}}', '{{- .Path -}} x', '{{/* nothing */}}', '{{json .NoSuch}}', '{{.Config}}', '{{.Args}}', '{{println .State.ExitCode}}', '{{html "<"}} {{js "\'"}} {{urlquery "a b"}}', '{{lower .Path}} {{json .Path}} {{.Config.Env}} {{json nil}}', '',
    ]) await scene.say(`inspect -f '${format}' @a`);
    for (const format of ['{{.Names}} {{.Label "a"}} {{.Command}} {{.RunningFor}}', 'table {{.ID}}\\t{{.Names}}', 'table {{.Names}} {{.Label "a"}}', '{{json .}}', '{{.Size}}', 'raw', 'table', '{{upper .Names}}', '{{.CreatedAt}}', '']) await scene.say(`ps -a --filter name=@a --format '${format}'`);
    for (const format of ['{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}', 'table {{.Repository}}\\t{{.CreatedSince}}', '{{json .}}', 'raw', '{{.NoSuch}}', '{{.NoSuch']) await scene.say(`images --format '${format}' REGISTRY/compat/busybox`);
    for (const format of ['{{.ID}} {{.CreatedBy}} {{.Size}}', 'table {{.Size}}\\t{{.Comment}}', '{{json .}}']) await scene.say(`history --format '${format}' IMAGE`);
    await scene.sayAll(`version --format '{{json .Client.Os}} {{.Client.Arch}}'`, `version --format '{{.Server.Platform.Name}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}}'`, `version --format '{{.Server.ApiVersion}}'`, `info --format '{{json .Swarm.LocalNodeState}} {{.ServerVersion}} {{.NoSuch}}'`);
  } },
  { name: 'flags', tell: async (scene) => {
    const names: string[] = [];
    for (const flags of [
      '-e A -e B=2 -l c -l d=4 -w /tmp -u 1:2 -h box --domainname example.org --stop-signal INT --stop-timeout 4 --entrypoint "a b"',
      '-v FOLDER:/a -v FOLDER:/b:ro --mount type=bind,src=FOLDER,dst=/c,readonly,bind-propagation=rslave --mount type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1770 --tmpfs /u --tmpfs /v:size=1m,noexec',
      '-m 64m --memory-reservation 32m --memory-swap 128m --cpus 1.5 --cpu-shares 3 --cpuset-cpus 0 --pids-limit 9 --ulimit nofile=1:2 --ulimit core=0 --shm-size 2m --oom-score-adj 5 --oom-kill-disable',
      '--cap-add NET_ADMIN --cap-drop all --privileged --security-opt no-new-privileges --security-opt seccomp=unconfined --read-only --init --group-add 5 --userns host --pid host --ipc private --uts host --cgroupns host --cgroup-parent /x',
      '--network host --dns 1.2.3.4 --dns-search a.b --dns-option ndots:1 --add-host x:1.2.3.4 --restart on-failure:3', '--restart unless-stopped --log-driver none --runtime runc --no-healthcheck --device /dev/null:/dev/n:r --sysctl net.ipv4.ip_forward=1',
      '--rm --attach stdout -i', '-t -a stdin -a stderr', '--log-opt max-size=1m --log-opt max-file=2 --expose 80 --expose 90-91/udp --link @f0 --network-alias y', '--blkio-weight 100 --cpu-period 1000 --cpu-quota 2000 --kernel-memory 8m --memory-swappiness 5 --device-cgroup-rule "c 1:3 r" --isolation default --volume-driver local',
      '-m 1x', '--cpus x', '--restart no:3', '--restart always:1', '-v a:b:c:d', '--mount type=bind', '--mount nonsense', '--tmpfs relative', '--ulimit x', '--env-file /nosuch', '-p x', '--device x:y:z:w', '--shm-size x', '--stop-timeout x', '--add-host x', '--label-file /nosuch', '--pids-limit x', '--log-opt x', '--sysctl x', '--security-opt x', '--dns x', '--network a --network b', '--gpus all', '--health-cmd x --no-healthcheck', '-h -- bad', '--mac-address x', '--ip 1.2.3.4 --network host',
    ]) {
      names.push(`@f${names.length}`);
      await scene.say(`create --name ${names.at(-1)} ${flags} IMAGE x`);
    }
    // What the daemon was told.
    for (const name of names.slice(0, 9)) {
      const [made] = JSON.parse(await scene.do(`inspect ${name}`)) as Array<{ Config: object; HostConfig: object; Mounts: object[] }>;
      if (made) scene.note(`inspect ${name}`, JSON.stringify(inOrder([made.Config, made.HostConfig, made.Mounts])));
    }
  } },
];

/** Docker sends the values of some flags in any order, and fields have that of each client's request. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => JSON.stringify(inOrder(one))).toSorted();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]): [string, unknown] => [key, inOrder(one)]).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** With a terminal: waits for each pattern, types each text, keeps the answer. */
async function dialogue(scene: Scene, words: string, ...steps: ReadonlyArray<RegExp | string>): Promise<void> {
  await using session = scene.openPty(words);
  for (const step of steps) {
    if (step instanceof RegExp) await session.sees(step);
    else session.write(step);
  }
  scene.keep(`on a terminal: ${words}`, await session.outcome);
}

/** Keeps what stands on the terminal in the end: how often a line was drawn until then is a matter of haste. */
async function onTerminal(scene: Scene, words: string): Promise<void> {
  await using session = scene.openPty(words);
  const outcome = await session.outcome;
  scene.keep(`on a terminal: ${words}`, { ...outcome, stdout: screenAfter(outcome.stdout) });
}

/** A terminal without colours: cursor up and down, line erased, carriage return and newline. */
function screenAfter(text: string): string {
  const rows: string[] = [''];
  let row = 0, column = 0;
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  for (const [token, count, move] of text.matchAll(/\x1b\[(\d*)([A-Za-z])|\r|\n|[^\x1b\r\n]+/g)) {
    const line = rows[row] ?? '';
    if (token === '\r') column = 0;
    else if (token === '\n') row++;
    else if (move === 'A') row = Math.max(0, row - Number(count || 1));
    else if (move === 'B') row += Number(count || 1);
    else if (move === 'K') rows[row] = count === '2' ? '' : line.slice(0, column);
    else if (move === undefined) {
      rows[row] = line.padEnd(column).slice(0, column) + token + line.slice(column + token.length);
      column += token.length;
    } else throw new Error(`unknown movement ${JSON.stringify(token)}`);
    while (rows.length <= row) rows.push('');
  }
  return rows.map((line) => line.trimEnd()).join('\n');
}
