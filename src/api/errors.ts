// Error kinds to HTTP, and nowhere else: the status, and the body that every client reads.
import { kindOf, messageOf, type Kind } from '../lib/errors.ts';
import type { Answer } from './routes.ts';

/** 499 is never seen: whoever cancelled has gone. The compiler keeps the table complete. */
const STATUS = {
  'not-found': 404, invalid: 400, conflict: 409, 'not-modified': 304, unauthorized: 401, forbidden: 403,
  unavailable: 503, 'not-implemented': 501, cancelled: 499, corrupt: 500, system: 500,
} as const satisfies Record<Kind, number>;

export const statusOf = (error: unknown): number => STATUS[kindOf(error)];

/** What a failed request is answered with. 304 has no body by definition. */
export function answerOf(error: unknown): Answer {
  const status = statusOf(error);
  return status === 304 ? { status } : { status, json: { message: messageOf(error) || 'the request failed and did not say why' } };
}
