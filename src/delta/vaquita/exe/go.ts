// The one anchor of Go's tables that no table tells: found by what Go's runtime keeps in its module data. The patch carries it.
import type { ByteView } from '../../bytes.ts';
import { readWide, spanAt, type ElfImage, type Span } from './elf.ts';

const WINDOW_BYTES = 64 << 10;
/** Words of the module data that are looked at; where the anchor stands in them depends on the version of Go. */
const MODULE_WORDS = 42;
const ANCHOR_WORDS = [40, 38];

/** The address that offsets of function data count from; 0: not found, or no image of Go of 64 bits. */
export function findFunctionData(file: ByteView, image: ElfImage): number {
  const table = image.go === undefined ? undefined : spanAt(image.sections, image.go.offset);
  if (table === undefined || !image.wide) return 0;
  for (const section of image.sections) {
    if (section.code || section === table) continue;
    const found = searchSection(file, section, image, table);
    if (found !== 0) return found;
  }
  return 0;
}

function searchSection(file: ByteView, section: Span, image: ElfImage, table: Span): number {
  const moduleBytes = MODULE_WORDS * 8, end = section.offset + section.bytes - moduleBytes;
  const window = Buffer.alloc(WINDOW_BYTES + moduleBytes);
  for (let from = Math.ceil(section.offset / 8) * 8; from <= end; from += WINDOW_BYTES) {
    const bytes = Math.min(WINDOW_BYTES, end - from + 8);
    file.read(from, window, { start: 0, end: Math.min(bytes + moduleBytes, file.sizeBytes - from) });
    for (let at = 0; at < bytes; at += 8) {
      if (readWide(window, at) !== table.address || readWide(window, at + 8) !== image.anchors.go[2]) continue;
      for (const word of ANCHOR_WORDS) {
        const anchor = readWide(window, at + word * 8);
        if (readWide(window, at + (word - 1) * 8) > 0 && image.sections.some((one) => !one.code && anchor >= one.address && anchor < one.address + one.bytes)) return anchor;
      }
    }
  }
  return 0;
}
