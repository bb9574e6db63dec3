// Where our command line may answer otherwise than Docker's in front of the same engine, and how answers are written so that they can be compared.
import type { Line } from './scene.ts';

export interface Allowed {
  /** Of the story's name and the words. */
  where: RegExp;
  why: string;
  /** Set when chance decides whether it is seen. */
  sometimes?: true;
  /** The answer without what may differ. */
  alike(line: Line): Line;
}

const replaced = (pattern: RegExp, written: string) => (line: Line): Line => ({
  ...line,
  ...(line.stdout === undefined ? {} : { stdout: line.stdout.replace(pattern, written) }),
  ...(line.stderr === undefined ? {} : { stderr: line.stderr.replace(pattern, written) }),
});

/** The reasons are told when nothing needs them any more. */
export const ALLOWED: readonly Allowed[] = [
  { why: 'help is in our own words, and only about what there is', where: /^(nouns|images|volumes-verbs|networks-verbs): /, alike: replaced(/(Usage: [^\n]*)\n[\s\S]*$/, '$1\n') },
  { why: 'a failed start is told once; docker adds a line of its log when the wait fails first', where: /^(forms|pulls): /, sometimes: true, alike: replaced(/^time="[^\n]*[Ee]rror waiting for container: [^\n]*\n/gm, '') },
  { why: 'docker 20.10 takes a refusal of the daemon for the output of the program', where: /^streams: exec /, alike: (line) => ({ ...line, stderr: '' }), sometimes: true },
  { why: 'several networks at once are for docker 20.10 to ask for and for its daemon to refuse; here the container is made on one and connected to the others', where: /^flags: create .*--network a --network b /, alike: (line) => ({ ...line, stderr: '' }) },
  { why: 'our own version', where: /: (--version|-v)$/, alike: replaced(/Docker version \S+, build \S+/, 'Docker version') },
  { why: 'about itself, each program has other things to say', where: /^images: version$/, alike: replaced(/^Client:[\s\S]*?\n\n/, '') },
  { why: 'whole objects print as maps: JSON does not tell in which order Go has their fields', where: /^formats: .*\{\{\.Config\}\}/, alike: replaced(/^(map\[|\{).*$/m, '<object>') },
  { why: 'fields have the names of the API; docker knows ApiVersion as APIVersion alone', where: /^formats: version .*ApiVersion/, alike: (line) => ({ words: line.words }) },
  { why: 'nothing is printed when a template fails', where: /^formats: info /, alike: (line) => ({ ...line, stdout: '' }) },
];

/** Never the same twice, even from one program. */
const NEVER_THE_SAME: ReadonlyArray<readonly [pattern: RegExp, written: string]> = [
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, '<time>'],
  [/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4} \w+)?/g, '<time>'],
  [/(Less than a|About an?|\d+) (second|minute|hour|day|week|month|year)s?( ago)?/g, '<while>$3'],
  [/"(time|timeNano)":\d+/g, '"$1":<time>'],
  [/\b1\d{9}\b/g, '<time>'], // the words of a story name the second it is told in
  [/"Pid": [1-9]\d*/g, '"Pid": <pid>'],
  [/^ +(Containers|Running|Paused|Stopped|Images): \d+$/gm, ' $1: <count>'],
  [/\b(root|0) +\d+ +\d+ +\d+ +\d\d:\d\d/g, '$1 <pid> <pid> <load> <time>'],
  [/time="<time>" level=error msg="Can't (add file|close tar writer)[^\n]*closed pipe"\n/g, ''], // a race of docker's own, when cp gives up
  [/ {2,}/g, '  '], // columns are as wide as what stands in them
];

export interface Names {
  /** Paths and names of one engine or one run, longest first, and what they are written as. */
  names: ReadonlyArray<readonly [text: string, written: string]>;
  /** Digests of images, which are the same everywhere. */
  knownIds: ReadonlySet<string>;
}

export function neutralText(text: string, { names, knownIds }: Names): string {
  let result = text.replace(/\b\w+=\w*(,\w+=\w*)+/g, (labels) => labels.split(',').toSorted().join(',')); // docker prints them in any order
  for (const [name, written] of names) result = result.replaceAll(name, written);
  result = result.replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<uuid>').replace(/\b[0-9a-f]{64}\b/g, (id) => (knownIds.has(id) ? id : '<id>'))
    .replace(/\b[0-9a-f]{12}\b/g, (id) => ([...knownIds].some((known) => known.startsWith(id)) ? id : '<short id>'))
    .replaceAll('vaquita', 'docker').replaceAll('Vaquita', 'Docker');
  for (const [pattern, written] of NEVER_THE_SAME) result = result.replace(pattern, written);
  result = result.replace(/^ Runtimes: .*$/gm, (line) => line.split(' ').toSorted().join(' '));
  return withoutSteps(result);
}

/** Layers come in any order, and how many of its steps are seen of each depends on the client's haste. */
function withoutSteps(text: string): string {
  const lines = text.split('\n');
  const isLayer = (line: string) => /^[0-9a-f]{12}: /.test(line);
  const at = lines.findIndex(isLayer);
  if (at < 0) return text;
  const layers = lines.filter((line) => isLayer(line) && !/: (Waiting|Downloading|Extracting|Verifying Checksum)/.test(line)).toSorted();
  const others = lines.filter((line) => !isLayer(line));
  return [...others.slice(0, at), ...layers, ...others.slice(at)].join('\n');
}
