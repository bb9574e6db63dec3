// Our command line as a process: terminal, signals, pipes. What main.ts and terminal.ts make of the world around them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { EXECUTABLE, startDaemon } from '../kit/daemon.ts';
import { openDocker, type Docker } from '../kit/docker.ts';
import { busyboxImage } from '../kit/image.ts';
import { pushImage, startRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';

let vaquita: Docker;
let shell: Docker;
let image: string;
const stack = new AsyncDisposableStack();
const run = (...words: string[]) => ['run', '--rm', '--network', 'none', ...words];

before(async () => {
  const root = stack.use(openTempRoot()).path;
  const registry = stack.use(await startRegistry({ root }));
  const daemon = stack.use(await startDaemon({ root }));
  const client = { host: daemon.host, configDir: join(root, 'client') };
  vaquita = openDocker({ ...client, binary: EXECUTABLE });
  shell = openDocker({ ...client, binary: '/bin/bash' });
  image = await pushImage(registry.host, busyboxImage(), { repository: 'kit/busybox', tag: '1' });
  await vaquita.ok(['pull', image]);
});
after(() => stack.disposeAsync());

test('in a terminal every byte of the container arrives as it is, and the terminal is as before afterwards', async () => {
  await using session = shell.startPty(['-c', `${EXECUTABLE} run --rm -it --network none ${image} sh -c 'stty size; stty -opost; printf "a\\nb\\r\\n"; exit 3'; echo code $?; stty -a | grep -o -e '-*opost' -e '-*icanon' | tr '\\n' ' '`]);
  const { stdout } = await session.outcome;
  assert.match(stdout, /^24 80\r\na\nb\r\ncode 3\r\nopost icanon /m);
});

test('a signal is passed on to the container, whose exit code is ours', async () => {
  await using session = vaquita.start(run(image, 'sh', '-c', 'trap "echo got; exit 9" TERM; echo up; while true; do sleep 0.1; done'));
  await session.sees(/up/);
  session.signal('SIGTERM');
  const { code, stdout } = await session.outcome;
  assert.deepEqual([code, stdout], [9, 'up\ngot\n']);
});

test('a reader that leaves ends us quietly, and large output arrives whole', async () => {
  const sized = await shell.ok(['-c', `set -o pipefail; ${EXECUTABLE} run --rm --network none ${image} dd if=/dev/zero bs=1M count=20 2>/dev/null | wc -c`]);
  assert.equal(Number(sized), 20 << 20);
  const left = await shell.run(['-c', `${EXECUTABLE} run --rm --network none ${image} sh -c 'yes | head -c 3000000' | head -1; echo \${PIPESTATUS[0]}`]);
  assert.deepEqual([left.stdout, left.stderr], ['y\n141\n', '']);
});

test('input reaches the container up to its end, and a command that reads none ignores ours', async () => {
  assert.equal((await vaquita.run(run('-i', image, 'sh', '-c', 'cat; exit 7'), { input: 'x'.repeat(300_000) })).stdout.length, 300_000);
  await using open = vaquita.start(run(image, 'true'));
  assert.equal((await open.outcome).code, 0);
});
