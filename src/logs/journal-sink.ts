// Sends entries to the journal from the daemon's own process, so that they are counted to its unit.
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { commonFields, journalEntry, type JournalSubject } from './journal-format.ts';
import type { Piece } from './pieces.ts';
import { RETRY_MS, type Sink } from './sink.ts';

export const JOURNAL_SOCKET = '/run/systemd/journal/socket';
/** The journal's queue is full: it is asked again after so long. */
const FULL_MS = 5;

export class JournalSink implements Sink {
  readonly #common: Buffer;
  readonly #needs: { kernel: Pick<Kernel, 'sockets'>; clock: Clock; log: Log; socket: string };
  readonly #container: string;
  #line = { number: 0, id: '' };
  #pauseMs = FULL_MS;

  constructor(subject: JournalSubject, needs: { kernel: Pick<Kernel, 'sockets'>; clock: Clock; log: Log; socket: string }) {
    this.#common = commonFields(subject);
    this.#container = subject.id;
    this.#needs = needs;
  }

  offer(pieces: readonly Piece[], from: number): number {
    for (let at = from; at < pieces.length; at++) {
      const piece = pieces[at];
      if (piece && (piece.bytes.length > 0 || piece.of) && !this.#send(piece)) return at - from; // an empty line is no entry, as with Docker
    }
    return pieces.length - from;
  }

  async ready(signal: AbortSignal): Promise<void> { await this.#needs.clock.sleep(this.#pauseMs, { signal }); }

  async [Symbol.asyncDispose](): Promise<void> { /* the socket is the kernel's */ }

  #send(piece: Piece): boolean {
    const { kernel: { sockets }, socket, log } = this.#needs;
    const entry = journalEntry(this.#common, piece, (line) => this.#lineId(line));
    try {
      try {
        sockets.sendDatagram(socket, entry);
      } catch (error) {
        if (!['EMSGSIZE', 'ENOBUFS'].includes(errnoOf(error) ?? '')) throw error;
        sockets.sendFile(socket, entry);
      }
      this.#pauseMs = FULL_MS;
      return true;
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') {
        this.#pauseMs = FULL_MS;
        return false;
      }
      if (this.#pauseMs === FULL_MS) log.warn('the journal cannot be reached; output is kept for it as long as there is room', { container: this.#container, error });
      this.#pauseMs = this.#pauseMs === FULL_MS ? RETRY_MS.first : Math.min(this.#pauseMs * 2, RETRY_MS.last);
      return false;
    }
  }

  #lineId(number: number): string {
    if (this.#line.number !== number) this.#line = { number, id: this.#needs.clock.randomHex(32) };
    return this.#line.id;
  }
}
