// Golden tables of the reference grammar: what Docker accepts, completes, shows and refuses.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  canonicalName, familiarName, familiarString, familiarWithDigest, parseReference, registryHost, withDefaultTag,
} from './reference.ts';
import { parseDigest } from './digest.ts';
import { kindOf } from '../lib/errors.ts';

const HEX = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const DIGEST = parseDigest(`sha256:${HEX}`);

// text, registry, path, tag, has digest, familiar text
const ACCEPTED: ReadonlyArray<readonly [string, string, string, string | undefined, boolean, string]> = [
  ['busybox', 'docker.io', 'library/busybox', undefined, false, 'busybox'],
  ['busybox:1.36', 'docker.io', 'library/busybox', '1.36', false, 'busybox:1.36'],
  ['library/busybox', 'docker.io', 'library/busybox', undefined, false, 'busybox'],
  ['docker.io/busybox', 'docker.io', 'library/busybox', undefined, false, 'busybox'],
  ['docker.io/library/busybox:x', 'docker.io', 'library/busybox', 'x', false, 'busybox:x'],
  ['index.docker.io/busybox', 'docker.io', 'library/busybox', undefined, false, 'busybox'],
  ['index.docker.io/a/b', 'docker.io', 'a/b', undefined, false, 'a/b'],
  ['a/b', 'docker.io', 'a/b', undefined, false, 'a/b'],
  ['a/b/c:t', 'docker.io', 'a/b/c', 't', false, 'a/b/c:t'],
  ['docker.io/library/a/b', 'docker.io', 'library/a/b', undefined, false, 'library/a/b'],
  ['docker.io', 'docker.io', 'library/docker.io', undefined, false, 'docker.io'],
  [`busybox@${DIGEST}`, 'docker.io', 'library/busybox', undefined, true, `busybox@${DIGEST}`],
  [`busybox:1@${DIGEST}`, 'docker.io', 'library/busybox', '1', true, `busybox:1@${DIGEST}`],
  ['localhost/a', 'localhost', 'a', undefined, false, 'localhost/a'],
  ['localhost:5000/a/b:v', 'localhost:5000', 'a/b', 'v', false, 'localhost:5000/a/b:v'],
  ['foo:5000', 'docker.io', 'library/foo', '5000', false, 'foo:5000'],
  ['foo:5000/bar', 'foo:5000', 'bar', undefined, false, 'foo:5000/bar'],
  [`127.0.0.1:5000/x@${DIGEST}`, '127.0.0.1:5000', 'x', undefined, true, `127.0.0.1:5000/x@${DIGEST}`],
  ['[::1]:5000/x', '[::1]:5000', 'x', undefined, false, '[::1]:5000/x'],
  ['Registry.Example.com/x', 'Registry.Example.com', 'x', undefined, false, 'Registry.Example.com/x'],
  ['xn--n3h.com/a__b/c-d.e_f:Tag_.-1', 'xn--n3h.com', 'a__b/c-d.e_f', 'Tag_.-1', false, 'xn--n3h.com/a__b/c-d.e_f:Tag_.-1'],
  ['a---b', 'docker.io', 'library/a---b', undefined, false, 'a---b'],
  [`docker.io/library/${HEX}`, 'docker.io', `library/${HEX}`, undefined, false, `library/${HEX}`],
  ['docker.io/foo.bar/x', 'docker.io', 'foo.bar/x', undefined, false, 'docker.io/foo.bar/x'],
  [HEX.slice(1), 'docker.io', `library/${HEX.slice(1)}`, undefined, false, HEX.slice(1)],
  [`registry2.balena-cloud.com/v2/${HEX.slice(32)}:delta-0123456789abcdef`, 'registry2.balena-cloud.com', `v2/${HEX.slice(32)}`,
    'delta-0123456789abcdef', false, `registry2.balena-cloud.com/v2/${HEX.slice(32)}:delta-0123456789abcdef`],
];

