import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFake } from '../../kernel/fake.ts';
import type { RemoteMounts } from '../../kernel/index.ts';
import { systemClock } from '../../lib/clock.ts';
import type { LocalMount, StoredVolume } from '../../store/index.ts';
import { mountVolume } from './mounting.ts';

const volume: StoredVolume = { name: 'v', labels: null, options: null, createdAt: '', path: '/v/_data', mount: undefined, damaged: undefined };

/** What is asked of mount(2), and by whom. */
async function mounted(mount: LocalMount, remote?: RemoteMounts['mount']): Promise<string> {
  const asked: string[] = [];
  const fake = openFake();
  const told = (who: string) => (what: Parameters<RemoteMounts['mount']>[0]): void => { asked.push(`${who} ${what.source} ${what.fsType} ${what.flags ?? 0} ${what.data ?? ''}`); };
  const kernel = {
    names: { addressOf: async (name: string) => { if (name === 'nowhere') throw new Error('ENOTFOUND'); return name.includes(':') ? name : '10.0.0.9'; } },
    mounts: { ...fake.mounts, mount: told('here') },
    remoteMounts: { mount: remote ?? (async (what) => told('apart')(what)) } satisfies RemoteMounts,
  };
  // Limits of minutes are over at once.
  await mountVolume({ kernel, clock: { after: (_ms, run) => systemClock.after(0, run) } }, volume, mount);
  return asked.join(' | ');
}

test('names of servers become addresses, and what waits for one is mounted apart', async () => {
  const cases: Array<[LocalMount, string]> = [
    [{ type: 'tmpfs', options: 'size=1m', device: 'tmpfs' }, 'here tmpfs tmpfs 0 size=1m'],
    [{ type: 'nfs', options: 'addr=nas.local,rw,nolock', device: ':/srv' }, 'apart :/srv nfs 0 addr=10.0.0.9,nolock'],
    [{ type: 'nfs4', options: 'vers=4.2,addr=nas', device: ':/srv' }, 'apart :/srv nfs4 0 vers=4.2,addr=10.0.0.9'],
    [{ type: 'nfs', options: 'addr=10.0.0.1,ro', device: ':/srv' }, 'apart :/srv nfs 1 addr=10.0.0.1'],
    [{ type: 'nfs', options: 'addr=fd00::1,clientaddr=x', device: ':/srv' }, 'apart :/srv nfs 0 addr=fd00::1,clientaddr=x'],
    [{ type: 'cifs', options: 'username=u', device: '//nas/share' }, 'apart //nas/share cifs 0 username=u,addr=10.0.0.9'],
    [{ type: 'cifs', options: 'ip=10.0.0.2', device: '//nas/share' }, 'apart //nas/share cifs 0 ip=10.0.0.2'],
    [{ type: 'cifs', options: '', device: '//nas/share' }, 'apart //nas/share cifs 0 addr=10.0.0.9'],
    [{ type: 'ext4', options: 'addr=nas', device: '/dev/x' }, 'here /dev/x ext4 0 addr=nas'],
  ];
  for (const [mount, wanted] of cases) assert.equal(await mounted(mount), wanted, JSON.stringify(mount));
  await assert.rejects(mounted({ type: 'nfs', options: 'addr=nowhere', device: ':/x' }), /error resolving passed in network volume address: lookup nowhere: no such host/);
  await assert.rejects(mounted({ type: 'nfs', options: '', device: '' }), /missing device in volume options/);
});

test('what the server or the kernel refuses is told in words', async () => {
  const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));
  const nfs = { type: 'nfs', options: 'addr=10.0.0.1', device: ':/srv' };
  await assert.rejects(mounted(nfs, failing('ECONNREFUSED')), /failed to mount local volume: mount :\/srv:\/v\/_data, data: addr=10\.0\.0\.1: connection refused$/);
  await assert.rejects(mounted({ ...nfs, options: 'nolock' }, failing('EINVAL')), /data: nolock: invalid argument \(a volume of this type needs the address of its server: o=addr=ADDRESS\)$/);
  const silent: RemoteMounts['mount'] = (_what, { signal }) => new Promise((_resolve, reject) => { signal.addEventListener('abort', () => reject(Object.assign(new Error('late'), { code: 'ETIMEDOUT' }))); });
  await assert.rejects(mounted(nfs, silent), /: connection timed out$/);
});
