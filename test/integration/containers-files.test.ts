// Files of containers from outside: archives in and out against hostile content, races, slow and vanishing clients; changes, export and commit.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TarReader } from '../../src/archive/tar-read.ts';
import { tarBytes, type TarItem } from '../../src/archive/tar-write.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { ask, type Answer } from '../kit/http.ts';
import { until } from '../kit/poll.ts';

const SECRET = 'secret of the host';
let bench: Bench;
let host: string;
before(async () => {
  bench = await openBench();
  host = join(bench.path, 'host');
  mkdirSync(host);
  writeFileSync(join(host, 'secret'), SECRET);
});
after(async () => { await bench[Symbol.asyncDispose](); });

type Item = TarItem & { content?: string };
const archivePath = (id: string, path: string) => `/containers/${id}/archive?path=${encodeURIComponent(path)}`;
const get = (id: string, path: string): Promise<Answer> => ask(bench.socket, { path: archivePath(id, path) });
const put = (id: string, path: string, items: readonly Item[], query = ''): Promise<Answer> => ask(bench.socket, { method: 'PUT', path: archivePath(id, path) + query, body: tarBytes(items) });
const file = (name: string, content: string): Item => ({ name, type: 'file', mode: 0o644, content });
const link = (name: string, linkName: string): Item => ({ name, type: 'symlink', mode: 0o777, linkName });
const hostIsUntouched = () => { assert.deepEqual(readdirSync(host), ['secret']); assert.equal(readFileSync(join(host, 'secret'), 'utf8'), SECRET); };

function entriesOf(tar: Buffer): Array<{ name: string; type: string; uid: number; content: string }> {
  const found: ReturnType<typeof entriesOf> = [];
  const reader = new TarReader({
    raw() {}, hole() {}, entryEnd() {},
    entry: ({ name, type, uid }) => { found.push({ name, type, uid, content: '' }); },
    data: (bytes, start, end) => { const last = found.at(-1); if (last && last.content.length < 1000) last.content += bytes.toString('latin1', start, end); },
  });
  reader.write(tar);
  reader.finish();
  return found;
}

const workers = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0worker\0rootfs') && readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${bench.daemon.pid}\n`); } catch { return false; }
});

for (const state of ['stopped', 'running'] as const) {
  test(`no link of a ${state} container leads out of it, read or written`, async () => {
    const id = await bench.create(['sleep', '1000']);
    if (state === 'running') await bench.start(id);
    const up = '../'.repeat(20);
    // Written at the root, where a link may point anywhere.
    assert.equal((await put(id, '/', [link('abs', host), link('up', `${up}${host.slice(1)}`), link('file', join(host, 'secret')), { name: 'sub/', type: 'dir', mode: 0o755 }, link('sub/out', '../up')])).status, 200);
    for (const path of ['/abs/secret', '/up/secret', '/sub/out/secret', '/abs/', '/up/.', '/file/']) assert.equal((await get(id, path)).status, 404, path);
    const [entry] = entriesOf((await get(id, '/file')).body);
    assert.deepEqual([entry?.type, entry?.content], ['symlink', '']);
    for (const path of ['/abs', '/up', '/sub/out']) assert.equal((await put(id, path, [file('planted', 'x')])).status, 404, path);
    // Entries behind links that are there, or that come with the archive, stay inside as well.
    for (const items of [[file('abs/planted', 'x')], [link('l', host), file('l/planted', 'x')], [file('../../planted', 'x')], [{ name: 'h', type: 'hardlink', mode: 0o644, linkName: `${up}${host.slice(1)}/secret` } as const]]) await put(id, '/', items);
    hostIsUntouched();
    assert.ok(!(await get(id, '/')).body.includes(SECRET));
    await bench.remove(id);
  });
}

test('a container that changes paths while they are used gets nothing of the host, and nothing to it', async () => {
  const id = await bench.run(['sh', '-c', `while :; do mkdir /x; echo mine > /x/secret; mv /x /y; ln -s ${host} /x; rm -rf /x /y; done`]);
  const other = await bench.run(['sh', '-c', 'mkdir -p /r/d; while :; do rm -rf /r/f; mkfifo /r/f; rm /r/f; mknod /r/f c 1 5; rm /r/f; echo file > /r/f; done']);
  await Promise.all(Array.from({ length: 8 }, async (_none, n) => {
    const [read, written, mixed] = await Promise.all([get(id, n % 2 ? '/x/' : '/x/secret'), put(id, '/x', [file('planted', 'x'), link('l', '/'), file('l/x/deep', 'x')]), get(other, '/r')]);
    for (const { status } of [read, written]) assert.ok([200, 400, 404, 500].includes(status), `${status}: ${read.text.slice(0, 200)}`);
    assert.ok(!read.body.includes(SECRET));
    if (mixed.status === 200) assert.ok(entriesOf(mixed.body).every(({ content }) => ['', 'file\n'].includes(content.replaceAll('\0', ''))), 'a device was read');
  }));
  hostIsUntouched();
  await bench.remove(id, other);
});

