// The kit of these tests tested: what it starts, what it says when that fails, and what it finds when something is left.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { openLinux } from '../../src/kernel/index.ts';
import { startChild } from '../kit/child.ts';
import { startDaemon } from '../kit/daemon.ts';
import { openDocker } from '../kit/docker.ts';
import { ask } from '../kit/http.ts';
import { leaksOf } from '../kit/leaks.ts';
import { openTempRoot } from '../kit/temp.ts';
import { until } from '../kit/poll.ts';

test('the daemon starts, answers, stops politely, survives kill -9 and starts again on the same folders', async () => {
  await using root = openTempRoot();
  {
    await using daemon = await startDaemon({ root: root.path });
    assert.equal((await ask(daemon.socket, { path: '/version' })).json<{ Os: string }>().Os, 'linux');
    assert.equal(await daemon.stop(), 0, daemon.log());
  }
  await using again = await startDaemon({ root: root.path, flags: ['--debug'] });
  await again.kill();
  assert.equal(again.running, false);
  await using third = await startDaemon({ root: root.path });
  const docker = openDocker({ host: third.host, configDir: join(root.path, 'client') });
  assert.equal(await docker.ok(['version', '-f', '{{.Server.Os}}']), 'linux');
});

test('a child that ends before it is ready is shown with its last words', async () => {
  const start = startChild({ command: ['/bin/sh', '-c', 'echo no such luck >&2; exit 4'], ready: async () => false });
  await assert.rejects(start, /did not become ready:\nno such luck/);
});

test('mounts and processes that are left fail the test, and are taken away', async () => {
  const root = openTempRoot({ patienceMs: 100 });
  const target = join(root.path, 'mounted');
  mkdirSync(target);
  openLinux({ selfCommand: [] }).mounts.mount({ source: 'none', target, fsType: 'tmpfs' });
  const left = spawn('/bin/sh', ['-c', 'echo ready; read forever', root.path], { stdio: ['pipe', 'pipe', 'ignore'] });
  await until('the process to run', () => leaksOf(root.path).length === 2);
  await assert.rejects(async () => { await root[Symbol.asyncDispose](); }, new RegExp(`left behind:\n  mount ${target} \\(tmpfs\\)\n  process ${left.pid}: /bin/sh`));
  assert.deepEqual(leaksOf(root.path), []);
});

test('a command that hangs is ended, and what it wrote is told', async () => {
  await using root = openTempRoot();
  const docker = openDocker({ host: 'unix:///nowhere', configDir: root.path, binary: '/bin/sh' });
  await assert.rejects(docker.run(['-c', 'echo so far; exec sleep 60'], { timeoutMs: 1500 }), /still running after 1500 ms\nso far/);
});
