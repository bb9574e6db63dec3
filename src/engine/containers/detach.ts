// Detach keys: a sequence that the client types to leave without ending the program.
import { invalid } from '../../lib/errors.ts';

const DEFAULT_KEYS = 'ctrl-p,ctrl-q';

/** "ctrl-p,ctrl-q" or "a,b,ctrl-[" → byte values; '' is no sequence. Error: invalid. */
export function parseDetachKeys(text: string): number[] {
  if (text === '') return [];
  return text.split(',').map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined) throw invalid(`Invalid escape keys (${text}) provided`);
    return control.toUpperCase().charCodeAt(0) & 0x1f;
  });
}

/** Watches input over any number of chunks; bytes that may belong to the sequence are kept back until that is known. */
export class DetachKeys {
  readonly #keys: number[];
  #matched = 0;

  constructor(text: string | undefined) { this.#keys = parseDetachKeys(text ?? DEFAULT_KEYS); }

  /** Only what is typed at a terminal can mean to detach: in a file that is piped through, any bytes may stand. A bad sequence is refused all the same. */
  static of(text: string | undefined, tty: boolean): DetachKeys {
    const keys = new DetachKeys(text);
    return tty ? keys : new DetachKeys('');
  }

  scan(bytes: Uint8Array): { pass: Uint8Array; detached: boolean } {
    if (this.#keys.length === 0 || (this.#matched === 0 && !bytes.includes(this.#keys[0] ?? -1))) return { pass: bytes, detached: false };
    const pass: number[] = [];
    for (const byte of bytes) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detached: true };
        continue;
      }
      pass.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] && this.#keys.length > 1 ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }
}
