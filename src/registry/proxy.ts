// Which proxy a request goes through, if any, and the tunnel through it: the rules of http_proxy, https_proxy and no_proxy.
import { request } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { bareHost, inNetwork, isLoopback } from './addresses.ts';
import { RegistryFailure, connectionFailure } from './errors.ts';
import { invalid } from '../lib/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RegistryConfig } from './index.ts';

/** The proxy for `url`, or undefined to connect directly. Loopback is never proxied. */
export function chooseProxy(url: URL, proxy: RegistryConfig['proxy']): URL | undefined {
  const setting = url.protocol === 'https:' ? proxy.https : proxy.http;
  if (setting === undefined || setting === '' || isLoopback(url.hostname) || isExempt(url, proxy.no ?? '')) return undefined;
  const parsed = URL.parse(setting.includes('://') ? setting : `http://${setting}`);
  if (parsed?.protocol === 'http:') return parsed;
  // The setting itself may hold a password, so it is not shown.
  throw invalid(`the proxy set for ${url.protocol}// addresses is not an http:// URL; other kinds of proxies are not supported`);
}

/** `Proxy-Authorization` for the credentials in a proxy's URL. */
export function proxyHeaders(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'Proxy-Authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
}

/** A connection to the target's host and port through `proxy`, by CONNECT. */
export function openTunnel(target: URL, proxy: URL, options: { clock: Clock; connectMs: number }): Promise<Duplex> {
  const place = `${target.hostname}:${target.port || (target.protocol === 'https:' ? 443 : 80)}`;
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const connect = request({
    method: 'CONNECT', host: bareHost(proxy.hostname), port: proxy.port || 80, path: place,
    headers: { Host: place, ...proxyHeaders(proxy) }, agent: false,
  });
  const timer = options.clock.after(options.connectMs, () => connect.destroy(new Error(`no answer within ${options.connectMs} ms`)));
  connect.on('connect', (response, socket, head) => {
    if (response.statusCode !== 200) { socket.destroy(); return reject(refusedBy(proxy, place, response.statusCode)); }
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  // A proxy that refuses often answers as to any other request.
  connect.on('response', (response) => { response.destroy(); reject(refusedBy(proxy, place, response.statusCode)); });
  connect.on('error', (error) => {
    reject(new RegistryFailure('unavailable', `proxy ${proxy.host} for ${place}: ${connectionFailure(proxy, error).message}`, { transient: true, reached: false }));
  });
  connect.end();
  return promise.finally(() => timer[Symbol.dispose]());
}

/** One entry of no_proxy: `*`, an address, a network, a name and all below it, `.name` for only what is below; each with or without a port. */
function isExempt(url: URL, list: string): boolean {
  const host = bareHost(url.hostname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.toLowerCase().split(/[\s,]+/).some((entry) => entry !== '' && matches(entry, host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return inNetwork(host, entry);
  const withPort = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(entry);
  if (withPort && withPort[3] !== port) return false;
  const name = bareHost((withPort ? withPort[1] ?? withPort[2] ?? '' : entry).replace(/^\*(?=\.)/, ''));
  if (isIP(host) !== 0 || isIP(name) !== 0) return name === host;
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function refusedBy(proxy: URL, place: string, status: number | undefined): RegistryFailure {
  const advice = status === 407 ? '; it wants credentials in the proxy URL' : '';
  return new RegistryFailure('unavailable', `proxy ${proxy.host} refused to connect to ${place}: HTTP status ${status}${advice}`,
    { transient: status !== 407 && status !== 403, reached: false });
}
