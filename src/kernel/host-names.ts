// Addresses of host names as this machine knows them: what the kernel's network file systems cannot find out themselves.
import { lookup } from 'node:dns/promises';
import type { HostNames } from './index.ts';

export function openHostNames(): HostNames {
  return { addressOf: async (name) => (await lookup(name)).address };
}
