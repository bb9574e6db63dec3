// The scanners of an image: one for its code, one for its data.
import { Arm64Scanner } from './arm64.ts';
import { ArmScanner, ThumbScanner } from './arm.ts';
import { DataScanner } from './data.ts';
import { ARM, ARM64, I386, X86_64, type Anchors, type ElfImage } from './elf.ts';
import { Found, Window, type Scanner } from './scanner.ts';
import type { WordTables } from './tables.ts';
import { X86Scanner } from './x86.ts';

/** What 32-bit ARM code consists of mostly. */
export type ArmCode = 'thumb' | 'arm';

export class References {
  readonly found = new Found();
  /** undefined: code of a machine that is not known. */
  readonly code: Scanner | undefined;
  readonly data: Scanner;
  readonly #window = new Window();

  /** `anchors`: those of the new file. */
  constructor(image: ElfImage, { tables, anchors, armCode }: { tables: WordTables; anchors: Anchors; armCode: ArmCode }) {
    const needs = { window: this.#window, found: this.found, low: image.low, high: image.high };
    switch (image.machine) {
      case I386: case X86_64: this.code = new X86Scanner({ ...needs, anchors }, { wide: image.machine === X86_64, got: image.anchors.got }); break;
      case ARM64: this.code = new Arm64Scanner(needs); break;
      case ARM: this.code = armCode === 'thumb' ? new ThumbScanner(needs) : new ArmScanner(needs); break;
      default: this.code = undefined;
    }
    this.data = new DataScanner({ ...needs, anchors }, image, tables);
    this.reset();
  }

  /** What comes does not follow what was seen. */
  reset(): void {
    this.code?.reset();
    this.data.reset();
  }

  /** Shows other bytes: those from `start` on of a file of `fileBytes`. */
  look(bytes: Uint8Array, start: number, fileBytes: number): void {
    this.#window.bytes = bytes;
    this.#window.start = start;
    this.#window.fileBytes = fileBytes;
  }
}
