// Puts COPY and LITERAL into the bytes of a delta; copies that go on where the last one ended become one.
import type { Output } from '../bytes.ts';
import { DELTA_MAGIC, MAX_COMMAND_BYTES, OP_END, writeCopy, writeLiteralHead } from './wire.ts';

const BUFFER_BYTES = 64 << 10;

export class DeltaWriter {
  readonly #output: Output;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #filled = 0;
  #copyPosition = 0;
  #copyLength = 0;

  constructor(output: Output) {
    this.#output = output;
    this.#filled = this.#buffer.writeUInt32BE(DELTA_MAGIC, 0);
  }

  copy(position: number, length: number): void {
    if (this.#copyLength > 0 && this.#copyPosition + this.#copyLength === position) {
      this.#copyLength += length;
      return;
    }
    this.#writeCopy();
    this.#copyPosition = position;
    this.#copyLength = length;
  }

  /** So many bytes of a literal come next, by `bytes`. */
  literal(length: number): void {
    this.#writeCopy();
    this.#room(MAX_COMMAND_BYTES);
    this.#filled += writeLiteralHead(this.#buffer, this.#filled, length);
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    if (end - start > BUFFER_BYTES / 2) {
      this.#flush();
      this.#output(bytes, start, end);
      return;
    }
    this.#room(end - start);
    this.#filled += bytes.copy(this.#buffer, this.#filled, start, end);
  }

  end(): void {
    this.#writeCopy();
    this.#room(1);
    this.#buffer[this.#filled++] = OP_END;
    this.#flush();
  }

  #writeCopy(): void {
    if (this.#copyLength === 0) return;
    this.#room(MAX_COMMAND_BYTES);
    this.#filled += writeCopy(this.#buffer, this.#filled, { position: this.#copyPosition, length: this.#copyLength });
    this.#copyLength = 0;
  }

  #room(bytes: number): void { if (BUFFER_BYTES - this.#filled < bytes) this.#flush(); }

  #flush(): void {
    if (this.#filled > 0) this.#output(this.#buffer, 0, this.#filled);
    this.#filled = 0;
  }
}
