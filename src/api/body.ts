// Request bodies as JSON: bounded, of the right type, and read as Docker reads them.
import { invalid, messageOf } from '../lib/errors.ts';
import type { RegistryAuth } from '../wire/types.ts';
import type { Query } from './query.ts';
import type { ApiRequest } from './routes.ts';
import type { Shape } from './shape.ts';
import { registryAuth } from './shapes.ts';

/** A create body with every field used is some 10 KiB; 4 MiB leaves room for very long environments. */
export const MAX_JSON_BYTES = 4 * 1024 * 1024;
/** A few names of images. */
const MAX_FORM_BYTES = 64 * 1024;
/** Base64 of a token of a few KiB at most. */
const MAX_AUTH_CHARS = 64 * 1024;

/** The bytes of a body, or `invalid` when there are more than the limit. */
export async function readBytes(body: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of body) {
    sizeBytes += part.length;
    if (sizeBytes > limitBytes) throw invalid(`the request body is larger than ${limitBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** The body as `shape` reads it; undefined when there is none and none is required. */
export async function readJson<T>(request: ApiRequest, shape: Shape, options: { required: boolean }): Promise<T | undefined> {
  const bytes = await readBytes(request.body, MAX_JSON_BYTES);
  if (bytes.length === 0) {
    if (options.required) throw invalid('invalid JSON: got EOF while reading request body');
    return undefined;
  }
  assertJsonType(request);
  return shape(parseJson(bytes), '') as T | undefined;
}

/** What stands behind the question mark, and in the body where that is a form. */
export async function queryAndForm(request: ApiRequest): Promise<Query> {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(request.headers['content-type'] ?? '')) return request.query;
  return request.query.with((await readBytes(request.body, MAX_FORM_BYTES)).toString('utf8'));
}

/** What a client sent in X-Registry-Auth. Junk is as good as nothing: clients send empty and odd ones with every pull. */
export function readRegistryAuth(request: ApiRequest): RegistryAuth | undefined {
  const header = request.headers['x-registry-auth'];
  if (typeof header !== 'string' || header === '' || header.length > MAX_AUTH_CHARS) return undefined;
  try { return registryAuth(JSON.parse(Buffer.from(header, 'base64url').toString('utf8')), '') as RegistryAuth | undefined; }
  catch { return undefined; }
}

/** The same for a push, where somebody has to be named: clients of old do that in the body. */
export async function readPushAuth(request: ApiRequest): Promise<RegistryAuth | undefined> {
  if ((request.headers['x-registry-auth'] ?? '') !== '') return readRegistryAuth(request);
  const bytes = await readBytes(request.body, MAX_AUTH_CHARS);
  try { return registryAuth(parseJson(bytes), '') as RegistryAuth | undefined; }
  catch (cause) { throw invalid(`Bad parameters and missing X-Registry-Auth: ${bytes.length === 0 ? 'EOF' : messageOf(cause)}`, { cause }); }
}

/** A body must say that it is JSON: else any web page could make a browser send one here. */
function assertJsonType(request: ApiRequest): void {
  const type = request.headers['content-type'] ?? '';
  if (/^application\/json\s*(;\s*[\w-]+=("[^"]*"|[^\s;"]+)\s*)*;?\s*$/i.test(type)) return;
  throw invalid(type === '' ? 'malformed Content-Type header (): mime: no media type' : `unsupported Content-Type header (${type}): must be 'application/json'`);
}

function parseJson(bytes: Buffer): unknown {
  const text = bytes.toString('utf8');
  try { return JSON.parse(text); }
  catch (cause) { throw invalid(`invalid JSON: ${whyNoJson(messageOf(cause), text)}`, { cause }); }
}

/** The two faults that clients look for are called as Docker calls them, the others as the parser does. */
function whyNoJson(why: string, text: string): string {
  const at = Number(/at position (\d+)/.exec(why)?.[1] ?? -1);
  if (at >= text.trimEnd().length || /end of JSON input|Unterminated/i.test(why)) return 'unexpected EOF';
  return /non-whitespace character after JSON/.test(why) ? 'unexpected content after JSON' : why;
}
