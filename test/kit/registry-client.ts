// A registry client for tests: the real one, with waits of milliseconds and its log kept for reading.
import { openRegistry, DEFAULT_REGISTRY_LIMITS, type Registry, type RegistryConfig, type RegistryLimits } from '../../src/registry/index.ts';
import { openLog } from '../../src/lib/log.ts';
import { systemClock, type Clock } from '../../src/lib/clock.ts';
import { parsePlatform } from '../../src/oci/platform.ts';

export interface TestClient extends AsyncDisposable { registry: Registry; log: string[] }
export type ClientOptions = Partial<Omit<RegistryConfig, 'limits'>> & { limits?: Partial<RegistryLimits>; clock?: Clock };

/** It waits for a moment before it tries again, but for long before it gives a server up: a busy machine is not to be taken for one that does nothing. */
export const FAST_LIMITS: RegistryLimits = { ...DEFAULT_REGISTRY_LIMITS, attempts: 3, retryBaseMs: 1, retryMaxMs: 4, stallMs: 30_000, connectMs: 30_000 };
export const AMD64 = parsePlatform('linux/amd64');

export function openTestClient({ clock = systemClock, ...options }: ClientOptions = {}): TestClient {
  const log: string[] = [];
  const config: RegistryConfig = {
    insecureRegistries: [], registryMirrors: [], certsDir: '/nonexistent/certs.d', userAgent: 'vaquita-test', proxy: {}, ...options,
    limits: { ...FAST_LIMITS, ...options.limits },
  };
  const registry = openRegistry({ config, clock, log: openLog((line) => log.push(line), { level: 'debug', now: () => 0 }) });
  return { registry, log, [Symbol.asyncDispose]: () => registry.close() };
}

/** All of a stream in one piece. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}
