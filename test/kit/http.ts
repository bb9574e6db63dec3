// One HTTP request over a unix socket or TCP, answered whole: for readiness and for talking to engines without a client.
import { request } from 'node:http';

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Buffer;
  text: string;
  /** Parsed; fails when it is no JSON. */
  json<T = unknown>(): T;
}

export interface Ask {
  method?: string;
  path: string;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  timeoutMs?: number;
}

/** `where`: a socket's path, or "host:port". A body that is neither string nor bytes is sent as JSON. */
export function ask(where: string, { method = 'GET', path, body, headers = {}, timeoutMs = 120_000 }: Ask): Promise<Answer> {
  const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  const bytes = raw ? body : JSON.stringify(body);
  const [host, port] = where.split(':');
  const place = where.startsWith('/') ? { socketPath: where } : { host, port: Number(port) };
  return new Promise((resolve, reject) => {
    const sent = request({
      ...place, method, path, agent: false, signal: AbortSignal.timeout(timeoutMs),
      headers: { ...(raw ? {} : { 'Content-Type': 'application/json' }), ...(bytes === undefined ? {} : { 'Content-Length': Buffer.byteLength(bytes) }), ...headers },
    }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (chunk: Buffer) => parts.push(chunk)).on('error', reject).on('end', () => {
        const whole = Buffer.concat(parts);
        const text = whole.toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: whole, text, json: <T>() => JSON.parse(text) as T });
      });
    });
    sent.on('error', reject).end(bytes);
  });
}
