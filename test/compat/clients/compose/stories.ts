// Projects for docker-compose: from up to down, with all that a service may ask for and that needs no bridge network.
import type { ComposeScene, ComposeStory } from './scene.ts';

export const composeStories: readonly ComposeStory[] = [
  { name: 'a project', tell: tellProject },
  { name: 'changes', tell: tellChanges },
  { name: 'all that a service has', tell: tellService },
  { name: 'faults', tell: tellFaults },
];

const TRAP = 'sh -c "trap \'exit 5\' TERM; trap \'exit 6\' HUP; echo up; while :; do sleep 0.1; done"';

async function tellProject(scene: ComposeScene): Promise<void> {
  scene.write(`version: "2.4"
services:
  db:
    image: IMAGE
    network_mode: none
    command: ${TRAP}
    healthcheck: {test: ["CMD", "test", "-e", "/data/ready"], interval: 200ms, timeout: 10s, retries: 100}
    volumes: ["data:/data"]
  web:
    image: IMAGE
    network_mode: none
    command: ${TRAP}
    depends_on: {db: {condition: service_healthy}}
    env_file: [web.env]
    environment: {OWN: "1"}
    volumes: ["data:/data", "./conf:/conf:ro"]
  job:
    image: IMAGE
    network_mode: none
    command: sh -c "echo done; exit 4"
  setup:
    image: IMAGE
    network_mode: none
    command: touch /data/ready
    volumes: ["data:/data"]
volumes:
  data: {labels: {role: data}}
`);
  scene.write('FROM_FILE=yes\n', 'web.env');
  scene.write('configured\n', 'conf/app.conf');
  await scene.sayAll('up -d setup', 'up -d web job');
  await scene.sees('ps -a', /Exit 4/);
  await scene.sayAll('ps', 'ps --services --filter status=running', 'logs --no-color job', 'images', 'top web');
  await scene.say('exec -T web', 'sh', '-c', 'echo $FROM_FILE $OWN; cat /conf/app.conf; ls /data; exit 3');
  await scene.sayAll('exec -T -u nobody -w /conf web id', 'exec -T web nosuch', 'exec -T job true');
  await scene.say('run --rm -T --no-deps -e X=1 web', 'sh', '-c', 'echo $X $OWN; sleep 0.5; exit 7');
  await scene.sayAll('pause web', 'ps web', 'unpause', 'restart -t 60 web');
  await scene.sees('logs --no-color web', /up[^]*up/); // until its traps are set it heeds no signal
  await scene.say('kill -s HUP web');
  await scene.sees('ps web', /Exit 6/);
  await scene.sayAll('start web', 'rm -fsv', 'ps -a', 'down -v', 'down -v');
}

async function tellChanges(scene: ComposeScene): Promise<void> {
  const file = (word: string, extra = '') => scene.write(`version: "2.4"
services:
  a: {image: IMAGE, network_mode: none, command: sleep 1000, stop_grace_period: 0s, labels: {version: "${word}"}, volumes: ["kept:/kept", "/anonymous"]}
  b: {image: IMAGE, network_mode: none, command: sleep 1000, stop_grace_period: 0s}
${extra}volumes: {kept: {}}
`);
  file('1');
  await scene.say('up -d');
  await scene.say('exec -T a', 'sh', '-c', 'echo kept > /kept/file; echo kept > /anonymous/file');
  file('2', '  c: {image: IMAGE, network_mode: host, command: sleep 1000, stop_grace_period: 0s}\n');
  const listening = scene.start('events --json');
  await using _listening = listening;
  await scene.sayAll('up -d', 'up -d', 'exec -T a cat /kept/file /anonymous/file', 'up -d --force-recreate --scale b=2 b', 'ps', 'restart -t 0 c');
  await listening.sees(/"action": "restart"[^\n]*"service": "c"/); // of what is gone by the time it is looked at, it tells nothing
  file('3');
  await scene.sayAll('up -d --remove-orphans', 'stop -t 0', 'start', 'down -v -t 0');
  const events = listening.stdout().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { action: string; service: string; type: string });
  const ofC = events.filter(({ service }) => service === 'c').map(({ action, type }) => `${type} ${action}`);
  scene.note('what was heard of c', ofC.slice(ofC.indexOf('container kill'), ofC.indexOf('container restart') + 1)); // it may have begun to listen after c had been made
}

