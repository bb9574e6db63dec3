// Which platform this is, what people call it, and which manifest of an index fits it best.
import { MEDIA, type Descriptor, type Index, type Platform } from './manifest.ts';
import { invalid } from '../lib/errors.ts';

/** Other names of architectures (Node's, uname's, dpkg's) and the variant each one implies. Source: Go's GOARCH list. */
const ARCHITECTURES: ReadonlyMap<string, readonly [architecture: string, variant?: string]> = new Map(Object.entries({
  x64: ['amd64'], x86_64: ['amd64'], 'x86-64': ['amd64'], amd64: ['amd64'],
  ia32: ['386'], i386: ['386'], i686: ['386'], 386: ['386'],
  arm64: ['arm64'], aarch64: ['arm64'],
  arm: ['arm'], armhf: ['arm', 'v7'], armel: ['arm', 'v6'], armv7l: ['arm', 'v7'], armv6l: ['arm', 'v6'],
  riscv64: ['riscv64'], ppc64le: ['ppc64le'], ppc64: ['ppc64le'], s390x: ['s390x'], mips64le: ['mips64le'], mipsel: ['mipsle'],
  mipsle: ['mipsle'], loong64: ['loong64'],
}));
const SYSTEMS: readonly string[] = ['linux', 'windows', 'darwin', 'freebsd', 'netbsd', 'openbsd', 'solaris', 'plan9', 'android'];

/** The platform of this machine, from the architecture of the process and, for 32-bit ARM, /proc/cpuinfo. */
export function hostPlatform(arch: string, cpuinfo = ''): Platform {
  const [architecture, variant] = ARCHITECTURES.get(arch) ?? [arch];
  return normalised({ os: 'linux', architecture, variant: architecture === 'arm' ? armVariant(cpuinfo) ?? variant : variant });
}

/** `linux/arm/v7`, `linux/amd64`; a single word is an architecture of Linux, or `linux` with the architecture of `host`. */
export function parsePlatform(text: string, host?: Platform): Platform {
  const parts = text.split('/');
  for (const part of parts) {
    if (!/^[A-Za-z0-9_.-]{1,64}$/.test(part)) throw invalid(`invalid platform specifier ${JSON.stringify(text)}: components are letters, digits, "_", "." and "-"`);
  }
  const [first = '', second, third] = parts.map((part) => part.toLowerCase());
  if (parts.length > 3) throw invalid(`invalid platform specifier ${JSON.stringify(text)}: more than os/architecture/variant`);
  if (second !== undefined) {
    const [architecture, variant] = ARCHITECTURES.get(second) ?? [second];
    return normalised({ os: first === 'macos' ? 'darwin' : first, architecture, variant: third ?? variant });
  }
  if (SYSTEMS.includes(first) && host) return { ...host, os: first };
  const known = ARCHITECTURES.get(first);
  if (!known) throw invalid(`invalid platform specifier ${JSON.stringify(text)}: unknown operating system or architecture`);
  return normalised({ os: 'linux', architecture: known[0], variant: known[1] });
}

/** `linux/arm/v7`. */
export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== '').join('/');

/**
 * The entry that suits `want` best, or undefined. Entries of other systems and attestations (unknown/unknown) never do.
 * An index in which no entry names a platform is taken at its first entry: its config tells the rest.
 */
export function choosePlatform(index: Index, want: Platform): Descriptor | undefined {
  const usable = index.manifests.filter((entry) => USABLE.has(entry.mediaType));
  for (const candidate of acceptable(want)) {
    const found = usable.find((entry) => entry.platform && formatPlatform(normalised(entry.platform)) === candidate);
    if (found) return found;
  }
  return usable.some((entry) => entry.platform) ? undefined : usable[0];
}

/** Whether an image that says it is for `offered` can run where `want` is. */
export const fitsPlatform = (offered: Platform, want: Platform): boolean =>
  acceptable(want).includes(formatPlatform(normalised(offered)));

const USABLE: ReadonlySet<string> = new Set([MEDIA.dockerManifest, MEDIA.ociManifest, MEDIA.dockerList, MEDIA.ociIndex]);

/**
 * What runs on `want`, best first, as containerd orders it: an ARM core runs every older ARM, a 64-bit one also 32-bit
 * code; amd64 runs its own lower levels, then 386.
 */
function acceptable(want: Platform): string[] {
  const exact = normalised(want);
  const level = Number(/^v(\d{1,2})/.exec(exact.variant ?? '')?.[1] ?? 0);
  const of = (architecture: string, variant?: string) => formatPlatform({ os: exact.os, architecture, ...(variant ? { variant } : {}) });
  const below = (architecture: string, from: number, to: number) =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => of(architecture, `v${from - i}`));
  const own = formatPlatform(exact);
  switch (exact.architecture) {
    case 'amd64': return [own, ...below('amd64', level - 1, 2), ...(level > 1 ? [of('amd64')] : []), of('386')];
    case 'arm': return [own, ...below('arm', level - 1, 5)];
    case 'arm64': return [own, ...below('arm64', level - 1, 9), ...(own === of('arm64') ? [] : [of('arm64')]), ...below('arm', 8, 5)];
    default: return [own];
  }
}

/** One spelling per platform: arm64 is v8 unless it says more, arm is v7, amd64 is v1; osVersion takes no part. */
function normalised(platform: { os: string; architecture: string; variant?: string | undefined }): Platform {
  const os = platform.os.toLowerCase();
  const [architecture, implied] = ARCHITECTURES.get(platform.architecture.toLowerCase()) ?? [platform.architecture.toLowerCase()];
  const given = platform.variant?.toLowerCase() || implied || '';
  const variant = /^\d/.test(given) ? `v${given}` : given;
  if (architecture === 'arm') return { os, architecture, variant: variant === '' ? 'v7' : variant };
  const isBaseline = variant === '' || (architecture === 'arm64' && /^v8(\.0)?$/.test(variant)) || (architecture === 'amd64' && variant === 'v1');
  return isBaseline ? { os, architecture } : { os, architecture, variant };
}

/** The ARM version in cpuinfo. A Raspberry Pi Zero says 7 there, and ARMv6 in its model name; the name is right. */
function armVariant(cpuinfo: string): string | undefined {
  if (/^model name\s*:.*ARMv6/im.test(cpuinfo)) return 'v6';
  const version = /^CPU architecture\s*:\s*(AArch64|\d+)/im.exec(cpuinfo)?.[1];
  if (version === undefined) return undefined;
  return /^\d/.test(version) ? `v${Math.min(8, Math.max(5, Number(version)))}` : 'v8';
}
