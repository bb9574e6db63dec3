// Logs are read whole, from their end, by time, and while they are written and rotated.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../lib/clock.ts';
import { compress } from './compress.ts';
import type { LogQuery, LogRecord } from './index.ts';
import { readFiles } from './read.ts';
import { LineCutter, parseRecord } from './record.ts';

const ALL: LogQuery = { stdout: true, stderr: true, tail: 'all', sinceNs: undefined, untilNs: undefined, follow: false, ended: Promise.resolve() };

test('a line is parsed: time with any offset, stream, whole or part', () => {
  const cases: Array<[string, unknown]> = [
    ['2026-11-20T21:20:08.775172246+00:00 stdout F hi\n', ['stdout', 1795209608775172246n, 'hi\n']],
    ['2026-11-20T22:20:08.5+01:00 stderr F a b \n', ['stderr', 1795209608500000000n, 'a b \n']],
    ['2026-11-20T21:20:08Z stdout P part\n', ['stdout', 1795209608000000000n, 'part']],
    ['2026-11-20T21:20:08Z stdout F \n', ['stdout', 1795209608000000000n, '\n']],
    ['2026-11-20T21:20:08Z stdin F x\n', undefined],
    ['yesterday stdout F x\n', undefined],
    ['\0\0\0\0\n', undefined],
    ['\n', undefined],
  ];
  for (const [line, want] of cases) {
    const record = parseRecord(Buffer.from(line));
    assert.deepEqual(record && [record.stream, record.timeNs, text(record)], want, JSON.stringify(line));
  }
});

test('lines are the same however the bytes are cut, and one without end is passed over', () => {
  const bytes = Buffer.from(`one\ntwo\n${'x'.repeat(200_000)}\nthree\nrest`);
  for (const size of [1, 2, 7, 4096, bytes.length]) {
    const cutter = new LineCutter();
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += size) for (const line of cutter.push(bytes.subarray(at, at + size))) lines.push(Buffer.from(line).toString());
    assert.deepEqual(lines.filter((line) => line.length < 100), ['one\n', 'two\n', 'three\n'], `cut into ${size}`);
  }
});

test('a missing log is empty', async (t) => {
  const path = `${scratch(t)}/none/log`;
  assert.deepEqual(await read(path), []);
});

test('streams, since and until choose', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(path, [1, 2, 3, 4].map((n) => line(n, `l${n}`, n % 2 === 0 ? 'stderr' : 'stdout')).join(''));
  assert.deepEqual(await read(path), ['l1\n', 'l2\n', 'l3\n', 'l4\n']);
  assert.deepEqual(await read(path, { stderr: false }), ['l1\n', 'l3\n']);
  assert.deepEqual(await read(path, { sinceNs: at(2), untilNs: at(3) }), ['l2\n', 'l3\n']);
  assert.deepEqual(await read(path, { tail: 3, stdout: false }), ['l2\n', 'l4\n']);
});

test('a log that is compressed while it is read is whole, each time', async (t) => {
  const path = `${scratch(t)}/log`;
  const clock = { ...systemClock, sleep: () => Promise.resolve() };
  const lines = Array.from({ length: 30 }, (_, n) => `l${n}\n`);
  for (let round = 0; round < 40; round++) {
    rmSync(`${path}.1.gz`, { force: true });
    writeFileSync(`${path}.1`, lines.map((one, n) => line(n, one.trimEnd())).join(''));
    let over = false;
    const compressed = compress(`${path}.1`, { clock, signal: new AbortController().signal }).finally(() => { over = true; });
    do assert.deepEqual(await read(path), lines); while (!over);
    await compressed;
  }
});

