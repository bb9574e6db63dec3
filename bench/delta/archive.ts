// Debian packages in two versions at once: an archive keeps those of its release and of its updates side by side.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** Of those versions that the archive has now; a package that it has in one alone has that for all. */
export type Age = 'oldest' | 'last-but-one' | 'newest';

/** Answers from lists of its own in `cache`, which are the archive's of the day they were fetched: delete them with the parts. The machine's sources are asked, its settings and lists stay as they are. */
export class Archive {
  readonly #cache: string;
  readonly #at: string;
  #options: string[] | undefined;

  constructor(cache: string) {
    this.#cache = cache;
    this.#at = `${cache}/archive`;
  }

  /** Puts what packages hold into a folder, of `architecture` in the version that is of this age for amd64. */
  extract(packages: readonly string[], { into, age, architecture }: { into: string; age: Age; architecture: 'amd64' | 'armhf' }): void {
    const versions = this.#versions(packages);
    for (const name of packages) {
      const version = pick(versions.get(name) ?? [], age);
      if (version === undefined) throw new Error(`the archive has no package ${name}`);
      run('dpkg-deb', ['--extract', this.#fetch(name, { version, architecture }), into]);
    }
  }

  /** A Debian base of these packages and what they need: all as old, or as new, as they are in the archive. */
  bootstrap(into: string, { packages, age }: { packages: readonly string[]; age: 'oldest' | 'newest' }): void {
    const pins = `${this.#cache}/making-pins`;
    const all = this.#apt('apt-cache', ['pkgnames']).trim().split('\n'), versions = this.#versions(all);
    const text = [...versions].filter(([, known]) => known.length > 1).map(([name, known]) => `Package: ${name}\nPin: version ${pick(known, age) ?? ''}\nPin-Priority: 1001\n`);
    writeFileSync(pins, text.join('\n'));
    const place = '"$1"/etc/apt/preferences.d/age';
    run('mmdebstrap', [
      '--variant=minbase', '--architectures=amd64', `--include=${packages.join(',')}`, `--setup-hook=mkdir -p "$(dirname ${place})" && cp ${pins} ${place}`, `--customize-hook=rm ${place}`, 'bookworm', into,
    ]);
    run('/bin/sh', ['-ec', `rm -rf ${into}/var/cache/apt/* ${into}/var/lib/apt/lists/*`]);
    rmSync(pins);
  }

  /** Of each package, the newest first. */
  #versions(packages: readonly string[]): Map<string, string[]> {
    const versions = new Map<string, string[]>();
    for (let at = 0; at < packages.length; at += MOST_WORDS) {
      for (const line of this.#apt('apt-cache', ['madison', ...packages.slice(at, at + MOST_WORDS)]).split('\n')) {
        const [name = '', version = ''] = line.split('|').map((word) => word.trim()), known = versions.get(name) ?? [];
        if (version !== '' && !known.includes(version)) versions.set(name, [...known, version]);
      }
    }
    return versions;
  }

  /** One file; that of another architecture stands beside the one that the lists know. */
  #fetch(name: string, { version, architecture }: { version: string; architecture: string }): string {
    const [, uri, file, digest] = /^'(\S+)' (\S+) \d+ (\S+)$/m.exec(this.#apt('apt-get', ['--print-uris', 'download', `${name}=${version}`])) ?? [];
    if (uri === undefined || file === undefined || digest === undefined) throw new Error(`the archive does not say where ${name} ${version} is`);
    const of = (text: string) => text.replace(/_amd64\.deb$/, `_${architecture}.deb`), path = `${this.#at}/${of(file)}`;
    if (!existsSync(path)) {
      run('/usr/lib/apt/apt-helper', ['-oAPT::Sandbox::User=root', 'download-file', of(uri), `${path}.part`, ...(of(uri) === uri ? [digest] : [])]);
      renameSync(`${path}.part`, path);
    }
    return path;
  }

  #apt(program: string, words: readonly string[]): string {
    if (this.#options === undefined) {
      mkdirSync(`${this.#at}/lists/partial`, { recursive: true });
      mkdirSync(`${this.#at}/cache/archives/partial`, { recursive: true });
      this.#options = [`Dir::State::Lists=${this.#at}/lists`, `Dir::Cache=${this.#at}/cache`, 'Dir::State::status=/dev/null', 'APT::Architecture=amd64', 'APT::Architectures=amd64'].map((option) => `-o${option}`);
      if (!existsSync(`${this.#at}/fetched`)) {
        run('apt-get', [...this.#options, 'update']);
        writeFileSync(`${this.#at}/fetched`, '');
      }
    }
    return execFileSync(program, [...this.#options, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 2], maxBuffer: 256 << 20 });
  }
}

/** Of one command line. */
const MOST_WORDS = 2000;

function pick(versions: readonly string[], age: Age): string | undefined {
  switch (age) {
    case 'newest': return versions[0];
    case 'last-but-one': return versions[1] ?? versions[0];
    case 'oldest': return versions.at(-1);
    default: return age satisfies never;
  }
}

/** Speaks on our standard error alone. */
function run(program: string, words: readonly string[]): void {
  execFileSync(program, words, { stdio: ['ignore', 2, 2] });
}