test('devices, pipes and sockets are told or left out, never opened; broken names and long ones go through', async () => {
  const long = 'n'.repeat(200);
  const id = await bench.run(['sh', '-c', `mkdir -p /t/${long}; mkfifo /t/p; mknod /t/n c 1 3; mknod /t/b b 7 0; nc -l -p 1 -s local:/t/s & echo x > "/t/$(printf '\\377\\376')"; echo y > /t/${long}/${long}; echo up; sleep 1000`]);
  await until('the files to be made', async () => (await bench.logs(id)).includes('up'));
  const entries = entriesOf((await get(id, '/t')).body);
  const types = Object.fromEntries(entries.map(({ name, type }) => [name, type]));
  assert.deepEqual([types['t/p'], types['t/n'], types['t/b'], types['t/\xff\xfe'], types[`t/${long}/${long}`], types['t/s']], ['fifo', 'char', 'block', 'file', 'file', undefined]);
  await bench.remove(id);
});

test('volumes, binds and memory are seen as the container sees them, and are written where it may', async () => {
  mkdirSync(join(bench.path, 'bind'));
  writeFileSync(join(bench.path, 'bind/here'), 'bound');
  const host = { Binds: [`${join(bench.path, 'bind')}:/deep/bind`, `${join(bench.path, 'bind')}:/ro:ro`], Tmpfs: { '/mem': '' }, ReadonlyRootfs: true };
  const id = await bench.create(['sh', '-c', 'echo inside > /mem/f; echo up; sleep 1000'], { host });
  assert.equal(entriesOf((await get(id, '/deep/bind/here')).body)[0]?.content, 'bound', 'before its first start');
  assert.equal((await get(id, '/mem/f')).status, 404);
  assert.equal((await bench.api('GET', `/containers/${id}/changes`, { status: 200 })).text, 'null\n', 'looking makes no folder');
  await bench.start(id);
  await until('the program to run', async () => (await bench.logs(id)).includes('up'));
  assert.equal(entriesOf((await get(id, '/mem/f')).body)[0]?.content, 'inside\n');
  for (const [path, status, message] of [
    ['/deep/bind', 200, ''], ['/mem', 200, ''], ['/ro', 403, 'mounted volume is marked read-only'], ['/etc', 403, 'container rootfs is marked read-only'], ['/etc/passwd', 400, 'extraction point is not a directory'],
    ['/nosuch', 404, `Could not find the file /nosuch in container ${id}`],
  ] as const) {
    const answer = await put(id, path, [file('written', 'w')]);
    assert.deepEqual([answer.status, status === 200 ? '' : answer.json<{ message: string }>().message], [status, message], path);
  }
  assert.deepEqual([readFileSync(join(bench.path, 'bind/written'), 'utf8'), entriesOf((await get(id, '/mem/written')).body)[0]?.content], ['w', 'w']);
  await bench.remove(id);
});

test('owners, kinds and packed bodies: as asked for', async () => {
  const id = await bench.create(['true'], { body: { User: '1000:1001' } });
  const items = [{ ...file('f', 'x'), uid: 7, gid: 8 }];
  const owner = async () => entriesOf((await get(id, '/tmp/f')).body)[0]?.uid;
  await put(id, '/tmp', items);
  assert.equal(await owner(), 7);
  await put(id, '/tmp', items, '&copyUIDGID=1');
  assert.equal(await owner(), 1000);
  assert.match((await put(id, '/tmp', [{ name: 'f/', type: 'dir', mode: 0o755 }], '&noOverwriteDirNonDir=true')).text, /cannot overwrite non-directory \\"\/tmp\/f\\" with directory \\"\/tmp\\"/);
  assert.equal((await put(id, '/tmp', [{ name: 'f/', type: 'dir', mode: 0o755 }])).status, 200);
  for (const [body, pattern] of [['no archive'.repeat(100), /Error processing tar file\(exit status 1\): archive\/tar: invalid tar header/], [tarBytes([file('g', 'x'.repeat(5000))]).subarray(0, 2000), /unexpected EOF/]] as const) {
    const answer = await ask(bench.socket, { method: 'PUT', path: archivePath(id, '/tmp'), body });
    assert.deepEqual([answer.status, pattern.test(answer.text)], [500, true], answer.text);
  }
  for (const program of ['gzip', 'bzip2', 'xz']) {
    const body = execFileSync(program, ['-c'], { input: tarBytes([file(`by ${program}`, program)]) });
    assert.equal((await ask(bench.socket, { method: 'PUT', path: archivePath(id, '/tmp'), body })).status, 200, program);
    assert.equal(entriesOf((await get(id, `/tmp/by ${program}`)).body)[0]?.content, program);
  }
  assert.equal((await ask(bench.socket, { method: 'PUT', path: archivePath(id, '/tmp'), body: '' })).status, 200, 'nothing is an archive of nothing');
  await bench.remove(id);
});

