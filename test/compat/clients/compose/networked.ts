// A project as people have them: web, cache, worker and a job that ends, on two networks, with names, health, volumes and ports, from up to down.
import type { Netns } from '../../../kit/netns.ts';
import { until } from '../../../kit/poll.ts';
import type { ComposeScene } from './scene.ts';

/** Each service is made after the one above it, so that addresses are given in one order. */
const project = ({ page, edited = '' }: { page: string; edited?: string }) => `version: "2.4"
services:
  cache:
    image: IMAGE
    command: sh -c "mkdir -p /data/www && echo cached > /data/www/key && exec httpd -f -p 6379 -h /data/www"
    healthcheck: {test: ["CMD", "wget", "-qO-", "http://127.0.0.1:6379/key"], interval: 200ms, timeout: 10s, retries: 100}
    networks: {back: {aliases: [store, store.internal], ipv4_address: 10.213.7.9}}
    volumes: ["data:/data"]
    stop_grace_period: 0s
  web:
    image: IMAGE
    command: sh -c "mkdir -p /www && echo ${page} > /www/index.html && exec httpd -f -p 80 -h /www"
    depends_on: {cache: {condition: service_healthy}}
    networks: [front, back]
    ports: ["127.0.0.1:8080:80", "8081:80"]
    expose: ["443"]
    extra_hosts: ["elsewhere:192.0.2.9"]
    stop_grace_period: 0s
${edited}  worker:
    image: IMAGE
    command: sh -c "while :; do wget -qO- http://store:6379/key > /shared/$$(hostname) || echo failed; sleep 0.2; done"
    depends_on: [web]
    networks: [back]
    volumes: ["data:/shared"]
    stop_grace_period: 0s
  job:
    image: IMAGE
    command: sh -c "until wget -qO- http://web/ 2>/dev/null; do sleep 0.1; done; wget -qO- http://store.internal:6379/key && exit 3"
    depends_on: [worker]
    networks: {front: {}, back: {aliases: [oneshot]}}
networks:
  front: {}
  back: {internal: true, ipam: {config: [{subnet: 10.213.7.0/24}]}}
volumes:
  data: {labels: {role: data}}
`;

/** `machine`: where the engine has its networks. */
export async function tellNetworked(scene: ComposeScene, machine: Netns): Promise<void> {
  const before = { devices: machine.devices(), rules: machine.rules() };
  const onHost = async (...words: string[]) => { scene.note(`on the host: ${words.join(' ')}`, await machine.run(words)); };
  const answers = (...words: string[]) => until(`${words.join(' ')} to answer`, async () => (await machine.run(words)).code === 0, 90_000);
  scene.write(project({ page: 'first' }));
  await scene.say('up -d');
  await scene.sees('ps -a', /Exit 3/);
  await scene.sayAll('logs --no-color job', 'ps', 'port web 80', 'ps --services --filter status=running');
  await answers('busybox', 'wget', '-qO-', 'http://127.0.0.1:8080/');
  await onHost('busybox', 'wget', '-qO-', 'http://127.0.0.1:8080/');
  await onHost('busybox', 'wget', '-qO-', 'http://127.0.0.1:8081/');
  await scene.sayAll('exec -T worker wget -qO- http://web/', 'exec -T web wget -qO- http://store:6379/key', 'exec -T web grep elsewhere /etc/hosts');
  await scene.say('exec -T worker', 'sh', '-c', 'ping -c 1 -W 1 192.0.2.1 > /dev/null 2>&1; echo $?'); // nothing outside is reached from an internal network
  await scene.well('cache_1');
  for (const one of ['cache_1', 'web_1', 'worker_1', 'job_1']) await scene.inspect(one);
  // What is edited is made anew, under its names and ports, and nothing else is.
  scene.write(project({ page: 'second', edited: '    environment: {EDITED: "1"}\n' }));
  await scene.sayAll('up -d', 'up -d');
  await answers('busybox', 'wget', '-qO-', 'http://127.0.0.1:8080/');
  await onHost('busybox', 'wget', '-qO-', 'http://127.0.0.1:8080/');
  await scene.say('exec -T worker wget -qO- http://web/');
  await scene.say('up -d --scale worker=3');
  await scene.say('exec -T web', 'sh', '-c', 'nslookup worker 2>/dev/null | grep -c "^Address.*10[.]213[.]7[.]"');
  await scene.say('up -d --scale worker=1');
  await scene.say('exec -T web', 'sh', '-c', 'nslookup worker 2>/dev/null | grep -c "^Address.*10[.]213[.]7[.]"');
  await scene.sayAll('stop', 'start cache web worker'); // compose takes a job that has ended before it looks for one that failed
  await answers('busybox', 'wget', '-qO-', 'http://127.0.0.1:8081/');
  await scene.sayAll('exec -T worker wget -qO- http://web/', 'rm -fsv job', 'down -v', 'down -v', 'ps -a');
  await until('the kernel to have nothing of the project', () => machine.devices().join() === before.devices.join() && machine.rules().join() === before.rules.join(), 30_000)
    .catch((cause: unknown) => { throw new Error(`left of the project: ${JSON.stringify({ devices: machine.devices(), rules: machine.rules().filter((rule) => !before.rules.includes(rule)) })}`, { cause }); });
}