test('names are completed, and shown short again, as Docker does', () => {
  for (const [text, registry, path, tag, hasDigest, familiar] of ACCEPTED) {
    const ref = parseReference(text);
    assert.deepEqual(ref, { registry, path, tag, digest: hasDigest ? DIGEST : undefined }, text);
    assert.equal(familiarString(ref), familiar, text);
    assert.deepEqual(parseReference(familiar), ref, `${familiar} is another name`);
  }
});

const MALFORMED = 'invalid reference format';
const LOWER = 'invalid reference format: repository name must be lowercase';
const REFUSED: ReadonlyArray<readonly [string, string]> = [
  ['', MALFORMED], [':tag', MALFORMED], ['a:', MALFORMED], ['a@', MALFORMED], ['a b', MALFORMED], ['-a', MALFORMED], ['a-', MALFORMED],
  ['a..b', MALFORMED], ['a___b', MALFORMED], ['a//b', MALFORMED], ['/a', MALFORMED], ['a/', MALFORMED], ['docker.io/', MALFORMED],
  ['a:t:u', MALFORMED], ['a:.t', MALFORMED], [`a:${'t'.repeat(129)}`, MALFORMED], ['https://example.com/x', MALFORMED],
  ['-x.com/a', MALFORMED], ['a@sha256:abc', MALFORMED], ['../etc', MALFORMED], ['a/../b', MALFORMED], ['a\0b', MALFORMED], ['a\n', MALFORMED],
  ['Busybox', LOWER], ['a/Bc:x', LOWER], ['localhost:5000/A', LOWER], ['Uppercase/lowercase', LOWER],
  [`a@sha256:${HEX.slice(2)}`, 'invalid checksum digest length'], [`a@sha512:${HEX}${HEX}`, 'unsupported digest algorithm'],
  [HEX, `invalid repository name (${HEX}), cannot specify 64-byte hexadecimal strings`],
  ['a'.repeat(256), 'invalid reference format: repository name must not be more than 255 characters'],
  [`a:${'t'.repeat(100_000)}`, MALFORMED],
];

test('what is no name is refused in Docker\'s words', () => {
  for (const [text, message] of REFUSED) assert.throws(() => parseReference(text), { kind: 'invalid', message }, JSON.stringify(text.slice(0, 80)));
});

test('the parts that others ask for', () => {
  const ref = parseReference('busybox');
  assert.equal(withDefaultTag(ref).tag, 'latest');
  assert.equal(withDefaultTag(parseReference('busybox:1')).tag, '1');
  assert.equal(withDefaultTag(parseReference(`busybox@${DIGEST}`)).tag, undefined);
  assert.equal(familiarName(parseReference('busybox:1')), 'busybox');
  assert.equal(canonicalName(ref), 'docker.io/library/busybox');
  assert.equal(familiarWithDigest(parseReference('localhost:5000/a:b'), DIGEST), `localhost:5000/a@${DIGEST}`);
  assert.equal(registryHost(ref), 'registry-1.docker.io');
  assert.equal(registryHost(parseReference('localhost:5000/a')), 'localhost:5000');
});

test('any text is a reference that reads back, or invalid', () => {
  const alphabet = ['a', 'B', '0', '.', '-', '_', '/', ':', '@', 'sha256:', DIGEST, 'localhost', ' ', 'é', 'docker.io/', HEX];
  let state = 20_231;
  const next = (n: number) => { state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0; return (state >>> 8) % n; };
  for (let run = 0; run < 5000; run++) {
    const text = Array.from({ length: next(8) }, () => alphabet[next(alphabet.length)]).join('');
    try {
      const ref = parseReference(text);
      assert.deepEqual(parseReference(familiarString(ref)), ref, text);
    } catch (error) {
      if (kindOf(error) !== 'invalid') throw new Error(`text ${JSON.stringify(text)}`, { cause: error });
    }
  }
});