test('a client that leaves ends its worker, and the container can go meanwhile', async () => {
  const id = await bench.create(['true']);
  await put(id, '/tmp', [{ name: 'big', type: 'file', mode: 0o600, content: 'x'.repeat(8 << 20) }]);
  const stream = await bench.open('GET', `/containers/${id}/export`);
  stream.pause();
  await until('its worker to be the only one', () => workers().length === 1);
  await bench.remove(id); // the worker holds on to what it shows, not to the container
  stream.leave();
  await until('the worker to be gone', () => workers().length === 0);
});

test('a stopped container does not start while it is written to; the rest of the body ends the wait', async () => {
  const id = await bench.create(['sh', '-c', 'cat /tmp/late']);
  const sent = request({ socketPath: bench.socket, method: 'PUT', path: archivePath(id, '/tmp') });
  const answered = new Promise<number>((resolve, reject) => { sent.on('response', (response) => { response.resume(); resolve(response.statusCode ?? 0); }).on('error', reject); });
  const tar = tarBytes([file('late', 'came in time')]);
  sent.write(tar.subarray(0, 512));
  await until('the worker to wait', () => workers().length === 1);
  let started = false;
  const start = bench.start(id).then(() => { started = true; });
  assert.equal((await get(await bench.create(['true'], { name: 'other' }), '/etc')).status, 200, 'others are not held up');
  assert.equal(started, false);
  sent.end(tar.subarray(512));
  assert.equal(await answered, 200);
  await start;
  assert.equal(await bench.end(id), 0);
  assert.equal(await bench.logs(id), 'came in time');
  await bench.remove(id, 'other');
});

test('an upload that breaks off ends its worker, and lets the container go', async () => {
  const id = await bench.create(['true']);
  const sent = request({ socketPath: bench.socket, method: 'PUT', path: archivePath(id, '/tmp') });
  sent.on('error', () => {});
  const tar = tarBytes([file('whole', 'x'), file('half', 'y'.repeat(1000))]);
  sent.write(tar.subarray(0, 2000));
  await until('the worker to wait', () => workers().length === 1);
  sent.destroy();
  await until('the worker to be gone', () => workers().length === 0);
  assert.equal((await get(id, '/tmp')).status, 200);
  await bench.start(id);
  await bench.remove(id);
});

