// Frames and lines come out as they went in, however the bytes are cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf } from '../lib/errors.ts';
import { encodeFrame, FrameDecoder, JsonLines, type FrameStream } from './frames.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

test('a frame is eight bytes of header and the payload', () => {
  assert.deepEqual([...encodeFrame('stderr', Buffer.from('hi\n'))], [2, 0, 0, 0, 0, 0, 0, 3, 0x68, 0x69, 0x0a]);
});

test('frames survive every way of cutting the stream in two', () => {
  const sent: Array<[FrameStream, string]> = [['stdout', 'one'], ['stderr', ''], ['stderr', 'two'], ['stdout', 'x'.repeat(300)]];
  const wire = Buffer.concat(sent.map(([stream, payload]) => encodeFrame(stream, Buffer.from(payload))));
  for (let cut = 0; cut <= wire.length; cut++) {
    const decoder = new FrameDecoder();
    const got = [...decoder.push(wire.subarray(0, cut)), ...decoder.push(wire.subarray(cut))];
    decoder.end();
    const joined = (stream: FrameStream) => got.filter((frame) => frame.stream === stream).map((frame) => text(frame.bytes)).join('');
    assert.equal(joined('stdout'), `one${'x'.repeat(300)}`);
    assert.equal(joined('stderr'), 'two');
  }
});

test('what is no frame is refused, and so is an early end', () => {
  assert.throws(() => new FrameDecoder().push(Buffer.from('HTTP/1.1')), (error) => kindOf(error) === 'corrupt');
  const half = new FrameDecoder();
  half.push(encodeFrame('stdout', Buffer.from('abc')).subarray(0, 10));
  assert.throws(() => half.end(), /ended 1 bytes before the end/);
  const header = new FrameDecoder();
  header.push(Buffer.from([1, 0, 0]));
  assert.throws(() => header.end(), /inside a frame header/);
});

test('lines of JSON survive every way of cutting, with CR LF, empty lines and no newline at the end', () => {
  const wire = Buffer.from('{"a":"ä"}\r\n\n[1,2]\n"last"');
  for (let cut = 0; cut <= wire.length; cut++) {
    const lines = new JsonLines();
    assert.deepEqual([...lines.push(wire.subarray(0, cut)), ...lines.push(wire.subarray(cut)), ...lines.end()], [{ a: 'ä' }, [1, 2], 'last']);
  }
});

test('a line that never ends is refused at the limit, and no JSON is refused', () => {
  const lines = new JsonLines({ maxLineBytes: 100 });
  assert.deepEqual(lines.push(Buffer.alloc(100, ' ')), []);
  assert.throws(() => lines.push(Buffer.from(' ')), /longer than 100 bytes/);
  assert.throws(() => new JsonLines().push(Buffer.from('{no\n')), (error) => kindOf(error) === 'corrupt');
});
