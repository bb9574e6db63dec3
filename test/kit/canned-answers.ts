// A small engine as its API describes it: containers in every state, images with and without names.

const id = (digits: string): string => digits.repeat(64).slice(0, 64);
const HOUR = 3600;
const DAY = 24 * HOUR;

/** Container and image lists as of `now`, in Unix seconds. */
export const containersAt = (now: number) => [
  {
    Id: id('a1b2'), Names: ['/web'], Image: 'nginx:1.25', ImageID: `sha256:${id('1f')}`, Command: '/docker-entrypoint.sh nginx -g \'daemon off;\'', Created: now - 2 * HOUR,
    Ports: [
      { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' }, { IP: '::', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { PrivatePort: 443, Type: 'tcp' }, { PrivatePort: 444, Type: 'tcp' }, { IP: '127.0.0.1', PrivatePort: 53, PublicPort: 53, Type: 'udp' },
    ],
    SizeRw: 1095, SizeRootFs: 187654321, Labels: { a: '<1>' }, State: 'running', Status: 'Up 2 hours (healthy)', HostConfig: { NetworkMode: 'default' },
    NetworkSettings: { Networks: { bridge: {} } }, Mounts: [{ Type: 'volume', Name: 'a-volume-with-a-name', Source: '/x', Destination: '/d', Driver: 'local' }],
  },
  {
    Id: id('c3d4'), Names: ['/job', '/web/link'], Image: `sha256:${id('2e')}`, ImageID: `sha256:${id('2e')}`, Command: 'sh -c "echo é; \ttrue"', Created: now - 3 * DAY,
    Ports: [], Labels: {}, State: 'exited', Status: 'Exited (137) 3 days ago', HostConfig: { NetworkMode: 'host' }, NetworkSettings: { Networks: { host: {} } }, Mounts: [],
  },
  {
    Id: id('e5f6'), Names: ['/pinned_by_digest'], Image: `r.example.com:5000/a/b:v1@sha256:${id('9')}`, ImageID: `sha256:${id('3d')}`, Command: 'sleep 1', Created: now - 2 * HOUR + 600,
    Ports: [{ PrivatePort: 9, Type: 'sctp' }], Labels: null, State: 'created', Status: 'Created', HostConfig: { NetworkMode: 'none' }, NetworkSettings: null, Mounts: [],
  },
];

export const imagesAt = (now: number) => [
  { Id: `sha256:${id('1f')}`, RepoTags: ['nginx:1.25', 'nginx:latest'], RepoDigests: [`nginx@sha256:${id('7')}`], Created: now - 40 * DAY, Size: 187654321, VirtualSize: 187654321 },
  { Id: `sha256:${id('2e')}`, RepoTags: ['<none>:<none>'], RepoDigests: ['<none>@<none>'], Created: now - 400 * DAY, Size: 999900, VirtualSize: 999900 },
  { Id: `sha256:${id('3d')}`, RepoTags: null, RepoDigests: [`r.example.com:5000/a/b@sha256:${id('9')}`], Created: now - 3700, Size: 1234, VirtualSize: 1234 },
  { Id: `sha256:${id('4c')}`, RepoTags: ['r.example.com:5000/a/b:v1', 'busybox:uclibc'], RepoDigests: [], Created: now - 2 * HOUR, Size: 1985000, VirtualSize: 1985000 },
].map((image) => ({ ...image, ParentId: '', SharedSize: -1, Containers: -1, Labels: null }));

export const WEB_ID = id('a1b2');

export const webContainer = {
  Id: WEB_ID, Created: '2026-11-20T19:34:31.461767697Z', Path: 'sh', Args: ['-c', 'echo <x> && true'],
  State: { Status: 'running', Running: true, Paused: false, Restarting: false, Pid: 1270, ExitCode: 0, Error: '' },
  Image: `sha256:${id('1f')}`, Name: '/web', Mounts: [],
  HostConfig: { NetworkMode: 'default', Memory: 268435456, MemorySwappiness: null, AutoRemove: false },
  Config: { Env: ['A=1', 'B=2'], Cmd: ['sleep'], Labels: { b: '2', a: '1' }, Tty: false, OpenStdin: false },
  NetworkSettings: {
    Ports: { '443/tcp': null, '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }, { HostIp: '::', HostPort: '8080' }] },
    Networks: { bridge: { IPAddress: '172.17.0.2' } },
  },
};

export const pullLines = [
  { status: 'Pulling from library/missing', id: 'latest' },
  { status: 'Pulling fs layer', progressDetail: {}, id: 'aaaabbbbcccc' },
  { status: 'Downloading', progressDetail: { current: 1000, total: 2000000 }, progress: '[>  ]', id: 'aaaabbbbcccc' },
  { status: 'Download complete', progressDetail: {}, id: 'aaaabbbbcccc' },
  { status: 'Pull complete', progressDetail: {}, id: 'aaaabbbbcccc' },
  { status: 'Digest: sha256:abc' },
  { status: 'Status: Downloaded newer image for missing:latest' },
].map((line) => `${JSON.stringify(line)}\r\n`).join('');
