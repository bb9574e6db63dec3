// An image as it would be if addresses did not matter: each reference holds the address itself instead of a distance from where it stands.
import type { ByteView } from '../../bytes.ts';
import type { ElfImage } from './elf.ts';
import { References, type ArmCode } from './references.ts';
import { NOWHERE, WINDOW_AFTER, WINDOW_BEFORE } from './scanner.ts';
import { readWordTables } from './tables.ts';

const WINDOW_BYTES = 64 << 10;

/** An image to look for references in; a window on its bytes, and one reader at a time. */
export class ImageReader {
  readonly file: ByteView;
  readonly image: ElfImage;
  readonly references: References;
  readonly #window = Buffer.alloc(WINDOW_BEFORE + WINDOW_BYTES + WINDOW_AFTER);

  constructor(file: ByteView, image: ElfImage, armCode: ArmCode) {
    this.file = file;
    this.image = image;
    this.references = new References(image, { tables: readWordTables(file, image), anchors: image.anchors, armCode });
  }

  /** Shows the bytes from `from` on to the scanners, `bytes` of them at most `WINDOW_BYTES`. */
  show(from: number, bytes: number): void {
    const start = Math.max(0, from - WINDOW_BEFORE), end = Math.min(this.file.sizeBytes, from + bytes + WINDOW_AFTER);
    this.file.read(start, this.#window, { start: 0, end: end - start });
    this.#window.fill(0, end - start);
    this.references.look(this.#window, start, this.file.sizeBytes);
  }

  /** The normal form of the bytes from `from` on, as many as `into` takes; addresses go through `map`. */
  normalize(from: number, into: Buffer, map: (address: number) => number): void {
    const { references, image, file } = this, { found } = references, end = from + into.length;
    file.read(from, into, { start: 0, end: into.length });
    for (const section of image.sections) {
      const first = Math.max(from, section.offset), limit = Math.min(end, section.offset + section.bytes);
      const scanner = section.code ? references.code : references.data;
      if (first >= limit || scanner === undefined) continue;
      references.reset();
      scanner.enter(section.address - section.offset, limit);
      for (let at = first; at < limit;) {
        const stop = Math.min(limit, at + WINDOW_BYTES);
        this.show(at, stop - at);
        while ((at = scanner.next(at, stop)) < stop) {
          found.newAddress = map(found.address);
          found.newPlace = NOWHERE;
          scanner.put(into, at - from);
          at += found.bytes;
        }
      }
    }
  }
}
export { WINDOW_BYTES as IMAGE_WINDOW_BYTES };
