// The same words to Docker's own command line and to ours, in front of the same canned daemon: same text, same exit code.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { containersAt, imagesAt, pullLines, WEB_ID, webContainer } from '../kit/canned-answers.ts';
import { openCannedDaemon, type Answer } from '../kit/canned-daemon.ts';

/** The release whose texts ours are; others word some of them differently. */
const DOCKER = '/usr/bin/docker';
const OURS = join(import.meta.dirname, '../../src/main.ts');

const engine = {
  Platform: { Name: 'x' }, Version: '1.0', ApiVersion: '1.41', MinAPIVersion: '1.24', Os: 'linux', Arch: 'amd64',
  Components: [{ Name: 'Engine', Version: '1.0', Details: { ApiVersion: '1.41', MinAPIVersion: '1.24', Arch: 'amd64', Os: 'linux', BuildTime: '2026-11-20T10:00:00.000000000+00:00', Experimental: 'false', GitCommit: 'abc', GoVersion: 'go1' } }, { Name: 'crun', Version: '1.8', Details: { GitCommit: 'x' } }],
};
const info = {
  ID: 'AB:CD', Containers: 3, ContainersRunning: 1, ContainersPaused: 0, ContainersStopped: 2, Images: 4, Driver: 'overlay2', DriverStatus: [['Backing Filesystem', 'extfs']],
  Plugins: { Volume: ['local'], Network: ['bridge', 'host'], Authorization: null, Log: ['journald', 'json-file'] }, MemoryLimit: true, SwapLimit: true, KernelMemory: true, CpuCfsPeriod: true,
  CpuCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true, IPv4Forwarding: true, BridgeNfIptables: true, BridgeNfIp6tables: true, Debug: false, OomKillDisable: true, LoggingDriver: 'json-file',
  CgroupDriver: 'cgroupfs', CgroupVersion: '2', KernelVersion: '6.1', OperatingSystem: 'X', OSType: 'linux', Architecture: 'x86_64', IndexServerAddress: 'https://index.docker.io/v1/',
  RegistryConfig: { InsecureRegistryCIDRs: ['127.0.0.0/8'], IndexConfigs: {}, Mirrors: ['http://m/'] }, NCPU: 2, MemTotal: 25276502016, DockerRootDir: '/x', Name: 'vm', Labels: ['a=b'], ExperimentalBuild: false,
  ServerVersion: '1.0', Runtimes: { crun: { path: 'crun' } }, DefaultRuntime: 'crun', Swarm: { LocalNodeState: 'inactive' }, LiveRestoreEnabled: false, InitBinary: 'i',
  ContainerdCommit: { ID: '', Expected: '' }, RuncCommit: { ID: 'r', Expected: 'r' }, InitCommit: { ID: 'N/A', Expected: 'N/A' }, SecurityOptions: ['name=seccomp,profile=default'], Warnings: null,
};

function routes(): Record<string, Answer> {
  const now = Math.floor(Date.now() / 1000);
  return {
    'GET /containers/json': { json: containersAt(now) },
    'GET /images/json': { json: imagesAt(now) },
    'GET /containers/web/json': { json: webContainer },
    [`GET /containers/${WEB_ID}/logs`]: { bytes: Buffer.from('\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n', 'latin1') },
    'GET /containers/web/top': { json: { Titles: ['UID', 'PID', 'CMD'], Processes: [['root', '1270', 'sleep 300']] } },
    'GET /version': { json: engine },
    'GET /info': { json: info },
    'GET /images/nginx/history': { json: [{ Id: 'sha256:'.padEnd(71, '1f'), Created: now - 4000000, CreatedBy: 'CMD ["nginx" "-g" "daemon off;"] and more of the same', Tags: null, Size: 0, Comment: '' }, { Id: '<missing>', Created: now - 4100000, CreatedBy: 'RUN x', Tags: null, Size: 112345678, Comment: 'c' }] },
    'POST /images/create': { bytes: pullLines },
    'POST /containers/create': (asked) => (asked.body.includes('nosuch') ? { status: 404, json: { message: 'No such container: nosuch' } } : { status: 201, json: { Id: WEB_ID, Warnings: ['careful'] } }),
    [`POST /containers/${WEB_ID}/start`]: { status: 204 },
    [`POST /containers/${WEB_ID}/wait`]: { json: { StatusCode: 3 } },
    'POST /containers/web/stop': { status: 204 },
    'POST /containers/web/kill': { status: 204 },
    'DELETE /containers/web': { status: 204 },
    'DELETE /images/nginx': { json: [{ Untagged: 'nginx:latest' }, { Deleted: 'sha256:abc' }] },
    'POST /containers/prune': { json: { ContainersDeleted: ['abc'], SpaceReclaimed: 1234567 } },
    'GET /events': { bytes: '{"status":"die","id":"ab","from":"x","Type":"container","Action":"die","Actor":{"ID":"ab","Attributes":{"name":"web","exitCode":"1"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}\n' },
  };
}

