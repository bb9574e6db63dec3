import assert from 'node:assert/strict';
import test from 'node:test';
import { flag, parseFlags } from './flags.ts';
import { Failure } from './failure.ts';

const specs = [flag('a, all', 'bool', ''), flag('q, quiet', 'bool', ''), flag('e, env', 'list', ''), flag('n, last', 'int', '', { value: '-1' }), flag('f, filter', 'filter', ''), flag('m, memory', 'bytes', ''), flag('wait', 'duration', '')];
const parse = (words: string[], interspersed = true) => parseFlags(words, { specs, interspersed, path: 'vaquita x' });

test('flags are taken in every spelling', () => {
  const { flags, args } = parse(['-aq', '-e=A=1', '-eB', '--env', 'C', '--env=D', 'one', '--last', '3', '--', '-z']);
  assert.deepEqual([flags.bool('all'), flags.bool('quiet'), flags.list('env'), flags.number('last'), args], [true, true, ['A=1', 'B', 'C', 'D'], 3, ['one', '-z']]);
  assert.equal(parse(['-a', '--all=false']).flags.bool('all'), false);
  assert.equal(parse([]).flags.number('last'), -1);
});

test('flags behind the first argument belong to the container', () => {
  const { flags, args } = parse(['-a', 'image', '-q', '--nosuch'], false);
  assert.deepEqual([flags.bool('quiet'), args], [false, ['image', '-q', '--nosuch']]);
});

test('filters gather their values', () => {
  assert.deepEqual([...parse(['-f', 'status=a', '--filter', 'Status = b', '-f', 'label=x=y']).flags.filters()], [['status', ['a', 'b']], ['label', ['x=y']]]);
});

test('mistakes are named, with 125 and where to read on', () => {
  const cases: Array<[string[], string]> = [
    [['--nosuch'], 'unknown flag: --nosuch'],
    [['-aZ'], "unknown shorthand flag: 'Z' in -Z"],
    [['--last'], 'flag needs an argument: --last'],
    [['-e'], "flag needs an argument: 'e' in -e"],
    [['-n', 'x'], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    [['--all=maybe'], 'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
    [['-f', 'x'], 'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'],
    [['--wait', '5'], 'invalid argument "5" for "--wait" flag: time: missing unit in duration "5"'],
    [['-m1x'], 'invalid argument "1x" for "-m, --memory" flag: invalid size: \'1x\''],
  ];
  for (const [words, message] of cases) {
    assert.throws(() => parse(words), (error) => error instanceof Failure && error.code === 125 && error.message === `${message}\nSee 'vaquita x --help'.`, message);
  }
});
