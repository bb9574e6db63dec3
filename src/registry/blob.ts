// A blob over connections that break: goes on where it stopped, and holds the bytes to digest and size.
import { createHash } from 'node:crypto';
import { RegistryFailure, isTransient, shownUrl } from './errors.ts';
import { waitMs } from './retry.ts';
import { corrupt, messageOf } from '../lib/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { BlobCall, RegistryLimits } from './index.ts';
import type { Response } from './transport.ts';

/** How far a transfer is; outlives connections, and servers. */
export class Transfer {
  readonly want: Descriptor;
  readonly hash = createHash('sha256');
  received = 0;
  /** The server at hand has shown that it does not do ranges right: then everything is read again, up to where we were. */
  isRangeRefused = false;

  constructor(want: Descriptor) { this.want = want; }
}

export interface Source {
  /** An answer of status 200, 206 or 416 to a request for the blob from `offset` on; 0 asks for all of it. Other answers throw. */
  open(offset: number): Promise<Response>;
  chunks(response: Response): AsyncIterable<Uint8Array>;
}

export interface Patience extends Pick<BlobCall, 'onRetry' | 'signal'> { limits: RegistryLimits; clock: Clock; log: Log }

/** The rest of the blob from one server; throws when that server has nothing more to give. */
export async function* download(transfer: Transfer, source: Source, patience: Patience): AsyncGenerator<Uint8Array, void> {
  const { want } = transfer;
  for (let attempt = 1; ; attempt++) {
    const before = transfer.received;
    let failure: unknown;
    try {
      yield* receive(transfer, source);
    } catch (error) {
      failure = error;
    }
    // A connection that breaks after the last byte has done its work.
    if (transfer.received === want.size && (failure === undefined || isTransient(failure))) return verify(transfer);
    failure ??= new RegistryFailure('unavailable', `blob ${want.digest}: the connection ended after ${transfer.received} of ${want.size} bytes`, { transient: true });
    if (!isTransient(failure)) throw failure;
    if (transfer.received > before) attempt = 1;
    if (attempt >= patience.limits.attempts) throw exhausted(failure, attempt);
    await pause(failure, attempt, patience);
  }
}

async function pause(failure: unknown, attempt: number, { limits, clock, signal, onRetry, log }: Patience): Promise<void> {
  const error = failure instanceof Error ? failure : new Error(String(failure));
  const ms = waitMs(attempt, limits, error);
  log.warn('blob transfer interrupted', { error, attempt, waitMs: ms });
  onRetry?.({ attempt, waitMs: ms, error });
  await clock.sleep(ms, { signal });
}

const exhausted = (failure: unknown, attempts: number) =>
  new RegistryFailure('unavailable', `${messageOf(failure)} (gave up after ${attempts} attempts without a new byte)`, { transient: false, cause: failure });

/** What one connection yields of what is still missing. */
async function* receive(transfer: Transfer, source: Source): AsyncGenerator<Uint8Array, void> {
  const { want } = transfer;
  const response = await source.open(transfer.isRangeRefused ? 0 : transfer.received);
  let skip = transfer.received - startOf(response, transfer);
  for await (const chunk of source.chunks(response)) {
    // What we have already is passed over unread: were it different this time, the digest of the whole would tell.
    const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - fresh.length;
    if (fresh.length === 0) continue;
    transfer.received += fresh.length;
    if (transfer.received > want.size) throw corrupt(`blob ${want.digest}: more than the promised ${want.size} bytes`);
    transfer.hash.update(fresh);
    yield fresh;
  }
}

/** The offset in the blob at which the body begins; throws when that, or the size, cannot be right. */
function startOf(response: Response, transfer: Transfer): number {
  try {
    return claimedStart(response, transfer);
  } catch (error) {
    response.message.destroy(); // nobody is going to read it
    throw error;
  }
}

function claimedStart({ status, message, url }: Response, transfer: Transfer): number {
  const { want } = transfer;
  if (status === 200) {
    const length = message.headers['content-length'];
    if (length !== undefined && Number(length) !== want.size) throw corrupt(`blob ${want.digest}: the registry has ${length} bytes, the manifest promises ${want.size}`);
    return 0;
  }
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(message.headers['content-range'] ?? '');
  const total = range?.[2] ?? '*';
  if (total !== '*' && Number(total) !== want.size) throw corrupt(`blob ${want.digest}: the registry has ${total} bytes, the manifest promises ${want.size}`);
  const start = range?.[1] === undefined ? undefined : Number(range[1]);
  if (status === 206 && start !== undefined && start <= transfer.received) return start;
  transfer.isRangeRefused = true;
  const claim = `status ${status} and range ${message.headers['content-range'] ?? '(none)'}`;
  throw new RegistryFailure('unavailable', `Get "${shownUrl(url)}": the bytes from ${transfer.received} on were asked for, the answer has ${claim}`, { transient: true });
}

function verify({ want, hash }: Transfer): void {
  const got = `sha256:${hash.copy().digest('hex')}`;
  if (got !== want.digest) throw corrupt(`blob ${want.digest}: content hashes to ${got}`);
}
