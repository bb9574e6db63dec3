// What is read out of the lines of ps.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseProcesses } from './top.ts';

const parse = (text: string, ...pids: number[]) => parseProcesses(text.split('\n'), new Set(pids));

test('the processes asked for, the last column with its blanks', () => {
  assert.deepEqual(parse('UID  PID CMD\nroot   1 init\nroot  42 sleep 10  20', 42), { titles: ['UID', 'PID', 'CMD'], processes: [['root', '42', 'sleep 10 20']] });
});

test('threads stand below their process, and only there', () => {
  assert.deepEqual(parse('PID CMD\n41 other\n- -\n42 mine\n- -\n- -\n43 next\n- -', 42).processes, [['42', 'mine'], ['-', '-'], ['-', '-']]);
});

test('without a number of the process nothing can be said', () => {
  assert.throws(() => parse('CMD\nsleep', 42), { kind: 'invalid', message: "Couldn't find PID field in ps output" });
  assert.throws(() => parse('CMD PID\nsh -c 42', 42), { kind: 'invalid', message: /^Unexpected pid '-c'/ });
});
