// Which of its two instruction sets an image of 32-bit ARM consists of: the one whose calls there are more of.
import type { ByteView } from '../../bytes.ts';
import { thumbDistance } from './arm.ts';
import { ARM, readPart, type ElfImage } from './elf.ts';
import type { ArmCode } from './references.ts';
import { word32 } from './scanner.ts';

/** So many bytes of each section are enough. */
const SAMPLE_BYTES = 1 << 20;

export function armCodeOf(file: ByteView, image: ElfImage): ArmCode {
  if (image.machine !== ARM) return 'thumb';
  let arm = 0, thumb = 0;
  for (const section of image.sections) {
    const bytes = section.code ? readPart(file, section.offset, Math.min(section.bytes, SAMPLE_BYTES)) : undefined;
    if (bytes === undefined) continue;
    const isInside = (distance: number): boolean => distance >= 0 && distance < section.bytes;
    // Each set's calls look like something else of the other, but those lead nowhere.
    for (let at = -section.offset & 3; at + 4 <= bytes.length; at += 2) {
      const word = word32(bytes, at);
      if ((section.offset + at & 3) === 0 && word >>> 24 === 0xeb && isInside(at + (word << 8 >> 6))) arm++;
      else if (((word & 0xd000f800) >>> 0) === 0xd000f000 && isInside(at + thumbDistance(word))) thumb++;
    }
  }
  return arm > thumb ? 'arm' : 'thumb';
}
