// The yardstick itself: Debian's dockerd, registry and CLI work on this machine, and the kit leaves nothing behind.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDocker, CLIS } from '../kit/docker.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { buildIndex, busyboxImage, treeTar } from '../kit/image.ts';
import { assertNothingNew, takeSnapshot } from '../kit/leaks.ts';
import { pushImage, pushIndex, startRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';

test('dockerd pulls what was pushed, in every format, and runs it', async () => {
  await using root = openTempRoot();
  const snapshot = takeSnapshot(root.path);
  {
    await using registry = await startRegistry({ root: root.path });
    await using dockerd = await startDockerd({ root: root.path });
    const docker = openDocker({ host: dockerd.host, configDir: join(root.path, 'client'), binary: CLIS.debian });

    const plain = busyboxImage();
    const name = await pushImage(registry.host, plain, { repository: 'kit/busybox', tag: '1' });
    await docker.ok(['pull', name]);
    assert.equal(await docker.ok(['image', 'inspect', '-f', '{{.Id}}', name]), plain.config.digest);
    assert.equal(await docker.ok(['run', '--rm', '--network', 'none', name, 'echo', 'hello']), 'hello');
    const failed = await docker.run(['run', '--rm', '--network', 'none', '-i', name, 'sh', '-c', 'cat; echo oops >&2; exit 7'], { input: 'typed' });
    assert.deepEqual([failed.code, failed.stdout, failed.stderr], [7, 'typed', 'oops\n']);

    const images = (['gzip', 'none'] as const).map((compression, n) => busyboxImage({
      format: 'oci', compression, extra: [treeTar({ 'which': compression })], ...(n === 1 ? { platform: { architecture: 's390x', os: 'linux' } } : {}),
    }));
    const list = await pushIndex(registry.host, { index: buildIndex(images, 'oci'), images }, { repository: 'kit/list', tag: 'latest' });
    await docker.ok(['pull', list]);
    assert.equal(await docker.ok(['run', '--rm', '--network', 'none', list, 'cat', '/which']), 'gzip');

    await using typed = docker.startPty(['run', '--rm', '-it', '--network', 'none', name]);
    await typed.sees(/# /);
    typed.write('stty size; exit 3\r');
    const { code, stdout } = await typed.outcome;
    assert.deepEqual([code, /^24 80\r$/m.test(stdout)], [3, true], stdout);
  }
  await assertNothingNew(snapshot);
});
