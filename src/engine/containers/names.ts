// Names for containers that were given none: a trait and a person of the sea.
import type { Clock } from '../../lib/clock.ts';

const TRAITS = ['agile', 'amber', 'azure', 'brave', 'brisk', 'calm', 'clever', 'coral', 'curious', 'daring', 'deft', 'eager', 'early', 'faithful', 'gentle', 'glad', 'hardy', 'humble', 'keen', 'kind', 'lively', 'lucid', 'merry', 'mild', 'nimble', 'noble', 'patient', 'placid', 'proud', 'quick', 'quiet', 'rapid', 'ready', 'serene', 'silent', 'sober', 'steady', 'subtle', 'swift', 'tender', 'thrifty', 'tidal', 'upbeat', 'valiant', 'vivid', 'warm', 'watchful', 'wise', 'witty', 'young'];
const PEOPLE = ['amundsen', 'anning', 'baret', 'beaufort', 'bering', 'bishop', 'bowditch', 'carson', 'clark', 'colvin', 'cousteau', 'cowings', 'darwin', 'earle', 'ekman', 'fitzroy', 'forbes', 'franklin', 'galvani', 'garrett', 'gray', 'halley', 'harrison', 'heezen', 'henson', 'hopper', 'kelvin', 'laperouse', 'marconi', 'maury', 'mercator', 'moana', 'munk', 'nansen', 'noether', 'piccard', 'polo', 'ross', 'sverdrup', 'tharp', 'thomson', 'tilikum', 'vespucci', 'villepreux', 'wegener', 'young', 'zheng'];

/** A free name; with a number behind it when chance does not find one soon. */
export function randomName(clock: Clock, isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const chance = Number.parseInt(clock.randomHex(4), 16);
    const trait = TRAITS[chance % TRAITS.length] ?? 'calm';
    const person = PEOPLE[Math.floor(chance / TRAITS.length) % PEOPLE.length] ?? 'earle';
    const name = `${trait}_${person}${attempt < 10 ? '' : chance % 1000}`;
    if (!isTaken(name)) return name;
  }
}
