// The judges judged: each rule finds what it is for, and the scanner is not fooled by strings, comments, templates and types.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokenFaces, deadFiles, importCycles, longFunctions, machinePaths, strayBuiltins, wrongDirections } from './rules.ts';
import { bareCode, bodiesOf, importsOf } from './scan.ts';
import { sourceOf, type Source } from './sources.ts';

const project = (files: Readonly<Record<string, string>>): Source[] => Object.entries(files).map(([path, text]) => sourceOf(path, text));
const dollar = '$';

test('comments, strings, templates and regular expressions are blank; code in templates is not', () => {
  assert.equal(bareCode(`a('}', "{") // {`).trimEnd(), `a(' ', " ")`);
  assert.equal(bareCode(`/* { */ b`), `        b`);
  assert.equal(bareCode(`x = \`{ ${dollar}{f({ a: '}' })} {\``), `x = \`  ${dollar}{f({ a: ' ' })}  \``);
  assert.equal(bareCode('y = /[/{]/.test(z) / 2 / w'), 'y =       .test(z) / 2 / w');
  assert.equal(bareCode('if (y) /\'{/.test(z)').replaceAll(/\s+/g, ' '), 'if (y) .test(z)');
  assert.equal(bareCode('return /}/;').replaceAll(/\s+/g, ' '), 'return ;');
  assert.throws(() => bareCode('f({)'), /partner in line 1/);
  assert.throws(() => bareCode('\nf({'), /partner in line 2/);
});

test('imports of every kind are found, and those in strings and comments are not', () => {
  const text = `import type { A } from './a.ts';\nimport b, {\n  c,\n} from "./b.ts";\nexport { d } from './d.ts';\nimport './e.ts';
const f = await import('./f.ts');\nexport type { G } from './g.ts';\n// import h from './h.ts'\nconst i = "import j from './j.ts'";\nexport const k = 'from';\n`;
  assert.deepEqual(importsOf(text).map(({ specifier, how }) => `${how} ${specifier}`).sort(), [
    'dynamic ./f.ts', 'static ./b.ts', 'static ./d.ts', 'static ./e.ts', 'types ./a.ts', 'types ./g.ts',
  ]);
});

const FUNCTIONS = `
function plain(a: string) {
}
export async function typed<T extends { x: 1 }>(a: T): Promise<{ b: string }> {
  if (a) { b(); }
}
function object(): { a: string; b(): void } {
  return x ? f(y) : { z };
}
declare function none(): void;
interface I { method(): { a: 1 }; other(): string }
class C {
  get x(): number { return 1; }
  [Symbol.dispose]() { for (const a of b) { c(); } }
  isIt(v: unknown): v is { a: 1 } { return true; }
}
const arrow = async (a: number): Promise<void> => {
  switch (a) { case f(): { break; } }
};
const expression = () => ({ a: 1 });
`;

test('functions are found by their bodies, and nothing else is', () => {
  assert.deepEqual(bodiesOf(FUNCTIONS).map(({ name, line, lines }) => `${line} ${name} ${lines}`), [
    '2 plain 2', '4 typed 3', '7 object 3', '13 x 1', '14  1', '15 isIt 1', '17 const arrow = async (a: number): Promise<void> 3',
  ]);
});

test('long functions are named, known ones may only shrink', () => {
  const sources = project({ 'src/lib/a.ts': `function long() {${'\n'.repeat(70)}}\n` });
  assert.deepEqual(longFunctions(sources, {}), ['src/lib/a.ts:1 long has 71 lines, 60 are the most']);
  assert.deepEqual(longFunctions(sources, { 'src/lib/a.ts long': 71 }), []);
  assert.deepEqual(longFunctions(sources, { 'src/lib/a.ts long': 70 }), ['src/lib/a.ts:1 long has 71 lines, 70 are the most']);
  assert.deepEqual(longFunctions([], { 'src/lib/a.ts long': 71 }), ['src/lib/a.ts long is short or gone: take it off the list']);
});

const WRONG: ReadonlyArray<[string, (sources: readonly Source[]) => string[], Readonly<Record<string, string>>, number]> = [
  ['up', wrongDirections, { 'src/store/a.ts': `import '../engine/index.ts';` }, 1],
  ['sideways', wrongDirections, { 'src/oci/a.ts': `import type { A } from '../wire/types.ts';` }, 1],
  ['down', wrongDirections, { 'src/engine/a.ts': `import '../store/index.ts';`, 'src/main.ts': `import './cli/cli.ts';` }, 0],
  ['command line past the API', wrongDirections, { 'src/cli/a.ts': `import '../kernel/index.ts';` }, 1],
  ['test code in the executable', wrongDirections, { 'src/cli/a.ts': `import '../../test/kit/net.ts';` }, 1],
  ['past a face', brokenFaces, { 'src/engine/a.ts': `import '../store/layers.ts';` }, 1],
  ['by the face', brokenFaces, { 'src/engine/a.ts': `import '../store/index.ts'; `, 'src/engine/a.test.ts': `import '../kernel/fake.ts';` }, 0],
  ['a fake outside of tests', brokenFaces, { 'src/engine/a.ts': `import '../kernel/fake.ts';` }, 1],
  ['file system in the engine', strayBuiltins, { 'src/engine/a.ts': `import { x } from 'node:fs/promises';` }, 1],
  ['a package', strayBuiltins, { 'src/engine/a.ts': `import x from 'left-pad';` }, 1],
  ['environment below the daemon', strayBuiltins, { 'src/engine/a.ts': `const x = process.env.HOME; const y = spec.process.args;` }, 1],
  ['a variable named process', strayBuiltins, { 'src/engine/a.ts': `const process = spec.process; export const x = process.env;` }, 0],
  ['what only computes', strayBuiltins, { 'src/engine/a.ts': `import { createHash } from 'node:crypto';` }, 0],
  ['a cycle', importCycles, { 'src/lib/a.ts': `import './b.ts';`, 'src/lib/b.ts': `export { c } from './a.ts';` }, 1],
  ['a cycle of types', importCycles, { 'src/lib/a.ts': `import './b.ts';`, 'src/lib/b.ts': `import type { C } from './a.ts';` }, 0],
  ['a dead file', deadFiles, { 'src/main.ts': '', 'src/lib/a.ts': '', 'src/lib/a.test.ts': `import './a.ts';` }, 1],
  ['a fake in use', deadFiles, { 'src/main.ts': '', 'src/lib/fake.ts': '', 'src/lib/a.test.ts': `import './fake.ts';` }, 0],
];

for (const [name, rule, files, count] of WRONG) {
  test(`${rule.name}: ${name}`, () => {
    const found = rule(project(files));
    assert.equal(found.length, count, found.join('\n'));
  });
}

test('paths of a machine are found, those of containers are not', () => {
  const home = ['', 'home', 'somebody', 'x'].join('/');
  const files = new Map([['a', `see ${home}`], ['b', 'HOME=/root and /var/lib/docker'], ['c', 'at /some/checkout/src']]);
  assert.deepEqual(machinePaths(files, '/some/checkout').map((line) => line.slice(0, 3)), ['a:1', 'c:1']);
});
