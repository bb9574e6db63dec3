import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureProfile } from './apparmor.ts';
import { parseContexts } from './labels.ts';
import { decideSecurity, type SecurityGiven } from './security.ts';

const NEITHER: SecurityGiven = { apparmor: false, selinux: undefined, noNewPrivileges: false, categories: () => [9, 4] };
const BOTH: SecurityGiven = {
  ...NEITHER, apparmor: true,
  selinux: parseContexts('process = "system_u:system_r:container_t:s0"\n  file = "system_u:object_r:container_file_t:s0"\nro_file="x"\n'),
};
const decide = (options: string[], given = NEITHER, privileged = false) => decideSecurity({ SecurityOpt: options, Privileged: privileged }, given);

test('no-new-privileges in every spelling, over the default of the daemon', () => {
  const of = (options: string[], byDefault = false) => decide(options, { ...NEITHER, noNewPrivileges: byDefault }).noNewPrivileges;
  for (const option of ['no-new-privileges', 'no-new-privileges=true', 'no-new-privileges:1', 'no-new-privileges=T']) assert.equal(of([option]), true, option);
  assert.deepEqual([of([]), of([], true), of(['no-new-privileges=false'], true), of(['no-new-privileges=0'])], [false, true, false, false]);
});

test('what is not understood is named, with the number that Docker gives to it', () => {
  for (const option of ['nosuch', 'systempaths', '']) assert.throws(() => decide([option]), { message: `invalid --security-opt 1: ${JSON.stringify(option)}` });
  for (const option of ['nosuch=1', 'systempaths=unconfined', 'no-new-privileges=perhaps']) assert.throws(() => decide([option]), { message: `invalid --security-opt 2: ${JSON.stringify(option)}` });
});

test('a profile of seccomp is kept whole, whatever stands in it', () => {
  assert.equal(decide(['seccomp={"a":"b=c:d"}']).seccompProfile, '{"a":"b=c:d"}');
  assert.equal(decide(['seccomp:unconfined']).seccompProfile, 'unconfined');
});

test('AppArmor: the default, another, none; and nothing where the kernel has none', () => {
  assert.deepEqual([decide([], BOTH).apparmorProfile, decide(['apparmor=mine'], BOTH).apparmorProfile, decide(['apparmor=unconfined'], BOTH).apparmorProfile], ['docker-default', 'mine', 'unconfined']);
  assert.equal(decide(['apparmor=mine'], BOTH, true).apparmorProfile, 'unconfined', 'privileged');
  assert.deepEqual([decide([]).apparmorProfile, decide(['apparmor=mine']).apparmorProfile], ['', 'mine'], 'without AppArmor it is written down and means nothing');
});

test('SELinux: labels of the policy with categories in order, changed field by field, or none', () => {
  const labels = (...options: string[]) => { const { processLabel, mountLabel } = decide(options, BOTH); return [processLabel, mountLabel]; };
  assert.deepEqual(labels(), ['system_u:system_r:container_t:s0:c4,c9', 'system_u:object_r:container_file_t:s0:c4,c9']);
  assert.deepEqual(labels('label=type:svirt_t', 'label:level:s0:c1,c2', 'label=user:u', 'label=role:r', 'label=filetype:f_t'), ['u:r:svirt_t:s0:c1,c2', 'u:object_r:f_t:s0:c1,c2']);
  assert.deepEqual([labels('label=disable'), labels('disable')], [['', ''], ['', '']]);
  assert.deepEqual(decide(['label=type:x']).processLabel, '');
  assert.throws(() => labels('label=nosuch:x'), /Bad label option "nosuch", valid options 'disable, user, role, level, type, filetype'/);
  assert.throws(() => labels('label=type'), /Bad label option "type"/);
  assert.equal(parseContexts('file = "x"'), undefined);
});

test('the AppArmor profile is loaded when it is wanted and not there, and only then', async () => {
  const loaded: string[] = [];
  const load = async (text: string) => { loaded.push(text); };
  await ensureProfile('unconfined', { read: () => '', load });
  await ensureProfile('mine', { read: () => '', load });
  await ensureProfile('docker-default', { read: () => 'docker-default (enforce)\nman (enforce)\n', load });
  assert.deepEqual(loaded, []);
  await ensureProfile('docker-default', { read: () => 'docker-default-2 (enforce)\n', load });
  assert.match(loaded[0] ?? '', /^profile docker-default flags=\(attach_disconnected,mediate_deleted\) \{\n[\s\S]*\n {2}deny mount,/m);
  await assert.rejects(ensureProfile('docker-default', { read: () => '', load: () => Promise.reject(new Error('no parser')) }), { message: 'AppArmor enabled on system but the docker-default profile could not be loaded: no parser' });
});
