// What the kernel says of the daemon's own process, for monitoring.
import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessNumbers } from '../api/index.ts';

/** Reads /proc/self; cheap enough for every scrape. */
export function processNumbers(): ProcessNumbers {
  const used = process.cpuUsage();
  const status = readFileSync('/proc/self/status', 'utf8');
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return {
    cpuSeconds: (used.user + used.system) / 1e6,
    openFds: readdirSync('/proc/self/fd').length,
    maxFds: limitIn(limits, 'Max open files'),
    residentBytes: kilobytesIn(status, 'VmRSS'),
    virtualBytes: kilobytesIn(status, 'VmSize'),
    virtualMaxBytes: limitIn(limits, 'Max address space'),
    startTimeSeconds: (Date.now() - process.uptime() * 1000) / 1000,
  };
}

/** Source: proc_pid_status(5). */
const kilobytesIn = (status: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;

/** Unlimited is the largest number of the kernel's type, which is how dockerd shows it. */
const UNLIMITED = 2 ** 64;

function limitIn(limits: string, name: string): number {
  const soft = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(limits)?.[1];
  return soft === undefined || soft === 'unlimited' ? UNLIMITED : Number(soft);
}
