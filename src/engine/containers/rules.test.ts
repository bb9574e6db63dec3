import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideRepair, EXIT_UNKNOWN, type Repair } from '../recover.ts';
import type { Observed } from '../../runtime/index.ts';
import { completeHostConfig } from './defaults.ts';
import { DetachKeys, parseDetachKeys } from './detach.ts';
import { parseSignal } from './signals.ts';
import { NEVER_STARTED, stateOf, statusWord, type State } from './state.ts';
import { failureCode } from './start.ts';
import { validateHostConfig } from './validate.ts';
import { decideAfterExit } from './watch.ts';

test('signals are read by name and number, real-time ones too', () => {
  for (const [word, number] of [['SIGTERM', 15], ['term', 15], ['9', 9], ['RTMIN+3', 37], ['SIGRTMAX-1', 63], ['HUP', 1]] as const) assert.equal(parseSignal(word), number);
  for (const word of ['SIGNOPE', '0', '65', '', 'RTMIN+99']) assert.throws(() => parseSignal(word), /Invalid signal/, word);
});

test('detach keys are found across chunks, and bytes that only looked like them pass on in order', () => {
  const keys = new DetachKeys(undefined); // ctrl-p, ctrl-q
  const bytes = (...values: number[]) => Uint8Array.from(values);
  assert.deepEqual(keys.scan(bytes(65, 16)), { pass: bytes(65), detached: false });
  assert.deepEqual(keys.scan(bytes(66)), { pass: bytes(16, 66), detached: false });
  assert.deepEqual(keys.scan(bytes(16, 16)), { pass: bytes(16), detached: false });
  assert.deepEqual(keys.scan(bytes(17, 70)), { pass: bytes(), detached: true });
  assert.deepEqual(new DetachKeys('').scan(bytes(16, 17)), { pass: bytes(16, 17), detached: false });
  assert.deepEqual(parseDetachKeys('ctrl-a,x'), [1, 120]);
  assert.throws(() => parseDetachKeys('ctrl-1'), /Invalid escape keys/);
});

test('repair is decided from what is recorded and what is seen', () => {
  const alive: Observed = { task: 'alive', pid: 7, paused: false };
  const gone: Observed = { task: 'gone', exit: undefined };
  const ended: Observed = { task: 'gone', exit: { exitCode: 3, finishedAtNs: 5n, oomKilled: true } };
  const table: Array<[State, Observed, Repair]> = [
    [{ status: 'running', pid: 7 }, alive, { do: 'adopt', pid: 7, paused: false }],
    [{ status: 'exited', exitCode: 0 }, alive, { do: 'kill-orphan' }],
    [{ status: 'created' }, alive, { do: 'kill-orphan' }],
    [{ status: 'running', pid: 7 }, { ...alive, waiting: true }, { do: 'record-exit', exitCode: EXIT_UNKNOWN, finishedAtNs: 99n, oomKilled: false }],
    [{ status: 'running', pid: 7 }, ended, { do: 'record-exit', exitCode: 3, finishedAtNs: 5n, oomKilled: true }],
    [{ status: 'paused', pid: 7 }, gone, { do: 'record-exit', exitCode: EXIT_UNKNOWN, finishedAtNs: 99n, oomKilled: false }],
    [{ status: 'exited', exitCode: 1 }, gone, { do: 'nothing' }],
    [{ status: 'removing' }, alive, { do: 'finish-removal' }],
  ];
  for (const [state, observed, repair] of table) assert.deepEqual(decideRepair(state, observed, 99n), repair);
});

test('restart policies: which exits are followed by a new start', () => {
  const decide = (name: string, { code, max = 0, count = 0, stopped = false, autoRemove = false }: { code: number; max?: number; count?: number; stopped?: boolean; autoRemove?: boolean }) => decideAfterExit({
    hostConfig: { ...completeHostConfig({}, { cgroupVersion: 1 }), RestartPolicy: { Name: name, MaximumRetryCount: max }, AutoRemove: autoRemove },
    record: { RestartCount: count, HasBeenManuallyStopped: stopped } as Parameters<typeof decideAfterExit>[0]['record'], stopRequested: stopped, restartRequested: false,
  }, code);
  assert.equal(decide('no', { code: 1 }), 'nothing');
  assert.equal(decide('no', { code: 0, autoRemove: true }), 'remove');
  assert.equal(decide('always', { code: 0 }), 'restart');
  assert.equal(decide('always', { code: 0, stopped: true }), 'nothing');
  assert.equal(decide('unless-stopped', { code: 0 }), 'restart');
  assert.equal(decide('on-failure', { code: 0 }), 'nothing');
  assert.equal(decide('on-failure', { code: 1, max: 2, count: 1 }), 'restart');
  assert.equal(decide('on-failure', { code: 1, max: 2, count: 2 }), 'nothing');
});

test('the state word of a record: a failed start is still "created"', () => {
  assert.equal(statusWord(NEVER_STARTED), 'created');
  assert.equal(statusWord({ ...NEVER_STARTED, ExitCode: 127, Error: 'x' }), 'created');
  assert.equal(statusWord({ ...NEVER_STARTED, Running: true, Paused: true, StartedAt: '2026-01-01T00:00:00Z' }), 'paused');
  assert.deepEqual(stateOf({ ...NEVER_STARTED, StartedAt: '2026-01-01T00:00:00Z', FinishedAt: '2026-01-01T00:00:01Z', ExitCode: 2 }), { status: 'exited', exitCode: 2 });
});

test('exit codes of programs that could not be run', () => {
  assert.equal(failureCode('exec: "nope": executable file not found in $PATH'), 127);
  assert.equal(failureCode('exec: "/etc": permission denied'), 126);
  assert.equal(failureCode('something else'), 128);
});

test('each invalid field of a host config is refused by name', () => {
  const refused: Array<[Parameters<typeof completeHostConfig>[0], RegExp]> = [
    [{ RestartPolicy: { Name: 'sometimes', MaximumRetryCount: 0 } }, /unknown policy 'sometimes'/],
    [{ RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } }, /maximum retry count/], [{ AutoRemove: true, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } }, /AutoRemove/],
    [{ Isolation: 'hyperv' }, /linux only supports 'default'/], [{ IOMaximumIOps: 1 }, /IOMaximumIOps/], [{ StorageOpt: { size: '1G' } }, /StorageOpt/], [{ Annotations: { '': 'x' } }, /Annotations/],
    [{ LogConfig: { Type: 'fluentd', Config: null } }, /fluentd/],
  ];
  for (const [host, words] of refused) assert.throws(() => validateHostConfig(completeHostConfig(host, { cgroupVersion: 1 })), words, JSON.stringify(host));
});

test('defaults of a host config are those that inspect must show', () => {
  const host = completeHostConfig({ Memory: 64 << 20 }, { cgroupVersion: 2 });
  assert.equal(host.MemorySwap, 128 << 20);
  assert.equal(host.CgroupnsMode, 'private');
  assert.equal(host.ShmSize, 64 << 20);
  assert.deepEqual(host.RestartPolicy, { Name: 'no', MaximumRetryCount: 0 });
  assert.deepEqual(host.LogConfig, { Type: 'json-file', Config: {} });
  assert.equal(completeHostConfig({ Privileged: true }, { cgroupVersion: 1 }).MaskedPaths, null);
});
