// Log drivers and their options: what is refused, what is shown, and how lines come back.
import { until } from '../../kit/poll.ts';
import type { Scene, Story } from '../scene.ts';

export const logStories: readonly Story[] = [
  { name: 'logs-refused', once: true, tell: async (scene) => {
    const wrong = ['--log-driver nosuch', '--log-opt nosuch=1', '--log-driver local --log-opt nosuch=1', '--log-driver journald --log-opt nosuch=1', '--log-driver syslog --log-opt nosuch=1', '--log-driver none --log-opt a=b', '--log-opt mode=x',
      '--log-opt max-buffer-size=1m', '--log-driver syslog --log-opt syslog-address=x', '--log-driver syslog --log-opt syslog-facility=x', '--log-driver syslog --log-opt syslog-format=x', '--log-driver syslog --log-opt syslog-address=unix:///nosuch',
      '--log-driver syslog --log-opt cache-disabled=x'];
    // By name, since a later Docker may refuse one at the start only.
    for (const [index, options] of wrong.entries()) await scene.say(`create --name @${index} --network none ${options} IMAGE true`);
  } },
  { name: 'logs-start', once: true, tell: async (scene) => {
    const wrong = ['--log-opt max-size=x', '--log-opt max-size=0', '--log-opt max-file=0', '--log-opt max-file=x', '--log-opt compress=x', '--log-opt compress=true', '--log-opt tag={{.ID', '--log-opt tag={{.Nope}}', '--log-opt labels-regex=(',
      '--log-driver local --log-opt max-file=1', '--log-driver local --log-opt max-size=x', '--log-driver local --log-opt compress=x', '--log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:1', '--log-driver syslog --log-opt syslog-address=udp://127.0.0.1:99999'];
    for (const [index, options] of wrong.entries()) {
      await scene.do(`create --name @${index} --network none ${options} IMAGE true`);
      await scene.sayAll(`start @${index}`, `inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' @${index}`);
      if (!options.includes('syslog')) await scene.say(`logs @${index}`);
    }
  } },
  { name: 'logs-shown', once: true, tell: async (scene) => {
    for (const [name, options] of Object.entries({ a: '', b: '--log-opt max-size=10m --log-opt max-file=3', c: '--log-driver local', d: '--log-driver none', e: '--log-driver syslog --log-opt syslog-address=udp://127.0.0.1:9', f: '--log-driver json-file --log-opt mode=non-blocking --log-opt max-buffer-size=1m' })) {
      await scene.do(`create --name @${name} --network none ${options} IMAGE echo said`);
      await scene.sayAll(`inspect -f '{{json .HostConfig.LogConfig}}' @${name}`, `logs @${name}`, `start -a @${name}`, `logs @${name}`, `logs -f @${name}`);
    }
    await scene.say('info -f {{.LoggingDriver}}');
  } },
  { name: 'logs-details', once: true, tell: async (scene) => {
    const runs = ['-l a=1 -l "b=x y=z" -e "E=1,2 =" -e F= --log-opt labels=a,b,zz --log-opt env=E,F', '-l a1=1 -l ab=ü --log-opt labels-regex=^a', '--log-opt "tag={{.ImageName}}|{{.DaemonName}}|{{.Command}}"', '-e tag=mine --log-opt env=tag --log-opt tag=x', ''];
    for (const [index, options] of runs.entries()) {
      await scene.do(`run --name @${index} --network none ${options} IMAGE echo hi`);
      await scene.say(`logs --details @${index}`);
    }
  } },
  { name: 'logs-pieces', once: true, tell: async (scene) => {
    await scene.do('run --name @a --network none IMAGE sh -c "head -c 40000 /dev/zero | tr \'\\\\0\' x; echo; echo end; echo; printf unended"');
    for (const words of ['', '--tail 0', '--tail 1', '--tail 2', '--tail 3', '--tail 4', '--tail 5', '--tail 99', '--details --tail 4', '--since 2000-01-01', '--until 2000-01-01']) await scene.say(`logs ${words} @a`);
    const { stdout } = await scene.say('version -f {{.Client.Os}}');
    scene.note('the lengths of lines with times', [stdout.length, (await scene.do('logs -t @a')).split('\n').map((line) => line.length)]);
    // What is begun is not shown before it is whole.
    await scene.do('run -d --name @b --network none IMAGE sh -c "echo whole; printf begun; sleep 1000"');
    await until('the first line', async () => await scene.do('logs @b') !== '');
    await scene.sayAll('logs @b', 'kill @b');
    await scene.do('wait @b');
    await settled(scene);
    await scene.say('logs @b');
    await scene.do('run -t --name @t --network none IMAGE printf "a\\r\\nb"');
    await scene.sayAll('logs @t', 'logs --details @t', 'logs --tail 1 @t');
  } },
];

/** dockerd writes what a killed program had begun a moment after its end. */
async function settled(scene: Scene): Promise<void> {
  await until('the end of the log', async () => (await scene.do('logs @b')).includes('begun'));
}