/** Every field of the format 2.4 that is for the engine and needs no network. */
const EVERYTHING = `version: "2.4"
services:
  all:
    image: IMAGE
    network_mode: none
    container_name: \${COMPOSE_PROJECT_NAME}_all
    command: ["sleep", "1000"]
    entrypoint: ["sh", "-c", "exec \\"$$@\\"", "--"]
    hostname: given
    domainname: example.org
    user: "0:0"
    working_dir: /work
    stdin_open: true
    tty: true
    stop_signal: SIGKILL
    stop_grace_period: 3s
    restart: on-failure:3
    init: true
    read_only: true
    privileged: false
    ipc: shareable
    cgroup_parent: /docker
    environment: ["A=1", "EMPTY="]
    labels: {one: "1", two: ""}
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    devices: ["/dev/null:/dev/mine:rw"]
    dns: [1.1.1.1]
    dns_search: [example.org]
    dns_opt: ["ndots:2"]
    extra_hosts: ["db:10.0.0.1"]
    expose: ["80"]
    group_add: ["1234"]
    security_opt: ["no-new-privileges:true"]
    sysctls: {net.ipv4.ip_forward: "1"}
    ulimits: {nofile: {soft: 512, hard: 1024}, nproc: 4096}
    shm_size: 8m
    mem_limit: 64m
    memswap_limit: 128m
    mem_reservation: 32m
    mem_swappiness: 10
    cpus: 0.5
    cpu_shares: 100
    cpuset: "0"
    pids_limit: 50
    oom_score_adj: 100
    tmpfs: ["/run", "/scratch:size=1m"]
    volumes:
      - ./folder:/bound
      - named:/named:ro
      - {type: bind, source: ./folder, target: /long, read_only: true}
      - {type: volume, source: named, target: /longer, volume: {nocopy: true}}
    logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
    healthcheck: {test: "true", interval: 30m, timeout: 10s, retries: 3}
  pid: {image: IMAGE, network_mode: "service:all", pid: "service:all", command: sleep 1000, depends_on: [all], stop_grace_period: 0s, volumes: [{type: tmpfs, target: /memory, tmpfs: {size: 1000000}}]}
  none: {image: HEALTH, network_mode: none, healthcheck: {disable: true}, volumes_from: ["all:ro"], read_only: true, stop_grace_period: 0s, scale: 2}
volumes: {named: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}}
`;

async function tellService(scene: ComposeScene): Promise<void> {
  scene.write(EVERYTHING);
  scene.write('', 'folder/file');
  await scene.sayAll('up -d', 'ps');
  await scene.inspect('all');
  await scene.inspect('pid_1');
  await scene.inspect('none_2');
  await scene.say('exec -T all', 'sh', '-c', 'hostname; pwd; id; printenv A EMPTY; cat /etc/resolv.conf; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; ls /bound /long; grep -E " /(run|scratch|named) " /proc/mounts | cut -d " " -f 1-3; touch /x');
  await scene.say('exec -T pid ps -o args');
}

async function tellFaults(scene: ComposeScene): Promise<void> {
  const FINE = 'image: IMAGE, network_mode: none, command: "true"';
  const faults = [
    ['a program that is not there', 'image: IMAGE, network_mode: none, command: nosuch'], ['an image that is not there', 'image: "127.0.0.1:1/nosuch", network_mode: none'], ['a container that is not there', 'image: IMAGE, network_mode: "container:nosuch"'],
    ['a device that is not there', `${FINE}, devices: ["/dev/nosuch"]`], ['a runtime that is not there', `${FINE}, runtime: nosuch`], ['too little memory', `${FINE}, mem_limit: 1m`], ['a capability that is none', `${FINE}, cap_add: [NOSUCH]`],
  ] as const;
  for (const [n, [label, fields]] of faults.entries()) {
    scene.write(`version: "2.4"\nservices:\n  fault${n}: {${fields}}\n`);
    scene.note(label, null);
    await scene.say('up -d');
  }
}
