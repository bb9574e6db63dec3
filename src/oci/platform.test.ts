// Tables of which manifest an ARM or amd64 machine gets out of an index.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { choosePlatform, fitsPlatform, formatPlatform, hostPlatform, parsePlatform } from './platform.ts';
import { MEDIA, type Descriptor, type Index } from './manifest.ts';
import { digestOf } from './digest.ts';

const entry = (name: string, mediaType: string = MEDIA.ociManifest): Descriptor => {
  const [os = '', architecture = '', variant] = name.split('/');
  return { mediaType, digest: digestOf(name), size: 1, platform: { os, architecture, ...(variant ? { variant } : {}) } };
};
const index = (...names: string[]): Index => ({ mediaType: MEDIA.ociIndex, manifests: names.map((name) => entry(name)) });

test('the best manifest is chosen, containerd\'s order', () => {
  const table: ReadonlyArray<readonly [want: string, offered: string[], chosen: string | undefined]> = [
    ['linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/386'], 'linux/386'],
    ['linux/amd64', ['linux/386', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/amd64/v1'], 'linux/amd64/v1'],
    ['linux/amd64', ['linux/amd64/v3', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/amd64/v3'], undefined],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm64'], 'linux/arm/v6'],
    ['linux/arm/v7', ['linux/arm/v6', 'linux/arm'], 'linux/arm'],
    ['linux/arm/v6', ['linux/arm/v7', 'linux/arm/v5'], 'linux/arm/v5'],
    ['linux/arm/v6', ['linux/arm/v7'], undefined],
    ['linux/arm/v5', ['linux/arm/v6', 'linux/arm/v7'], undefined],
    ['linux/arm/v8', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm/v7', ['linux/arm64/v8', 'linux/amd64'], undefined],
    ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64/v8', ['linux/arm64'], 'linux/arm64'],
    ['linux/arm64', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm64', ['linux/amd64', 'linux/386'], undefined],
    ['linux/arm64/v9', ['linux/arm64', 'linux/arm/v7'], 'linux/arm64'],
    ['linux/riscv64', ['linux/amd64', 'linux/riscv64'], 'linux/riscv64'],
    ['linux/amd64', ['windows/amd64', 'unknown/unknown'], undefined],
    ['linux/amd64', ['unknown/unknown', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['Linux/x86_64'], 'Linux/x86_64'],
    ['linux/amd64', [], undefined],
  ];
  for (const [want, offered, chosen] of table) {
    const got = choosePlatform(index(...offered), parsePlatform(want));
    assert.equal(got?.digest, chosen === undefined ? undefined : digestOf(chosen), `${want} of ${offered.join(' ')}`);
  }
});

test('entries of unknown types are passed over, and an index without platforms is taken at its first entry', () => {
  const want = parsePlatform('linux/amd64');
  const artifact = entry('linux/amd64', 'application/vnd.example.signature');
  assert.equal(choosePlatform({ mediaType: MEDIA.ociIndex, manifests: [artifact] }, want), undefined);
  const bare = [artifact, entry('linux/s390x')].map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
  assert.equal(choosePlatform({ mediaType: MEDIA.ociIndex, manifests: bare }, want)?.digest, digestOf('linux/s390x'));
});

test('the host\'s platform', () => {
  const table: ReadonlyArray<readonly [arch: string, cpuinfo: string, platform: string]> = [
    ['x64', '', 'linux/amd64'], ['amd64', '', 'linux/amd64'], ['arm64', 'CPU architecture: 8\n', 'linux/arm64'], ['aarch64', '', 'linux/arm64'],
    ['arm', '', 'linux/arm/v7'], ['arm', 'processor: 0\nCPU architecture: 7\n', 'linux/arm/v7'],
    ['arm', 'model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n', 'linux/arm/v6'],
    ['arm', 'CPU architecture\t: 8\n', 'linux/arm/v8'], ['arm', 'CPU architecture: AArch64\n', 'linux/arm/v8'],
    ['arm', 'CPU architecture: 5TEJ\n', 'linux/arm/v5'], ['ia32', '', 'linux/386'], ['riscv64', '', 'linux/riscv64'],
  ];
  for (const [arch, cpuinfo, platform] of table) assert.equal(formatPlatform(hostPlatform(arch, cpuinfo)), platform, `${arch} ${cpuinfo}`);
});

test('platforms as people write them', () => {
  const host = hostPlatform('x64');
  const table: ReadonlyArray<readonly [string, string]> = [
    ['linux/arm/v7', 'linux/arm/v7'], ['linux/arm', 'linux/arm/v7'], ['linux/armhf', 'linux/arm/v7'], ['linux/arm64/v8', 'linux/arm64'],
    ['linux/aarch64', 'linux/arm64'], ['arm64', 'linux/arm64'], ['Linux/AMD64', 'linux/amd64'], ['linux', 'linux/amd64'], ['linux/arm/6', 'linux/arm/v6'],
    ['windows/amd64', 'windows/amd64'],
  ];
  for (const [text, platform] of table) assert.equal(formatPlatform(parsePlatform(text, host)), platform, text);
  for (const text of ['', 'a/b/c/d', 'linux/', 'foo', 'constructor', 'lin ux/amd64', '/', '*', 'linux/amd64/\0']) {
    assert.throws(() => parsePlatform(text, host), { kind: 'invalid' }, JSON.stringify(text));
  }
  assert.throws(() => parsePlatform('linux'), { kind: 'invalid' });
});

test('what runs where', () => {
  assert.ok(fitsPlatform({ os: 'linux', architecture: 'arm', variant: 'v6' }, hostPlatform('arm64')));
  assert.ok(!fitsPlatform({ os: 'linux', architecture: 'arm64' }, hostPlatform('x64')));
});
