// What can go wrong, as one class with a closed set of kinds; api/errors.ts maps kinds to HTTP.

export type Kind =
  | 'not-found' | 'invalid' | 'conflict' | 'not-modified' | 'unauthorized' | 'forbidden'
  | 'unavailable' | 'not-implemented' | 'cancelled' | 'corrupt' | 'system';

/** An error whose message may be shown to a user: it names the call, the thing and the cause. */
export class EngineError extends Error {
  readonly kind: Kind;
  constructor(kind: Kind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'EngineError';
    this.kind = kind;
  }
}

export const invalid = (message: string, options?: { cause?: unknown }) => new EngineError('invalid', message, options);
export const notFound = (message: string, options?: { cause?: unknown }) => new EngineError('not-found', message, options);
export const conflict = (message: string, options?: { cause?: unknown }) => new EngineError('conflict', message, options);
export const corrupt = (message: string, options?: { cause?: unknown }) => new EngineError('corrupt', message, options);
export const unavailable = (message: string, options?: { cause?: unknown }) => new EngineError('unavailable', message, options);

/** The kind of any thrown value; sees through wrapping, so that a cause keeps its meaning. */
export function kindOf(error: unknown): Kind {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; depth++) {
    if (e instanceof EngineError) return e.kind;
    if (e.name === 'AbortError') return 'cancelled';
    e = e instanceof SuppressedError ? e.suppressed : e.cause; // a failed undo must not hide the failure it was undoing
  }
  return 'system';
}

/** The sentence to show for any thrown value. */
export function messageOf(error: unknown): string {
  if (error instanceof SuppressedError) return messageOf(error.suppressed);
  if (error instanceof Error) return error.message;
  return String(error);
}

/** `code` of a system error ('ENOENT', 'ENOSPC' …), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; depth++) {
    if ('code' in e && typeof e.code === 'string') return e.code;
    e = e.cause;
  }
  return undefined;
}

/** For the default of a switch over a union: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/** States what must hold; a broken one is a bug of ours, never of the input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