const QUESTIONS: readonly string[][] = [
  ['ps'], ['ps', '-a', '--no-trunc'], ['ps', '-s'], ['ps', '-q'], ['ps', '--format', '{{json .}}'], ['ps', '--format', 'table {{.ID}}\\t{{.Mounts}}\\t{{.Labels}}\\t{{.State}}'],
  ['ps', '--format', '{{.Foo}}'], ['ps', '--format', '{{.Foo'], ['ps', 'x'], ['ps', '-n', 'x'], ['ps', '-f', 'x'],
  ['images'], ['images', '--digests'], ['images', '-q', '--no-trunc'], ['images', '--format', '{{json .}}'],
  ['inspect', 'web'], ['inspect', 'web', 'nosuch'], ['inspect', '-f', '{{.State.Pid}} {{.Config.Env}} {{index .Config.Labels "a"}}', 'web'], ['inspect', '-f', '{{.State.Health.Status}}', 'web'],
  ['info'], ['version', '-f', '{{.Server.Version}}'], ['history', 'nginx'], ['history', '-q', 'nginx'], ['top', 'web'], ['port', 'web'], ['port', 'web', '443'],
  ['logs', 'web'], ['logs', 'nosuch'], ['events', '--until', '1'], ['events', '--until', '1', '--format', '{{json .}}'],
  ['pull', 'missing'], ['pull', '-q', 'missing:1'], ['pull', 'Xx'], ['stop', 'web', 'nosuch'], ['kill', '-s', 'HUP', 'web'], ['rm', '-f', 'web', 'nosuch'], ['rmi', 'nginx', 'nosuch'],
  ['start', 'nosuch'], ['container', 'prune', '-f'], ['run', '-d', 'nginx'], ['run', 'nginx'], ['run', '--rm', 'nginx'], ['run'], ['run', '--nosuch'], ['run', '-m', '1x', 'nginx'],
  ['run', '-p', '99999:80', 'nginx'], ['run', '--rm', '--restart', 'always', 'nginx'], ['run', '-it', 'nginx'], ['run', '-d', '-a', 'stdout', 'nginx'], ['create', 'nginx'], ['nosuch'], ['help', 'nosuch'],
];

test('the command line answers as Docker\'s does', async (t) => {
  assert.ok(existsSync(DOCKER), `${DOCKER} is needed for comparison`);
  const home = mkdtempSync(join(tmpdir(), 'cli-home-'));
  await using daemon = await openCannedDaemon(routes(), (_asked, socket) => socket.end(Buffer.from('\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n', 'latin1')));
  const ask = (program: readonly string[], words: readonly string[]) => new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
    const [file = '', ...first] = program;
    const child = execFile(file, [...first, ...words], { env: { DOCKER_HOST: daemon.host, HOME: home, PATH: process.env['PATH'] ?? '' }, timeout: 20_000 }, (error, stdout, stderr) => {
      const neutral = (text: string) => text.replaceAll('vaquita', 'docker').replaceAll('Vaquita', 'Docker');
      resolve({ code: error ? error.code : 0, out: neutral(stdout), err: neutral(stderr) });
    });
    child.stdin?.end();
  });
  try {
    for (const words of QUESTIONS) {
      await t.test(words.join(' '), async () => {
        const [theirs, ours] = await Promise.all([ask([DOCKER], words), ask([process.execPath, '--no-warnings', '--', OURS], words)]);
        // Docker keeps the repositories of one image in a map, which it walks in any order.
        const inOrder = (answer: typeof ours) => (words[0] === 'images' ? { ...answer, out: answer.out.split('\n').toSorted() } : answer);
        assert.deepEqual(inOrder(ours), inOrder(theirs));
      });
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
