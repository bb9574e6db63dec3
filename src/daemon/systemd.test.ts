import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFake } from '../kernel/fake.ts';
import { silentLog } from '../lib/log.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { chooseSockets, keepWatchdog, openServiceManager } from './systemd.ts';

/** Time that only moves when told. */
function manualClock(): Clock & { advance(ms: number): void } {
  let now = 0;
  const timers = new Set<{ at: number; run: () => void }>();
  return {
    ...systemClock,
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => { timers.delete(timer); } };
    },
    advance(ms) {
      now += ms;
      for (const timer of timers) if (timer.at <= now) { timers.delete(timer); timer.run(); }
    },
  };
}

const managerOf = (env: Record<string, string | undefined>) => {
  const kernel = openFake({ onDatagram: () => {} });
  return { kernel, env, manager: openServiceManager(env, { kernel, pid: 42, log: silentLog }) };
};

test('sockets are taken over by the process that they are meant for, named, and kept from its children', () => {
  const { kernel, env, manager } = managerOf({ LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'api:', PATH: '/bin' });
  assert.deepEqual(manager.sockets, [{ fd: 3, name: 'api' }, { fd: 4, name: 'unknown' }]);
  assert.deepEqual(kernel.calls, ['close-on-exec fd 3', 'close-on-exec fd 4']);
  assert.deepEqual(env, { PATH: '/bin' });
  assert.deepEqual(managerOf({ LISTEN_PID: '41', LISTEN_FDS: '2' }).manager.sockets, []);
  assert.deepEqual(managerOf({}).manager.sockets, []);
  assert.throws(() => managerOf({ LISTEN_PID: '42', LISTEN_FDS: 'many' }), /LISTEN_FDS=many: expected the number of sockets/);
});

test('fd:// is all sockets, one of them by number or some by name', () => {
  const manager = { sockets: [{ fd: 3, name: 'api' }, { fd: 4, name: 'tcp' }, { fd: 5, name: 'api' }] };
  assert.deepEqual(chooseSockets(manager, ''), [3, 4, 5]);
  assert.deepEqual(chooseSockets(manager, '*'), [3, 4, 5]);
  assert.deepEqual(chooseSockets(manager, '4'), [4]);
  assert.deepEqual(chooseSockets(manager, 'api'), [3, 5]);
  assert.throws(() => chooseSockets(manager, '6'), /fd:\/\/6: systemd handed over 3 \(api\), 4 \(tcp\), 5 \(api\)/);
  assert.throws(() => chooseSockets({ sockets: [] }, ''), /no sockets found via socket activation/);
});

test('a state is told where systemd listens, and nowhere else', () => {
  const { kernel, manager } = managerOf({ NOTIFY_SOCKET: '@there' });
  manager.notify('READY=1', 'STATUS=well');
  assert.deepEqual(kernel.calls, ['sendto @there']);
  const silent = managerOf({});
  silent.manager.notify('READY=1');
  assert.deepEqual(silent.kernel.calls, []);
});

test('the watchdog hears of us twice per interval while we answer, and not when we do not', async () => {
  const { kernel, manager } = managerOf({ NOTIFY_SOCKET: '/there', WATCHDOG_USEC: '20000000', WATCHDOG_PID: '42' });
  assert.equal(manager.watchdogMs, 20_000);
  const clock = manualClock();
  let well = true;
  const heard = () => kernel.calls.length;
  const settled = () => new Promise((resolve) => { setImmediate(resolve); });
  const watch = keepWatchdog(manager, { alive: async () => well, clock, log: silentLog });
  await settled();
  assert.equal(heard(), 1);
  clock.advance(10_000); await settled();
  assert.equal(heard(), 2);
  well = false;
  clock.advance(10_000); await settled();
  assert.equal(heard(), 2);
  well = true;
  clock.advance(10_000); await settled();
  assert.equal(heard(), 3);
  watch[Symbol.dispose]();
  clock.advance(60_000); await settled();
  assert.equal(heard(), 3);
  assert.equal(managerOf({ WATCHDOG_USEC: '20000000', WATCHDOG_PID: '41' }).manager.watchdogMs, undefined);
});