test('tail finds its beginning in any file, and counts a line in parts as one that is joined', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(`${path}.2.gz`, gzipSync(line(1, 'a') + line(2, 'b')));
  writeFileSync(`${path}.1`, line(3, 'c') + line(4, 'd1', 'stdout', 'P') + line(4, 'd2'));
  writeFileSync(path, `${line(5, 'e')}${line(6, 'f', 'stdout', 'P')}2026-half`);
  const all = ['a\n', 'b\n', 'c\n', 'd1d2\n', 'e\n', 'f'];
  assert.deepEqual(await read(path), all);
  assert.deepEqual(await read(path, { as: 'written' }), ['a\n', 'b\n', 'c\n', 'd1', 'd2\n', 'e\n', 'f']);
  for (let tail = 0; tail <= 7; tail++) assert.deepEqual(await read(path, { tail }), all.slice(Math.max(0, 6 - tail)), `tail ${tail}`);
  // What is begun and may yet be ended is held back.
  for (let tail = 0; tail <= 6; tail++) assert.deepEqual(await read(path, { tail, running: true }), all.slice(Math.max(0, 5 - tail), -1), `tail ${tail} while it runs`);
});

test('a line of more than 16 KiB comes in pieces with the time of the first, and tail counts pieces', async (t) => {
  const path = `${scratch(t)}/log`;
  const part = 'x'.repeat(8192), piece = 'x'.repeat(16_384);
  const long = (second: number, parts: number, end: string) => Array.from({ length: parts }, (_, n) => line(second + n, part, 'stdout', 'P')).join('') + line(second + parts, end);
  const records = ['a\n', piece, piece, `${part}end\n`, 'b\n', piece, '\n', 'c\n'];
  writeFileSync(path, line(1, 'a') + long(10, 5, 'end') + line(20, 'b') + long(30, 2, '') + line(40, 'c'));
  assert.deepEqual(await read(path), records);
  for (let tail = 0; tail <= 9; tail++) assert.deepEqual(await read(path, { tail }), records.slice(Math.max(0, 8 - tail)), `tail ${tail}`);
  const times: bigint[] = [];
  for await (const { timeNs } of readFiles(path, ALL, systemClock)) times.push(timeNs / 1_000_000_000n);
  assert.deepEqual(times, [1n, 11n, 11n, 11n, 20n, 31n, 31n, 40n]);
  writeFileSync(`${path}.1.gz`, gzipSync(line(1, 'a') + long(10, 5, 'end')));
  writeFileSync(path, line(20, 'b'));
  for (let tail = 0; tail <= 6; tail++) assert.deepEqual(await read(path, { tail }), records.slice(Math.max(0, 5 - tail), 5), `tail ${tail} of a compressed file`);
});

test('parts of both streams between each other are told apart', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(path, line(1, 'o1', 'stdout', 'P') + line(2, 'e1', 'stderr', 'P') + line(3, 'o2', 'stdout', 'P') + line(4, 'e2', 'stderr') + line(5, 'o3'));
  assert.deepEqual(await read(path), ['e1e2\n', 'o1o2o3\n']);
});

test('the end of a large log costs little, and every tail of it is exact', async (t) => {
  const path = `${scratch(t)}/log`;
  const count = 80_000;
  const chunk: string[] = [];
  for (let n = 0; n < count; n++) chunk.push(line(n % 50_000, `${n} ${'y'.repeat(n % 97)}`));
  writeFileSync(path, chunk.join(''));
  for (const tail of [1, 2, 500, 4321]) {
    const got = await read(path, { tail });
    assert.equal(got.length, tail);
    assert.match(got[0] ?? '', new RegExp(`^${count - tail} `));
    assert.match(got.at(-1) ?? '', new RegExp(`^${count - 1} `));
  }
  let records = 0;
  for await (const _record of readFiles(path, ALL, systemClock)) records++;
  assert.equal(records, count);
});

test('following goes through rotations without a loss, and ends when the log has', async (t) => {
  const path = `${scratch(t)}/log`;
  const ended = Promise.withResolvers<void>();
  const got: string[] = [];
  const following = (async () => {
    for await (const record of readFiles(path, { ...ALL, follow: true, ended: ended.promise }, systemClock)) got.push(text(record));
  })();
  const want: string[] = [];
  for (let n = 0; n < 60; n++) {
    appendFileSync(path, line(n, `n${n}`));
    want.push(`n${n}\n`);
    if (n % 20 === 13) {
      renameSync(path, `${path}.1`);
      appendFileSync(`${path}.1`, line(n, `late${n}`)); // conmon writes on until it opens the new file
      want.push(`late${n}\n`);
      await until(() => got.length === want.length); // as many rotations as files are kept, no more, fall between two reads
    }
    if (n % 7 === 0) await until(() => got.length === want.length);
  }
  appendFileSync(path, line(99, 'end'));
  ended.resolve();
  await following;
  assert.deepEqual(got, [...want, 'end\n']);
});

