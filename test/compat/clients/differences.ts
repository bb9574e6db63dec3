// What may differ between two engines' answers to a client library, each with its reason; docs/compatibility.md has the same in prose.

export interface ClientDifference {
  /** Of the client, the story's name and what was asked: "docker-py create: inspect". */
  where: RegExp;
  /** Of the place in the answer, as in "HostConfig.Memory"; without it, all of it. */
  at?: RegExp;
  /** What stands there is written so before it is compared, numbers too; without it, what stands there is left out, on both sides. */
  written?: readonly [pattern: RegExp, as: string];
  why: string;
}

/** Where dockerd 20.10 takes a client's fault for its own: 500 there, what later releases say here. */
const FAULTS = [
  'create what cannot be: (security option|storage option|ulimit|real-time cpu|isolation|seccomp profile|device)', 'create with mounts: ', 'refusals: ', 'log drivers: .* with ', 'lifecycle: kill with', 'list: by (an exit code|before what|a port) ', 'lists: by numbers', 'prune: by a time', 'top: ', 'logs: (since|until) ',
  'archives: ', 'files: ', 'commit: a (name|tag) ', 'images: (tag as|pull a registry)', 'system: ', 'networks: list by', 'engine: login', 'exec( step by step)?: (keys|a field)', 'exec step by step: resize what', 'events: ', 'update( and stats)?: ', 'volumes: ', 'namespaces: ', 'starts that fail: a (user|group) ',
];

