// Prometheus' text format on a port of its own, with the names and labels that dockerd's --metrics-addr has.
import { createServer } from 'node:http';
import { BUCKET_SECONDS, type SystemFace, type Timings } from '../engine/index.ts';
import { EngineError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** What the operating system says of the daemon's own process. */
export interface ProcessNumbers { cpuSeconds: number; openFds: number; maxFds: number; residentBytes: number; virtualBytes: number; virtualMaxBytes: number; startTimeSeconds: number }

export interface MetricsDoor { readonly address: string; close(): void }

const MAX_CONNECTIONS = 16;
const REQUEST_TIMEOUT_MS = 10_000;

/** Answers GET /metrics on `host:port` from the moment it resolves; everything else there is not found. */
export async function openMetricsDoor(needs: { system: SystemFace; process: () => ProcessNumbers; log: Log }, address: { host: string; port: number }): Promise<MetricsDoor> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('404 page not found\n');
      return;
    }
    collect(needs).then(
      (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
      (error: unknown) => {
        needs.log.error('metrics could not be collected', { error });
        response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' }).end('metrics could not be collected\n');
      },
    );
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) => reject(new EngineError('system', `metrics cannot be served on ${address.host}:${address.port}: ${messageOf(cause)}`, { cause }));
    server.once('error', fail);
    server.listen(address.port, address.host, () => { server.off('error', fail); resolve(); });
  });
  server.on('error', (error) => needs.log.error('serving metrics failed', { error }));
  const bound = server.address();
  return {
    address: typeof bound === 'object' && bound !== null ? `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}` : '',
    close() { server.close(); server.closeAllConnections(); },
  };
}

async function collect({ system, process }: { system: SystemFace; process: () => ProcessNumbers }): Promise<string> {
  const [info, version, metrics] = [await system.info(), system.version(), system.metrics()];
  return [
    ...engineLines(metrics),
    ...family('engine_daemon_engine_cpus_cpus', 'gauge', 'CPUs of the machine', [[{}, info.cpus]]),
    ...family('engine_daemon_engine_info', 'gauge', 'The engine and the system it runs on', [[{
      architecture: info.architecture, commit: version.gitCommit, daemon_id: info.id, graphdriver: 'overlay2', kernel: info.kernelVersion,
      os: info.operatingSystem, os_type: info.osType, os_version: info.osVersion, version: version.version,
    }, 1]]),
    ...family('engine_daemon_engine_memory_bytes', 'gauge', 'Memory of the machine in bytes', [[{}, info.memoryBytes]]),
    ...processLines(process()),
  ].join('');
}

function engineLines(metrics: ReturnType<SystemFace['metrics']>): string[] {
  return [
    ...histogram('engine_daemon_container_actions_seconds', 'Seconds that each action on a container took', metrics.actions),
    ...family('engine_daemon_container_states_containers', 'gauge', 'Containers by state', Object.entries(metrics.containers).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([state, count]) => [{ state }, count])),
    ...family('engine_daemon_events_subscribers_total', 'gauge', 'Clients that listen to events now', [[{}, metrics.eventSubscribers]]),
    ...family('engine_daemon_events_total', 'counter', 'Events published', [[{}, metrics.events]]),
    ...family('engine_daemon_health_checks_failed_total', 'counter', 'Health checks that failed', [[{}, metrics.healthChecksFailed]]),
    ...family('engine_daemon_health_checks_total', 'counter', 'Health checks run', [[{}, metrics.healthChecks]]),
    ...histogram('engine_daemon_network_actions_seconds', 'Seconds that each action on the networks of a container took', metrics.networkActions),
  ];
}

function processLines(process: ProcessNumbers): string[] {
  return [
    ...family('process_cpu_seconds_total', 'counter', 'CPU time of the daemon, user and system, in seconds', [[{}, process.cpuSeconds]]),
    ...family('process_max_fds', 'gauge', 'File descriptors that the daemon may have', [[{}, process.maxFds]]),
    ...family('process_open_fds', 'gauge', 'File descriptors that the daemon has', [[{}, process.openFds]]),
    ...family('process_resident_memory_bytes', 'gauge', 'Resident memory of the daemon in bytes', [[{}, process.residentBytes]]),
    ...family('process_start_time_seconds', 'gauge', 'When the daemon began, in seconds since the epoch', [[{}, process.startTimeSeconds]]),
    ...family('process_virtual_memory_bytes', 'gauge', 'Address space of the daemon in bytes', [[{}, process.virtualBytes]]),
    ...family('process_virtual_memory_max_bytes', 'gauge', 'Address space that the daemon may have, in bytes', [[{}, process.virtualMaxBytes]]),
  ];
}

type Labels = Readonly<Record<string, string>>;

function family(name: string, type: 'gauge' | 'counter' | 'histogram', help: string, samples: ReadonlyArray<readonly [Labels, number]>): string[] {
  return [`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`, ...samples.map(([labels, value]) => sample(name, labels, value))];
}

function histogram(name: string, help: string, actions: Readonly<Record<string, Timings>>): string[] {
  if (Object.keys(actions).length === 0) return [];
  const lines = family(name, 'histogram', help, []);
  for (const [action, { atMost, count, sumSeconds }] of Object.entries(actions)) {
    for (const [at, bound] of BUCKET_SECONDS.entries()) lines.push(sample(`${name}_bucket`, { action, le: String(bound) }, atMost[at] ?? 0));
    lines.push(sample(`${name}_bucket`, { action, le: '+Inf' }, count), sample(`${name}_sum`, { action }, sumSeconds), sample(`${name}_count`, { action }, count));
  }
  return lines;
}

/** Source: the text exposition format 0.0.4 of Prometheus: backslash, quote and line feed are escaped in label values. */
function sample(name: string, labels: Labels, value: number): string {
  const words = Object.entries(labels).map(([key, text]) => `${key}="${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`);
  return `${name}${words.length > 0 ? `{${words.join(',')}}` : ''} ${value}\n`;
}
