// What may differ between two engines' answers: what is never the same twice, and what this engine does otherwise on purpose.
import type { Line } from './scene.ts';

/** Never the same twice, even on one engine: written the same way before answers are compared. */
const NEVER_THE_SAME: ReadonlyArray<readonly [pattern: RegExp, written: string]> = [
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, '<time>'],
  [/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4} \w+)?/g, '<time>'],
  [/(Less than a|About an?|\d+) (second|minute|hour|day|week|month|year)s?( ago)?/g, '<while>$3'],
  [/\b1\d{9}\b/g, '<time>'],
  [/"(time|timeNano)":\d+/g, '"$1":<time>'],
  [/"Pid": ?[1-9]\d*/g, '"Pid":<pid>'],
  [/time="<time>" level=error msg="error waiting for container: context canceled"\n/g, ''], // the client's own race
  [/time="<time>" level=error msg="Can't (add file|close tar writer)[^\n]*closed pipe"\n/g, ''], // likewise, when cp gives up
  [/^(\w+ {2,})?\d+( {2,}\d+ {2,}\d+ {2,}\d\d:\d\d)?(?= {2,}(\?|sleep))/gm, '<process>'], // top
  [/\b\d+: (eth\d+)(@if\d+)?/g, '$1'], // numbers of interfaces
  [/(time=|= )[\d./]+ ms/g, '$1<time> ms'], // ping
  [/ {2,}/g, '  '], // columns are as wide as what stands in them
];

export interface Difference {
  /** Of the story's name and the words of the line. */
  where: RegExp;
  /** Both answers are written so before they are compared; without it, the whole answer is no matter. */
  written?: readonly [pattern: RegExp, as: string];
  why: string;
}

