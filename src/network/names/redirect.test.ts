import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideMissing, portsIn } from './redirect.ts';

test('rules are written once, found again, and mended where they are gone', () => {
  const ports = { udp: 40_001, tcp: 40_002 };
  const lines = (there: readonly string[], wanted = ports) => decideMissing(wanted, there)?.split('\n').filter((line) => line !== '');
  const written = lines([]) ?? [];
  assert.equal(written.length, 10);
  assert.deepEqual(portsIn(written), ports);
  assert.equal(lines(written), undefined);
  assert.deepEqual(lines(written, { udp: 1, tcp: 2 })?.filter((line) => /^-A (?:OUTPUT|POSTROUTING)/.test(line)), [], 'the jumps are there already');
  assert.deepEqual(lines(written.filter((line) => !line.startsWith('-A OUTPUT')))?.filter((line) => line.startsWith('-A OUTPUT')), ['-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT']);
  assert.deepEqual([portsIn([]), portsIn(written.filter((line) => !line.includes('-p tcp')))], [undefined, undefined]);
});