test('two rotations between two reads lose nothing while the files are kept', async (t) => {
  const path = `${scratch(t)}/log`;
  const ended = Promise.withResolvers<void>();
  writeFileSync(path, line(1, 'a'));
  const next = followed(path, ended.promise);
  assert.equal(await next(), 'a\n');
  appendFileSync(path, line(2, 'b'));
  renameSync(path, `${path}.1`);
  writeFileSync(path, line(3, 'c'));
  renameSync(`${path}.1`, `${path}.2`);
  renameSync(path, `${path}.1`);
  writeFileSync(path, line(4, 'd'));
  ended.resolve();
  assert.deepEqual([await next(), await next(), await next(), await next()], ['b\n', 'c\n', 'd\n', undefined]);
});

test('a follower misses no file that was turned at the end of the log, and none behind one that was compressed meanwhile', async (t) => {
  const path = `${scratch(t)}/log`;
  const ended = Promise.withResolvers<void>();
  writeFileSync(path, line(1, 'a'));
  const next = followed(path, ended.promise);
  assert.equal(await next(), 'a\n');
  appendFileSync(path, line(2, 'b'));
  renameSync(path, `${path}.2`);
  await compress(`${path}.2`, { clock: systemClock, signal: new AbortController().signal });
  writeFileSync(`${path}.1`, line(3, 'c')); // two turns, and the next file is not there yet
  assert.deepEqual([await next(), await next()], ['b\n', 'c\n']);
  await compress(`${path}.1`, { clock: systemClock, signal: new AbortController().signal });
  const last = next(); // it has read all there is by now, and waits for the next file
  renameSync(`${path}.2.gz`, `${path}.3.gz`);
  renameSync(`${path}.1.gz`, `${path}.2.gz`);
  writeFileSync(`${path}.1`, line(4, 'd'));
  ended.resolve(); // the program is gone: there never will be one
  assert.deepEqual([await last, await next()], ['d\n', undefined]);
});

test('a follower leaves when its signal is aborted, even of a log that never begins', async (t) => {
  const abort = new AbortController();
  const reading = read(`${scratch(t)}/log`, { follow: true, ended: new Promise(() => {}), signal: abort.signal });
  setImmediate(() => abort.abort());
  assert.deepEqual(await reading, []);
});

test('a follower leaves at until, and goes on after the file was cut', async (t) => {
  const path = `${scratch(t)}/log`;
  writeFileSync(path, line(1, 'first line, which is the longest'));
  const records = readFiles(path, { ...ALL, follow: true, untilNs: at(3), ended: new Promise(() => {}) }, systemClock)[Symbol.asyncIterator]();
  assert.equal(text((await records.next()).value as LogRecord), 'first line, which is the longest\n');
  writeFileSync(path, line(2, 'b'));
  assert.equal(text((await records.next()).value as LogRecord), 'b\n');
  appendFileSync(path, line(4, 'too late'));
  assert.equal((await records.next()).done, true);
});

function scratch(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/logs-`);
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** Follows a log until it has ended, a record at a time; undefined: there are no more. */
function followed(path: string, ended: Promise<void>): () => Promise<string | undefined> {
  const records = readFiles(path, { ...ALL, follow: true, ended }, systemClock)[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await records.next();
    return done === true ? undefined : text(value as LogRecord);
  };
}

async function read(path: string, query: Partial<LogQuery> = {}): Promise<string[]> {
  const lines: string[] = [];
  for await (const record of readFiles(path, { ...ALL, ...query }, systemClock)) lines.push(text(record));
  return lines;
}

function line(second: number, what: string, stream = 'stdout', tag = 'F'): string {
  return `${new Date(second * 1000).toISOString().replace('Z', '000000+00:00')} ${stream} ${tag} ${what}\n`;
}

function at(second: number): bigint { return BigInt(second) * 1_000_000_000n; }

function text(record: LogRecord): string { return Buffer.from(record.bytes).toString(); }

async function until(met: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !met();) {
    assert.ok(Date.now() < end, 'not met within 30 s');
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}
