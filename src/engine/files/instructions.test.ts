// Instructions of a Dockerfile as commit takes them: what dockerd 20.10 made of the same words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeConfig } from '../containers/defaults.ts';
import { appliedChanges } from './instructions.ts';

const BASE = completeConfig({ Cmd: ['true'], Env: ['PATH=/bin'] });
const applied = (...changes: string[]) => {
  const after = appliedChanges(BASE, changes);
  return Object.fromEntries(Object.entries(after).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(BASE[key as keyof typeof BASE])));
};

for (const [changes, want] of [
  [['CMD x  y'], { Cmd: ['/bin/sh', '-c', 'x  y'] }],
  [['CMD'], { Cmd: ['/bin/sh', '-c'] }],
  [['CMD []'], { Cmd: null }],
  [['CMD ["a\\"b", "c"] '], { Cmd: ['a"b', 'c'] }],
  [['CMD ["a"'], { Cmd: ['/bin/sh', '-c', '["a"'] }],
  [['ENTRYPOINT ["e"]'], { Cmd: null, Entrypoint: ['e'] }],
  [['CMD ["c"]', 'ENTRYPOINT e'], { Cmd: ['c'], Entrypoint: ['/bin/sh', '-c', 'e'] }],
  [['ENV q="\\$x \\d \\"${x:-y}\\" \'$x\'"'], { Env: ['PATH=/bin', 'q=$x \\d "y" \'\''] }],
  [['ENV a="$b c" d=\'$PATH\' e=\\$PATH f=x\\ y g=${zz:-q} h=${PATH:+w} PATH=/x'], { Env: ['PATH=/x', 'a= c', 'd=$PATH', 'e=$PATH', 'f=x y', 'g=q', 'h=w'] }],
  [['ENV K v w', 'ENV L=$K'], { Env: ['PATH=/bin', 'K=v w', 'L=v w'] }],
  [['LABEL k=v "a b"="c d"', 'LABEL x y z'], { Labels: { k: 'v', 'a b': 'c d', x: 'y z' } }],
  [['EXPOSE 80 90/UDP 1-3 8:9'], { ExposedPorts: { '1/tcp': {}, '2/tcp': {}, '3/tcp': {}, '80/tcp': {}, '9/tcp': {}, '90/udp': {} } }],
  [['VOLUME ["/a", "b"]', 'VOLUME /q ["/z"]'], { Volumes: { '/a': {}, b: {}, '/q': {}, '[/z]': {} } }],
  [['WORKDIR sub', 'WORKDIR deep'], { WorkingDir: '/sub/deep' }],
  [['WORKDIR a b'], { WorkingDir: '/a b' }],
  [['USER $PATH b'], { User: '/bin b' }],
  [['ONBUILD   run  a   b'], { OnBuild: ['run  a   b'] }],
  [['STOPSIGNAL HUP'], { StopSignal: 'HUP' }],
  [['HEALTHCHECK --interval=5s --retries=2 CMD true'], { Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5_000_000_000, Retries: 2 } }],
  [['HEALTHCHECK --timeout=3s CMD ["a","b"]'], { Healthcheck: { Test: ['CMD', 'a', 'b'], Timeout: 3_000_000_000 } }],
  [['healthcheck none'], { Healthcheck: { Test: ['NONE'] } }],
  [['# said', '', 'USER a\\', 'b'], { User: 'ab' }],
] as const) test(`commit takes ${changes.join(' | ')}`, () => assert.deepEqual(applied(...changes), want));

for (const [change, message] of [
  ['RUN x', 'run is not a valid change command'], ['ENV', 'ENV requires at least one argument'], ['ENV A', 'ENV must have two arguments'], ['LABEL x', 'LABEL must have two arguments'],
  ['EXPOSE x', 'Invalid containerPort: x'], ['EXPOSE 70000', 'Invalid containerPort: 70000'], ['EXPOSE 5-3', 'Invalid containerPort: 5-3'], ['expose 80/foo', 'Invalid proto: foo'],
  ['VOLUME', 'VOLUME requires at least one argument'], ['VOLUME [""]', 'VOLUME specified can not be an empty string'], ['WORKDIR', 'WORKDIR requires exactly one argument'], ['USER', 'USER requires exactly one argument'],
  ['ONBUILD', 'ONBUILD requires at least one argument'], ['ONBUILD FROM x', "FROM isn't allowed as an ONBUILD trigger"], ['ONBUILD ONBUILD RUN x', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
  ['HEALTHCHECK x', 'Unknown type "X" in HEALTHCHECK (try CMD)'], ['HEALTHCHECK NONE x', 'HEALTHCHECK NONE takes no arguments'], ['HEALTHCHECK --interval=x CMD y', 'time: invalid duration "x"'], ['HEALTHCHECK --interval=5 CMD y', 'time: missing unit in duration "5"'],
  ['HEALTHCHECK CMD', 'Missing command after HEALTHCHECK CMD'], ['HEALTHCHECK --foo CMD x', 'Unknown flag: foo'], ['HEALTHCHECK --interval=1us CMD x', 'Interval "interval" cannot be less than 1ms'],
  ['HEALTHCHECK --retries=0 CMD x', '--retries must be at least 1 (not 0)'], ['ENV A=b =x', 'ENV names can not be blank'], ['LABEL =x', 'LABEL names can not be blank'], ['# c', 'file with no instructions'], ['', 'file with no instructions'],
] as const) test(`commit refuses ${JSON.stringify(change)}`, () => assert.throws(() => applied(change), { kind: 'invalid', message }));

test('without changes it is the same configuration', () => assert.equal(appliedChanges(BASE, []), BASE));