export const CLIENT_DIFFERENCES: readonly ClientDifference[] = [
  // API versions: the libraries take the newest that they are offered, or none.
  { where: /inspect|mounts|whole of it|has now|seen$/, at: /(^|\.)KernelMemory(TCP)?$/, why: 'gone with API 1.42; docker-py takes 1.51 here, 1.41 from dockerd 20.10' },
  { where: /./, at: /\.(GwPriority|DNSNames)$|GraphDriver\.Data\.ID$|EnableIPv4$/, why: 'new in API versions that dockerd 20.10 has not' },
  { where: /./, at: /RestartPolicy\.Name$/, written: [/^$/, 'no'], why: 'Docker since 25 writes the default policy out' },
  { where: /./, at: /(^|\.)ContainerIDEnv$/, why: "balenaEngine's own field, shown to clients that name no version or an old one" },
  { where: /^(docker-py|dockerode) .*(wait|end|exit|when it|until it|at the |for what|run)/, at: /(^|\.)Error$/, why: 'Docker since 23 leaves the error of a wait out when there is none' },
  { where: /^docker-py images: (inspect|list)$/, at: /^(VirtualSize|0\.VirtualSize|Config\.(Hostname|Domainname|AttachStd\w+|Tty|OpenStdin|StdinOnce|Image))$/, why: 'docker-py gets the fields of API 1.51 here, those of 1.41 from dockerd 20.10' },
  { where: /^docker-py commit: its image/, at: /^Config\.(Hostname|Domainname|AttachStd\w+|Tty|OpenStdin|StdinOnce|Image)$/, why: 'an image has no such fields since API 1.50' },
  { where: /images: list/, at: /^0\.Containers$/, why: 'counted since API 1.51' },
  { where: /images: list/, at: /^0\.RepoDigests$/, why: 'Docker since 22 has them whether asked for or not' },
  { where: /^docker-py create: mac address/, at: /^Warnings$/, why: 'since API 1.44 the address is one of an endpoint' },
  { where: /system: a version that is too new/, at: /^message$/, written: [/1\.(41|51)$/, '<newest>'], why: 'the newest version is another' },
  // Errors.
  { where: new RegExp(FAULTS.join('|')), at: /^(status|statusCode)$/, written: [/^(400|403|404|409|500|503)$/, '<a fault>'], why: "the client's fault, 500 at dockerd 20.10" },
  { where: new RegExp(FAULTS.join('|')), at: /^class$/, written: [/^(NotFound|APIError)$/, '<an error>'], why: 'docker-py makes it of the status' },
  { where: /./, written: [/(failed to create task for container: )?failed to create shim task: OCI runtime create failed: (runc|crun) create failed/g, '<create failed>'], why: 'crun is the runtime here, and the words in front are those of Docker since 23' },
  { where: /./, written: [/: is a directory: permission denied/g, ': permission denied'], why: 'Docker since 25 says why a directory cannot be run' },
  { where: /./, at: /message$/, written: [/^(\(HTTP code \d+\) [a-z ]+ - )?Invalid filter/, 'invalid filter'], why: 'lower case since Docker 22' },
  { where: /./, at: /message$/, written: [/^no such image: \S+: /, ''], why: 'Docker 20.10 says it twice' },
  { where: /./, at: /message$/, written: [/^(invalid JSON: .*|invalid filter|invalid character .*|json: cannot unmarshal .*|unexpected EOF|EOF|got EOF while reading request body)$/, '<not understood>'], why: "the words of Go's own parser; here the field is named, and what is needed" },
  { where: /./, at: /message$/, written: [/^.*(strconv\.\w+: parsing|is no whole number|is no time|invalid filter|invalid port or range|no such container nosuch|No such container: nosuch|invalid character .x.).*$/, '<not understood>'], why: "the words of Go's own parser help nobody" },
  { where: /./, at: /message$/, written: [/invalid restart policy: unknown policy '(\w*)'; use one of .*/, "invalid restart policy '$1'"], why: 'Docker since 25 says which policies there are' },
  { where: /exec.*: (a directory that is not there|what is not there)/, at: /^0$/, written: [/^12[67]$/, '127'], why: '127 for what is not there since Docker 23, as with run' },
  { where: /exec.*: a directory that is not there/, at: /^1$/, written: [/chdir.*: unknown/g, '<chdir failed>'], why: "crun's words" },
  { where: /exec: privileged/, why: 'on machines without some capability (CAP_SYS_RESOURCE here) Docker 20.10 fails every such program; Docker 28 and this engine give what there is' },
  { where: /exec step by step: detached by keys/, why: 'dockerd 20.10 takes leaving by keys for a failure, writes so and counts the exec as ended' },
  { where: /exec.*: (start twice|start what has ended|start again)/, why: 'the refusal comes with the head of the answer, which docker-py may lose' },
  { where: /docker-py exec: user that is not there/, at: /^1$/, written: [/^(unable to find user nosuch: no matching entries in passwd file\r\n)?$/, '<said, or lost>'], why: 'dockerd 20.10 says it after the head of its answer, and on a busy machine not before the end of it' },
  { where: /exec step by step: resize what has ended/, at: /^message$/, why: "containerd's words" },
  { where: /attach: keys that are none/, at: /message$/, written: [/Invalid (detach|escape) keys/, 'Invalid keys'], why: 'one wording for attach and exec' },
  { where: /exec step by step: keys/, at: /message$/, written: [/Invalid (detach|escape) keys/, 'Invalid keys'], why: 'one wording for attach and exec' },
  { where: /lifecycle: kill with/, at: /^message$/, written: [/^(Invalid signal: .*|Cannot kill container: .* does not support signal .*)$/, '<no such signal>'], why: 'refused before the container is looked at' },
  { where: /pull a registry that is not there|login/, at: /message$/, written: [/^Get "http.*connection refused.*$/, '<cannot connect>'], why: 'this engine asks for the manifest at once and adds what may be wrong' },
  { where: /images: tag as/, at: /message$/, written: [/invalid tag format/, 'invalid reference format'], why: 'name and tag are one reference' },
  { where: /archives|files/, at: /message$/, written: [/<data root>\/overlay2\/<id>\/merged/g, ''], why: 'a path of the host helps no client' },
  { where: /archives/, at: /^message$/, written: [/pathcannot/, 'path cannot'], why: 'a blank that Docker has forgotten' },
  { where: /archives: (put|got) (bzip2|xz)/, why: 'unpacked by no code of ours and by no program that every device has: gzip and zstd are' },
  { where: /starts that fail: nothing to run/, at: /^message$/, written: [/^N/, 'n'], why: 'lower case, as Docker has it since 22' },
  { where: /top: with -nosuch/, at: /^message$/, written: [/(Error running )?ps: error: [^]*/, '<refused by ps>'], why: 'all that ps said, not only its first line' },
  { where: /logs: since a (date|while)$/, why: 'dockerd 20.10 takes seconds only, and leaves other times to its command line; here they are understood' },
  { where: /events: since what is no time/, why: 'dockerd 20.10 finds nothing; later releases refuse' },
  { where: /compose faults/, written: [/Get "http:\S+: dial tcp .*/g, '<cannot connect>'], why: 'this engine asks for the manifest at once and adds what may be wrong' },
  { where: /compose a project: exec/, at: /^code$/, written: [/^12[67]$/, '127'], why: '127 for what is not there since Docker 23, as with run' },
  // What cannot be made.
  { where: /create what cannot be: (pid mode|ipc mode|uts mode|user namespace|device|device rule): /, why: 'refused at the creation, as by Docker since 23; dockerd 20.10 looks at the start, or never' },
  { where: /create what cannot be: (sysctl|sysctl of the host network|ulimit|ulimit soft above hard|seccomp profile): start/, at: /^message$/, why: "crun's words, or found before it is asked" },
  { where: /create what cannot be: storage option/, at: /^message$/, written: [/ in StorageOpt$/, ''], why: 'the field is named' },
  { where: /create what cannot be: kernel memory/, why: 'gone with API 1.42: not looked at' },
  { where: /refusals: (no image|a volume that is relative|a volume at the root)/, why: 'refused at the creation, as by later releases' },
  { where: /refusals: two networks/, at: /message$/, written: [/endpoints: .*/, 'endpoints'], why: 'Docker keeps them in a map, which it walks in any order' },
  { where: /compose all that a service has: exec/, at: /stdout\.\d+$/, written: [/^(512|1024)$/, '<limit of open files>'], why: 'a further program has the limits of its container; with dockerd 20.10 the soft one is raised to the hard one' },
  { where: /create with mounts: volumes of a container/, why: '404 for a container that is not there, whatever it is needed for' },
  // What is otherwise here.
  { where: /./, at: /(^|\.)LogPath$/, why: "logs are conmon's, under a name of their own, and have their path from the creation on" },
  { where: /create and inspect: no host configuration: inspect/, at: /^HostConfig\.Runtime$/, why: 'dockerd 20.10 forgets it when there is no HostConfig at all' },
  { where: /create and inspect: no name for its network|docker-py create: no network/, at: /^NetworkSettings\.Networks/, why: 'without a bridge the default network is none; dockerd with --bridge=none calls it bridge and disables it' },
  { where: /whole|df of|by label/, at: /Mounts\.\d+\.Source$/, why: 'dockerd 20.10 does not show where a volume lies before it has been mounted' },
  { where: /mounts: .*in a list/, at: /^\d+\.Source$/, why: 'dockerd 20.10 does not show where a volume lies before it has been mounted' },
  { where: /whole|inspect/, at: /^NetworkSettings\.(SandboxKey|SandboxID)$/, why: 'the namespace is that of the process' },
  { where: /changes: export$/, at: /^\d+\.2$/, written: [/^0o41755$/, '0o40755'], why: 'crun makes mount points with the sticky bit' },
  { where: /commit: its history/, at: /^\d+\.3/, why: 'tags of layers below are not looked for' },
  { where: /commit: (with changes|its image with changes)/, why: 'Docker since 23 lets STOPSIGNAL and others be changed by a commit; 20.10 refuses' },
  { where: /namespaces: pid of what has ended/, at: /^message$/, why: 'Docker since 22 says what cannot be joined' },
  { where: /wait: for a condition that is none/, why: 'refused since API 1.42' },
  { where: /dockerode volumes: (prune|inspect what is gone)$/, why: 'clients that name no version are those of the newest: only volumes without a name are pruned' },
  { where: /refusals: two networks$/, at: /^message$/, why: 'clients that name no version are those of the newest, which may ask for several networks: only the host is no company' },
  { where: /networks: who is in it/, why: 'nobody is listed in the networks that have no addresses' },
  { where: /system: info|engine: info/, at: /^(Runtimes\.|CDISpecDirs|Warnings|KernelMemory|BridgeNf)/, why: 'two different engines' },
  { where: /system: (version|df)$/, why: 'fields that mean something are asked for one by one' },
  { where: /system: another type/, at: /^message$/, why: 'as Docker since 23 says it' },
];
