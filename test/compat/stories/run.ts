// run: what it says and ends with, and what the program finds itself in.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Story } from '../scene.ts';

export const runStories: readonly Story[] = [
  { name: 'exit', once: true, tell: (scene) => scene.sayAll(
    'run --rm IMAGE echo hello world',
    'run --rm IMAGE sh -c "echo out; echo err >&2; exit 3"',
    'run --rm IMAGE nosuch',
    'run --rm IMAGE /no/such/file',
    'run --rm IMAGE /etc/passwd',
    'run --rm IMAGE /etc',
    'run --rm -w /etc/passwd IMAGE true',
    'run --rm -u nosuch IMAGE true',
    'run --rm -u 0:nosuch IMAGE true',
    'run --rm IMAGE sh -c "kill -9 $$"',
    'run --rm IMAGE sh -c "kill -15 $$"',
    'run --rm REGISTRY/compat/absent:1 true',
    'run --rm NOIMAGE',
    'run --rm Upper/Case true',
    'run --rm',
    'run --nosuchflag IMAGE',
    'create --name @made IMAGE nosuch',
    'start @made',
    'inspect -f "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}" @made',
    'ps -a --filter name=@made --format "{{.Names}} {{.State}}"',
  ) },
  { name: 'names', tell: (scene) => scene.sayAll(
    'run --name @web IMAGE true',
    'run --name @web IMAGE true',
    'create --name @web IMAGE true',
    'run --name bad/name IMAGE true',
    'run --name -bad IMAGE true',
    'run --name x IMAGE true',
    'rename @web @other',
    'inspect -f "{{.Name}}" @other',
    'inspect -f "{{.Name}}" @web',
    'create --name @third IMAGE true',
    'rename @third @other',
    'rename @third @third',
    'rename @nosuch @x1',
    'rename @third bad/name',
    'rm @other @nosuch',
    'rm @third',
    'rm @third',
    'rm -f @third',
  ) },
  { name: 'config', once: true, tell: async (scene) => {
    writeFileSync(join(scene.folder, 'env'), '# comment\nFROM_FILE=yes\nEMPTY=\n');
    await scene.sayAll(
      'run --rm -e A=1 -e B="two words" -e EMPTY= --env-file FOLDER/env IMAGE sh -c "env | sort | grep -v HOSTNAME"',
      'run --rm --hostname box --domainname example.org IMAGE sh -c "hostname; env | grep HOSTNAME; cat /etc/hostname; hostname -f; grep box /etc/hosts"',
      'run --rm IMAGE sh -c "test $(hostname) = $HOSTNAME && echo same; hostname | wc -c"',
      'run --rm -w /tmp IMAGE pwd',
      'run --rm -w /made/for/it IMAGE pwd',
      'run --rm -w relative IMAGE pwd',
      'run --rm -u 1000 IMAGE id', 'run --rm -u 1000:1001 IMAGE id', 'run --rm -u nobody IMAGE id', 'run --rm -u nobody:daemon IMAGE id',
      'run --rm -u 1000 --group-add 7 --group-add daemon IMAGE id',
      'run --rm --entrypoint echo IMAGE entry point',
      'run --rm --entrypoint "" IMAGE echo no entry',
      'run --rm FULLIMAGE', 'run --rm FULLIMAGE other words', 'run --rm --entrypoint env FULLIMAGE',
      'run --rm --entrypoint /bin/sh FULLIMAGE -c "echo $GREETING; pwd; id -u"',
      'run --rm -l a=b --label c IMAGE true',
      'run --rm --init IMAGE sh -c "cat /proc/1/comm"',
      'run --rm --add-host one:10.0.0.1 IMAGE sh -c "grep one /etc/hosts"',
      'run --rm --dns 10.9.8.7 --dns-search example.org --dns-option ndots:3 IMAGE cat /etc/resolv.conf',
      'run --rm IMAGE cat /etc/hosts',
      'run --rm --sysctl net.ipv4.ip_forward=1 IMAGE cat /proc/sys/net/ipv4/ip_forward',
      'run --rm --stop-signal NOSUCH IMAGE true',
      'run --rm --restart nosuch IMAGE true',
      'run --rm --restart always IMAGE true',
      'run --rm --memory 1m IMAGE true',
      'run --rm --runtime nosuch IMAGE true',
      'run --rm --network nosuch IMAGE true',
    );
  } },
  { name: 'inspect', tell: async (scene) => {
    await scene.do('run -d --name @web -e A=1 -l role=web -w /tmp -u 0:0 --hostname box --restart on-failure:2 --memory 64m --cpus 0.5 --pids-limit 50 -v FOLDER:/host:ro --network none --tmpfs /t:size=1m --ulimit nofile=100:200 --cap-add NET_ADMIN --stop-timeout 3 IMAGE sleep 1000');
    const formats = [
      '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.ExitCode}} {{.State.Error}} {{.State.Dead}} {{.RestartCount}}', '{{.Name}} {{.Driver}} {{.Platform}} {{.Path}} {{json .Args}}',
      '{{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{.Config.WorkingDir}} {{.Config.User}}', '{{json .Config.Labels}} {{.Config.Image}} {{.Image}}',
      '{{json .HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}', '{{json .HostConfig.RestartPolicy}} {{json .HostConfig.Binds}} {{json .HostConfig.Tmpfs}}',
      '{{json .Mounts}}', '{{.GraphDriver.Name}} {{range $k, $v := .GraphDriver.Data}}{{$k}} {{end}}', '{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}} {{.HostConfig.Privileged}}',
      '{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Ports}} {{len .NetworkSettings.Networks}}', '{{.HostConfig.LogConfig.Type}} {{.Config.StopTimeout}} {{.Config.Hostname}}', '{{.NoSuchField}}', '{{.State',
    ];
    for (const format of formats) await scene.say(`inspect --format '${format}' @web`);
    await scene.say('inspect @web');
    await scene.say('inspect --type image @web');
    await scene.say('inspect --type container @nosuch');
    await scene.say('inspect @nosuch');
    await scene.say('inspect -s -f "{{.SizeRw}}" @web');
    await scene.say('container inspect @nosuch @web -f "{{.Name}}"');
    await scene.do('create --name @plain IMAGE');
    await scene.say('inspect @plain');
    await scene.do('create --name @typed -it --rm --privileged --pid host --ipc host --uts host --network host --security-opt seccomp=unconfined --read-only --shm-size 1m FULLIMAGE a b');
    await scene.say('inspect @typed');
    await scene.do('rm -f @web');
  } },
];