export const DIFFERENCES: readonly Difference[] = [
  { where: /./, written: [/(failed to create task for container: )?failed to create shim task: OCI runtime create failed: (runc|crun) create failed/g, '<create failed>'], why: 'crun is the runtime here, and the words in front are those of Docker since 23' },
  { where: /./, written: [/: is a directory: permission denied/g, ': permission denied'], why: 'Docker since 25 says why a directory cannot be run' },
  { where: /^(ps|pull|volumes-verbs|networks-\w+): /, written: [/Invalid filter/g, 'invalid filter'], why: 'lower case since Docker 22' },
  { where: /^ps: .*before=/, written: [/[Nn]o such container:?/g, 'no such container'], why: 'one wording for a container that is not there' },
  { where: /^ps: .*exited=x/, written: [/invalid filter 'exited=x'|strconv.Atoi: parsing "x": invalid syntax/g, '<bad filter>'], why: "the words of Go's own parser help nobody" },
  { where: /^exit: run --rm -w \/etc\/passwd/, why: 'Docker looks at the working directory when it creates, this engine when it starts; both refuse with 125' },
  { where: /^mounts: run --rm -v \/etc\/passwd:\/etc\/passwd\/x/, written: [/<create failed>: unable to start container process: .*/gs, '<cannot be mounted>'], why: "crun's words" },
  { where: /^mounts: .*(ls -l|ls -1) \/dev/, written: [/(lrwxrwxrwx )?\bcore( -> \/proc\/kcore)?\r?\n/g, ''], why: 'crun makes /dev/core always, runc only where there is a /proc/kcore' },
  { where: /--privileged|--cap-add ALL/, why: "on machines without some capability (CAP_SYS_RESOURCE here) Docker 20.10 fails every such container; Docker 28 and this engine give what there is" },
  { where: /^(limits|resources-limits): inspect .*OOMKilled/, written: [/^(true|false) (137|3)$/gm, '<killed> $2'], why: 'dockerd 20.10 learns of it by an event that may come after the exit, and then may be lost' },
  { where: /^config: .*--network nosuch/, why: 'refused at creation, with the networks that this version has, not only at the start' },
  { where: /^pull: pull 127\.0\.0\.1:1/, written: [/Get "http:\S+: dial tcp .*/g, '<cannot connect>'], why: 'this engine asks for the manifest at once and adds what may be wrong' },
  { where: /^push: push 127\.0\.0\.1:1/, written: [/(Get|Head) "http:\S+: dial tcp .*/g, '<cannot connect>'], why: 'this engine asks for the first blob at once and adds what may be wrong' },
  { where: /^pull: pull OWNDIGESTIMAGE/, written: [/^\S+: Pulling from/gm, '<digest>: Pulling from'], why: 'Docker since 23 shows the digest alone' },
  { where: /^pull: pull --platform/, written: [/^WARNING: image with reference \S+ was found but does not match the specified platform: .*\n/m, ''], why: 'Docker since 23 warns of a manifest that is for another platform than the one asked for' },
  { where: /^exec: exec (@a |-w \/)nosuch/, written: [/^code 12[67]$/, 'code 127'], why: '127 for what is not there since Docker 23, as with run' },
  { where: /^exec: exec -w \/nosuch/, written: [/chdir.*: unknown/g, '<chdir failed>'], why: "crun's words" },
  { where: /^exec: /, written: [/OCI runtime exec failed: exec failed: unable to start container process: /g, ''], why: "crun's words" },
  { where: /^inspect: /, written: [/"ID":"<id>",|\bID (?=LowerDir)/g, ''], why: 'Docker 28 has ID in GraphDriver.Data' },
  { where: /^inspect: inspect @/, written: [/"ContainerIDEnv":"",/g, ''], why: "balenaEngine's own field, shown to clients of the old versions" },
  { where: /^inspect: inspect @/, written: [/"LogPath":"[^"]*"/g, '"LogPath":<path>'], why: "logs are conmon's, under a name of their own, and have their path from the creation on" },
  { where: /^inspect: inspect @/, written: [/"(SandboxID|SandboxKey|EndpointID|NetworkID)":"[^"]*"/g, '"$1":<network>'], why: 'the networks none and host are namespaces here, with no sandbox or endpoint kept of them' },
  { where: /^inspect: inspect @plain/, written: [/"Networks":\{"(none|bridge)"/g, '"Networks":{"default"'], why: 'without a bridge the default network is none; dockerd with --bridge=none calls it bridge and disables it' },
  { where: /^(tty|exec): .* sh$/, written: [/\r\/\w* # \p{Cc}\[J/gu, ''], why: 'the shell draws its prompt anew when it is told the size of its terminal, which may come before or after the first one' },
  { where: /image/, written: [/no such image: \S+: No such image/g, 'No such image'], why: 'Docker 20.10 says it twice' },
  { where: /image inspect/, written: [/"(AttachStd\w+|OpenStdin|StdinOnce|Tty)":false,|"(Domainname|Hostname|Image|User|Container)":"",|"Volumes":null,?|"ContainerConfig":\{[^}]*\},|,?"WorkingDir":""|,"VirtualSize":\d+/g, ''], why: 'the newer client gets the fields of API 1.50 here, those of 1.41 from dockerd 20.10' },
  { where: /^inspect: inspect @/, written: [/"(KernelMemory|KernelMemoryTCP|GwPriority)":0,|"DNSNames":null,/g, ''], why: 'the newer client gets the fields of API 1.50 here, those of 1.41 from dockerd 20.10' },
  { where: /^archives: save 0{64}/, written: [/failed to get digest (\S+): open .*: no such file or directory/g, 'No such image: $1'], why: 'an ID that is not here is no fault of a file of the daemon' },
  { where: /^archives: load -i FOLDER\/no-(config|manifest)/, written: [/open .*: no such file or directory( in the archive)?|no manifest.json and no index.json.*/g, '<missing in the archive>'], why: 'archives are not unpacked anywhere, so what is missing has no path' },
  { where: /^security-ipc: run --rm --ipc nosuch/, written: [/\.\n(See|\n*Run) 'docker run --help'.*\n/g, '.\n'], why: 'a mode that nobody knows is refused when the container is created, not only when it is started' },
  { where: /^init: run --rm --init IMAGE nosuch/, written: [/tini \(\d+\)/g, 'tini (<pid>)'], why: 'the number of a process' },
  { where: /^version: (info|version)$/, why: 'names, versions and plug-ins of two different engines; fields that mean something are asked for one by one' },
  { where: /^(addresses|networks)-.*: run -d/, written: [/time="<time>" level=error msg="Error waiting for container: [^\n]*"\n/g, ''], why: 'a start that fails ends the waiting of clients here; whether theirs says so is its own race' },
  { where: /^volumes-verbs: volume ls/, written: [/\by=,x=1/g, 'x=1,y='], why: 'the client walks a map' },
  { where: /^volumes-events: events of a volume/, written: [/\n(unmount .*)\ncreate .*/g, '\n$1'], why: 'Docker since 23 tells of the making of a volume once, not whenever it is asked for' },
  { where: /^networks-verbs: .*bridge.name=@?\S*b1/, written: [/invalid name of a bridge: .*|failed to check bridge interface existence: .*/g, '<bad name>'], why: 'the kernel takes names of 15 bytes at most; this engine says so' },
  { where: /^(networks-verbs|flags-\w+): network inspect bridge/, written: [/,"Gateway":"[^"]*"/g, ''], why: 'dockerd shows the gateway of the default bridge from its second start on, this engine always' },
  { where: /^networks-\w+: exec @web ip|^networks-\w+: run .* ip link/, written: [/ qlen 1000/g, ' '], why: 'dockerd sets the length of a queue that such devices do not have to 0' },
  { where: /^networks-connect: network connect --ip 10\.212\.1 /, written: [/[iI]nvalid IPv4 address: 10\.212\.1\)?/g, 'invalid IPv4 address'], why: 'a parenthesis too many' },
];

export interface Normals {
  /** Paths and names of one engine or one run, longest first, to what they are written as. */
  names: ReadonlyArray<readonly [text: string, written: string]>;
  /** IDs that are the same on both engines: digests of images. Any other ID is one engine's own. */
  knownIds: ReadonlySet<string>;
}

/** An answer as it is compared. */
export function normalLine(line: Line, normals: Normals, story: string): Line {
  const where = `${story}: ${line.words}`;
  const differences = DIFFERENCES.filter((one) => one.where.test(where));
  const words = commonText(line.words, normals);
  if (differences.some((one) => one.written === undefined)) return { words };
  const written = (text: string) => differences.reduce((so, { written: how }) => (how ? so.replace(how[0], how[1]) : so), commonText(text, normals));
  return {
    ...line, words,
    ...(line.code === undefined ? {} : { code: written(`code ${line.code}`) }),
    ...(line.stdout === undefined ? {} : { stdout: written(line.stdout) }), ...(line.stderr === undefined ? {} : { stderr: written(line.stderr) }),
    ...(typeof line.note === 'string' ? { note: written(line.note) } : {}),
  };
}

/** What is never the same twice, and what is one engine's own, written as what it stands for. */
export function commonText(text: string, normals: Normals): string {
  let result = sortedJson(text);
  for (const [name, written] of normals.names) result = result.replaceAll(name, written);
  result = result.replace(/\b[0-9a-f]{64}\b/g, (id) => (normals.knownIds.has(id) ? id : '<id>'))
    .replace(/\b[0-9a-f]{12}\b/g, (id) => ([...normals.knownIds].some((known) => known.startsWith(id)) ? id : '<short id>'));
  for (const [pattern, how] of NEVER_THE_SAME) result = result.replace(pattern, how);
  return sortedProgress(result);
}

/** The order of a JSON object's fields says nothing. */
function sortedJson(text: string): string {
  if (!/^[[{]/.test(text)) return text;
  try { return text.trim().split(/\n(?=[[{])/).map((part) => `${JSON.stringify(keysSorted(JSON.parse(part)))}\n`).join(''); } catch { return text; }
}

function keysSorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(keysSorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, keysSorted(field)]));
}

/** Layers come in any order, and the steps that a client sees of each depend on its haste. */
function sortedProgress(text: string): string {
  const lines = text.split('\n');
  if (!lines.some((line) => /^[0-9a-f]{12}: /.test(line))) return text;
  const layers = lines.filter((line) => /^[0-9a-f]{12}: /.test(line)).filter((line) => !/: (Waiting|Downloading|Extracting|Verifying Checksum)/.test(line)).sort();
  const at = lines.findIndex((line) => /^[0-9a-f]{12}: /.test(line));
  const others = lines.filter((line) => !/^[0-9a-f]{12}: /.test(line));
  return [...others.slice(0, at), ...layers, ...others.slice(at)].join('\n');
}
