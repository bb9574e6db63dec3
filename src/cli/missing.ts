// Docker's words that this version does not have: what to say instead of "is not a command", so that nobody looks for a typing mistake.
import { Failure } from './failure.ts';
import { PROGRAM } from './command.ts';

interface Missing {
  /** The noun under which Docker has the word too; `alone` is false where it has it only there. */
  under?: string;
  alone?: boolean;
  /** What the word stands for, as the subject of a sentence; what to do meanwhile, where there is something. */
  what: string;
  meanwhile?: string;
}

const LATER: Readonly<Record<string, Missing>> = {
  build: { under: 'image', what: 'building images', meanwhile: 'build elsewhere, push to a registry, and pull here' },
  builder: { what: 'building images' },
  completion: { what: 'completing words in a shell' },
  import: { under: 'image', what: 'making an image of an archive' },
  manifest: { what: 'working with manifest lists' },
  search: { what: 'searching a registry' },
};

const NO_SWARM = 'it belongs to Swarm, which this engine leaves out';

/** Left out for good, each with its reason. */
const NEVER: Readonly<Record<string, string>> = {
  buildx: 'it belongs to BuildKit, which this engine leaves out',
  checkpoint: 'running programs cannot be frozen to disk',
  compose: 'docker-compose can be pointed at this daemon with DOCKER_HOST',
  config: NO_SWARM,
  context: 'name the daemon with -H or DOCKER_HOST',
  node: NO_SWARM,
  plugin: 'everything is in one program',
  secret: NO_SWARM,
  service: NO_SWARM,
  stack: NO_SWARM,
  swarm: NO_SWARM,
  trust: 'pull by digest to be sure of what is run',
};

/** The failure to end with when Docker has `word` (below the noun `group`, if given) and this version has not; undefined when Docker has no such word either. */
export function missingCommand(word: string, group?: string): Failure | undefined {
  const words = [...(group === undefined ? [] : [group]), word].join(' ');
  const later = Object.hasOwn(LATER, word) ? LATER[word] : undefined;
  if (later && (group === undefined ? later.alone !== false : later.under === group)) {
    const meanwhile = later.meanwhile === undefined ? '' : `\nMeanwhile: ${later.meanwhile}.`;
    return new Failure(`${PROGRAM}: this version does not have '${words}' yet: ${later.what} comes with a later release.${meanwhile}`);
  }
  if (group === undefined && Object.hasOwn(NEVER, word)) return new Failure(`${PROGRAM}: there is no '${word}', and there will be none: ${NEVER[word] ?? ''}.`);
  return undefined;
}