test('large files go through without the memory for them', async () => {
  const id = await bench.run(['sh', '-c', 'dd if=/dev/zero of=/sparse bs=1 count=1 seek=300M 2>/dev/null; echo up; sleep 1000']);
  await until('the file to be made', async () => (await bench.logs(id)).includes('up'));
  const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${bench.daemon.pid}/status`, 'utf8'))?.[1]) / 1024;
  const before = peak();
  const hash = createHash('sha256');
  let bytes = 0;
  await new Promise<void>((resolve, reject) => {
    request({ socketPath: bench.socket, path: archivePath(id, '/sparse') }, (response) => { response.on('data', (chunk: Buffer) => { bytes += chunk.length; hash.update(chunk); }).on('end', resolve).on('error', reject); }).on('error', reject).end();
  });
  assert.equal(bytes, 512 + Math.ceil((300 * 2 ** 20 + 1) / 512) * 512 + 1024);
  assert.ok(peak() - before < 100, `${before} MB, then ${peak()} MB`);
  await bench.remove(id);
});

interface ImageJson { Id: string; Parent: string; Config: { Cmd: string[]; Env: string[] }; RootFS: { Layers: string[] }; Author: string; Comment: string }

test('commit makes an image of what has changed; without changes it has no layer more', async () => {
  const events = await bench.events();
  const id = await bench.run(['sh', '-c', 'rm /bin/ls; rm -r /root; mkdir /root; echo new > /root/f; ln /root/f /root/g; echo up; sleep 1000']);
  await until('the changes to be made', async () => (await bench.logs(id)).includes('up'));
  const base = (await bench.api('GET', `/images/${bench.image}/json`, { status: 200 })).json<ImageJson>();
  const commit = async (query: string, body?: unknown) => (await bench.api('POST', `/commit?container=${id}${query}`, { status: 201, ...(body === undefined ? {} : { body }) })).json<{ Id: string }>().Id;
  const image = await commit(`&repo=made&tag=1&author=me&comment=why&changes=${encodeURIComponent('CMD ["cat","/root/g"]')}`, { Env: ['A=1'] });
  const made = (await bench.api('GET', '/images/made:1/json', { status: 200 })).json<ImageJson>();
  assert.deepEqual([made.Id, made.Parent, made.Author, made.Comment, made.Config.Cmd, made.Config.Env[0], made.RootFS.Layers.slice(0, -1)], [image, base.Id, 'me', 'why', ['cat', '/root/g'], 'A=1', base.RootFS.Layers]);
  assert.deepEqual((await bench.inspect(id)).State.Status, 'running');
  await events.sees('unpause', id);
  assert.deepEqual(events.actions(id).filter((action) => ['pause', 'commit', 'unpause'].includes(action)), ['pause', 'commit', 'unpause']);
  const runs = await bench.create([], { body: { Image: 'made:1', Cmd: null } });
  await bench.start(runs);
  assert.equal(await bench.end(runs), 0);
  assert.equal(await bench.logs(runs), 'new\n');
  assert.equal((await get(runs, '/bin/ls')).status, 404);
  await bench.remove(runs);
  const plain = await bench.create(['true']);
  const same = (await bench.api('POST', `/commit?container=${plain}&repo=made&tag=2`, { status: 201 })).json<{ Id: string }>().Id;
  assert.deepEqual((await bench.api('GET', `/images/${same}/json`)).json<ImageJson>().RootFS.Layers, base.RootFS.Layers);
  assert.equal(await commit('&repo=made&tag=3').then(async (other) => (await bench.api('GET', `/images/${other}/json`)).json<ImageJson>().RootFS.Layers.at(-1)), made.RootFS.Layers.at(-1), 'the same files make the same layer');
  for (const [query, status] of [['container=nosuch', 404], [`container=${id}&repo=Upper`, 400], [`container=${id}&changes=RUN%20x`, 400], [`container=${id}&repo=a&tag=b:c`, 400]] as const) assert.equal((await bench.api('POST', `/commit?${query}`)).status, status, query);
  await bench.restart('kill');
  assert.equal((await bench.api('GET', '/images/made:1/json', { status: 200 })).json<ImageJson>().Id, image, 'it is durable');
  await bench.remove(id, plain);
  events.leave();
  for (const tag of [1, 2, 3]) await bench.api('DELETE', `/images/made:${tag}`, { status: 200 });
});

test('a daemon that dies in a commit leaves no image and no layer of it', async () => {
  const id = await bench.create(['true']);
  await put(id, '/tmp', [{ name: 'big', type: 'file', mode: 0o600, content: 'z'.repeat(24 << 20) }]);
  const images = async () => (await bench.api('GET', '/images/json?all=1', { status: 200 })).json<Array<{ Id: string }>>().map(({ Id }) => Id).toSorted();
  const before = await images();
  for (let tries = 0; ; tries++) {
    let done = false;
    const asked = bench.api('POST', `/commit?container=${id}`).finally(() => { done = true; }).catch(() => undefined);
    await until('the worker to read', () => workers().length === 1 || done);
    await bench.restart('kill');
    const whole = (await asked)?.status === 201;
    const made = (await images()).filter((image) => !before.includes(image));
    if (!whole && made.length === 0) break;
    assert.ok(made.length === 1 && tries < 10, `${made.length} made before the daemon died`); // it was quicker, and is asked again
    await bench.api('GET', `/images/get?names=${made[0]}`, { status: 200 });
    await bench.api('DELETE', `/images/${made[0]}`, { status: 200 });
  }
  assert.deepEqual(await images(), before);
  assert.deepEqual(readdirSync(join(bench.daemon.dataRoot, 'image/overlay2/layerdb/tmp')), []);
  await bench.remove(id);
});
