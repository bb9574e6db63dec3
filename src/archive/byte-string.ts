// Names of files are bytes, not text: here they are strings in which every character is one byte, so that nothing is lost or guessed.
import { isUtf8 } from 'node:buffer';

const BEYOND_ASCII = /\P{ASCII}/u;

/** The text of a byte string, for people and for JSON; what is no UTF-8 is shown as replacement characters. */
export function textOf(byteString: string): string {
  return BEYOND_ASCII.test(byteString) ? Buffer.from(byteString, 'latin1').toString('utf8') : byteString;
}

/** The byte string of a text: its UTF-8, one character per byte. */
export function byteStringOf(text: string): string {
  return BEYOND_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** What node:fs takes as this path: text where it is valid UTF-8, otherwise the bytes themselves. */
export function pathOf(byteString: string): string | Buffer {
  if (!BEYOND_ASCII.test(byteString)) return byteString;
  const bytes = Buffer.from(byteString, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes;
}
