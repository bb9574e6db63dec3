// Names and numbers of signals, as `kill` and STOPSIGNAL spell them.
import { constants } from 'node:os';
import { invalid } from '../../lib/errors.ts';

/** Source: signal(7); the C library keeps 32 and 33 for itself, so real-time signals begin at 34. */
const RT_MIN = 34;
const RT_MAX = 64;
const NAMES: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));

/** 'SIGTERM', 'term', '15', 'RTMIN+3' → number. Error: invalid, naming what was given. */
export function parseSignal(text: string): number {
  const upper = text.trim().toUpperCase();
  if (/^\d+$/.test(upper)) {
    const number = Number(upper);
    if (number >= 1 && number <= RT_MAX) return number;
    throw invalid(`Invalid signal: ${text}`);
  }
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const realtime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realtime) {
    const number = (realtime[1] === 'MIN' ? RT_MIN : RT_MAX) + Number(`${realtime[2] ?? ''}${realtime[3] ?? 0}`);
    if (number >= RT_MIN && number <= RT_MAX) return number;
  }
  const number = NAMES.get(name);
  if (number === undefined) throw invalid(`Invalid signal: ${text}`);
  return number;
}
