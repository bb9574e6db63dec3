import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOUNT_FLAGS } from '../../kernel/index.ts';
import { assertLocalOptions, assertVolumeName, flagKeyOf, mountCallOf } from './options.ts';

test('names and options of volumes are held to Docker\'s rules', () => {
  for (const name of ['ab', 'a-b_c.d', '0a']) assertVolumeName(name);
  assert.throws(() => assertVolumeName('a'), /volume name is too short, names should be at least two alphanumeric characters/);
  for (const name of ['a/b', '.a', 'a b', 'ä', '../x']) assert.throws(() => assertVolumeName(name), /includes invalid characters for a local volume name/, name);
  for (const options of [{}, { type: 'tmpfs', device: 'tmpfs' }, { type: '', device: '', o: 'bind' }]) assertLocalOptions(options);
  for (const [options, words] of [
    [{ odd: '1' }, 'invalid option: "odd"'], [{ type: 'x' }, 'missing required option: "device"'], [{ device: 'x' }, 'missing required option: "type"'], [{ o: 'bind' }, 'missing required option: "device"'],
    [{ size: 'many' }, "invalid size: 'many'"], [{ size: '10m' }, 'quota size requested but no quota support'],
  ] as const) assert.throws(() => assertLocalOptions(options), { message: words });
});

test('options become what mount(2) takes', () => {
  assert.deepEqual(mountCallOf({ options: 'bind,ro' }), { flags: MOUNT_FLAGS.bind | MOUNT_FLAGS.readOnly, propagation: 0, data: '' });
  assert.deepEqual(mountCallOf({ options: 'rbind,rslave' }), { flags: MOUNT_FLAGS.bind | MOUNT_FLAGS.recursive, propagation: MOUNT_FLAGS.slave | MOUNT_FLAGS.recursive, data: '' });
  assert.deepEqual(mountCallOf({ options: 'addr=10.0.0.1,rw,nosuid,nfsvers=4,suid,defaults' }), { flags: 0, propagation: 0, data: 'addr=10.0.0.1,nfsvers=4' });
  assert.deepEqual(mountCallOf({ options: '' }), { flags: 0, propagation: 0, data: '' });
  assert.deepEqual(mountCallOf({ options: 'constructor' }).data, 'constructor');
  assert.equal(flagKeyOf('exec'), flagKeyOf('noexec'));
  assert.deepEqual([flagKeyOf('size=1m'), flagKeyOf('defaults'), flagKeyOf('toString')], [undefined, undefined, undefined]);
});
