import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLinux } from './linux.ts';

test('a worker mounts for all to see, says why it could not, and is ended when nobody waits any more', async () => {
  const kernel = openLinux({ selfCommand: [process.execPath, '--no-warnings', '--', join(import.meta.dirname, '../main.ts')] });
  const folder = mkdtempSync(join(tmpdir(), 'remote-'));
  const mount = (fsType: string, signal = new AbortController().signal) => kernel.remoteMounts.mount({ source: 'from', target: folder, fsType, data: '' }, { signal });
  const mounted = () => kernel.mounts.list().find(({ target }) => target === folder)?.fsType;
  try {
    await mount('tmpfs');
    assert.equal(mounted(), 'tmpfs');
    kernel.mounts.unmount(folder);
    await assert.rejects(mount('nosuchfs'), (error: NodeJS.ErrnoException) => error.code === 'ENODEV' && error.message.includes(folder));
    await assert.rejects(mount('tmpfs', AbortSignal.abort()), { code: 'ETIMEDOUT' });
    assert.equal(mounted(), undefined);
  } finally {
    while (mounted() !== undefined) kernel.mounts.unmount(folder, { lazy: true });
    rmSync(folder, { recursive: true });
  }
});
