// Entries for the journal: its native protocol, and the fields that Docker gives them. Pure. Source: systemd's "Native Journal Protocol".
import { formatNanos } from '../lib/clock.ts';
import type { Attributes } from './attributes.ts';
import type { Piece } from './pieces.ts';

const NEWLINE = 0x0a;
/** Fields of entries; a name is at most 64 bytes long. */
const NAME = /^[A-Z][A-Z0-9_]{0,63}$/;
const PRIORITY = { stdout: '6', stderr: '3' } as const;

/** Names of labels and variables as the journal takes them: upper case, and nothing but letters, digits and _, of which none at the beginning. */
export function journalName(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]/gu, '_').replace(/^_+/, '');
}

export interface JournalSubject { id: string; name: string; imageName: string; tag: string; extra: Attributes }

/** The fields that all entries of a container have. */
export function commonFields({ id, name, imageName, tag, extra }: JournalSubject): Buffer {
  const own = {
    CONTAINER_ID: id.slice(0, 12), CONTAINER_ID_FULL: id, CONTAINER_NAME: name, CONTAINER_TAG: tag, IMAGE_NAME: imageName, SYSLOG_IDENTIFIER: tag,
  };
  return Buffer.concat(Object.entries({ ...extra, ...own }).filter(([field]) => NAME.test(field)).map(([field, value]) => fieldBytes(field, Buffer.from(value))));
}

/** One entry. `lineId` tells the pieces of one long line from those of others. */
export function journalEntry(common: Uint8Array, piece: Piece, lineId: (line: number) => string): Buffer {
  const parts = [common, fieldBytes('MESSAGE', piece.bytes), fieldBytes('PRIORITY', Buffer.from(PRIORITY[piece.stream])), fieldBytes('SYSLOG_TIMESTAMP', Buffer.from(formatNanos(piece.timeNs)))];
  if (piece.of) {
    const fields = {
      ...(piece.ends ? {} : { CONTAINER_PARTIAL_MESSAGE: 'true' }),
      CONTAINER_PARTIAL_ID: lineId(piece.of.line), CONTAINER_PARTIAL_ORDINAL: String(piece.of.ordinal), CONTAINER_PARTIAL_LAST: String(piece.ends),
    };
    for (const [field, value] of Object.entries(fields)) parts.push(fieldBytes(field, Buffer.from(value)));
  }
  return Buffer.concat(parts);
}

/** NAME=value, or with its length where the value has lines. */
function fieldBytes(name: string, value: Uint8Array): Buffer {
  if (!value.includes(NEWLINE)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from('\n')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Buffer.from('\n')]);
}
