// Images as Docker's JSON, with what API versions differ in.
import type { ImageHistoryEntry, ImageView } from '../engine/index.ts';
import { ZERO_TIME } from '../lib/clock.ts';
import type { DeltaRecord } from '../store/index.ts';
import { asObject } from '../oci/shape.ts';
import type { ContainerConfig } from '../wire/types.ts';
import { graphData, secondsOf, sorted } from './present-containers.ts';
import { keeps, since, type ApiVersion } from './routes.ts';

const NO_CONFIG: ContainerConfig = {
  Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false,
  Env: null, Cmd: null, Image: '', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: null,
};

/** One entry of GET /images/json */
export function presentImageSummary(view: ImageView, options: { version: ApiVersion }) {
  const { version } = options;
  const unnamed = view.repoTags.length === 0 && version.minor < 43;
  return {
    Containers: since(version, 51) ? view.containers : -1, Created: secondsOf(view.config.created), Id: view.config.id, Labels: view.config.config.Labels && sorted(view.config.config.Labels),
    ParentId: view.parent, RepoDigests: unnamed && view.repoDigests.length === 0 ? ['<none>@<none>'] : view.repoDigests,
    RepoTags: unnamed ? ['<none>:<none>'] : view.repoTags, SharedSize: view.sharedSizeBytes ?? -1, Size: view.sizeBytes,
    ...(keeps(version, 44) ? { VirtualSize: view.sizeBytes } : {}),
  };
}

/** One entry of GET /images/{name}/deltas */
export function presentDelta({ base, target, created, layers }: DeltaRecord) {
  const Layers = layers.map(({ diffId, digest, sizeBytes, targetBytes, sources }) => ({ DiffId: diffId, Digest: digest, Size: sizeBytes, TargetSize: targetBytes, Sources: sources }));
  return { Base: base, Target: target, Created: created, Size: layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), Layers };
}

/** GET /images/{name}/json */
export function presentImage(view: ImageView, version: ApiVersion) {
  const { config, graph } = view;
  const created = config.created === '' ? (version.minor < 44 ? { Created: ZERO_TIME } : {}) : { Created: config.created };
  return {
    Id: config.id, RepoTags: view.repoTags, RepoDigests: view.repoDigests, Parent: view.parent, Comment: config.comment || (config.history.at(-1)?.comment ?? ''), ...created,
    // Gone from Docker's since 1.45, on which docker-compose 1.29 stumbles when it makes a container anew.
    Container: config.container, ContainerConfig: buildConfig(config.bytes),
    DockerVersion: config.dockerVersion, Author: config.author, Config: runConfig(view, version), Architecture: config.architecture,
    ...(config.variant === '' ? {} : { Variant: config.variant }), Os: config.os === '' ? 'linux' : config.os, ...(config.osVersion === '' ? {} : { OsVersion: config.osVersion }),
    Size: view.sizeBytes, ...(keeps(version, 44) ? { VirtualSize: view.sizeBytes } : {}),
    GraphDriver: {
      Data: graph ? graphData({ ...graph, lowerDirs: graph.lowerDir === '' ? [] : [graph.lowerDir] }) : null, Name: 'overlay2',
    },
    RootFS: { Type: 'layers', ...(config.diffIds.length > 0 ? { Layers: config.diffIds } : {}) },
    Metadata: { LastTagTime: view.lastTagTime || ZERO_TIME },
  };
}

/** One entry of GET /images/{name}/history */
export const presentHistory = (entry: ImageHistoryEntry) => ({
  Comment: entry.comment, Created: entry.createdSeconds, CreatedBy: entry.createdBy, Id: entry.id, Size: entry.sizeBytes,
  Tags: entry.tags.length > 0 ? entry.tags : null,
});

/** Until 1.50 the config had every field of a container's; then only what an image can say. */
function runConfig({ config: { config } }: ImageView, version: ApiVersion): object {
  const said = {
    ...(config.ExposedPorts ? { ExposedPorts: config.ExposedPorts } : {}), ...(config.Healthcheck ? { Healthcheck: config.Healthcheck } : {}),
    ...(config.ArgsEscaped ? { ArgsEscaped: true } : {}), ...(config.StopSignal === '' ? {} : { StopSignal: config.StopSignal }),
    ...(config.Shell ? { Shell: config.Shell } : {}),
    Cmd: config.Cmd, Entrypoint: config.Entrypoint, Env: config.Env.length > 0 || config.raw['Env'] ? config.Env : null, Labels: config.Labels && sorted(config.Labels), OnBuild: config.OnBuild, User: config.User,
    Volumes: config.Volumes, WorkingDir: config.WorkingDir,
  };
  if (!keeps(version, 50)) return said;
  return { ...NO_CONFIG, ...config.raw, ...said, ...(config.StopTimeout === null ? {} : { StopTimeout: config.StopTimeout }) };
}

/** `container_config` of the image's own JSON: what the classic builder ran last. */
function buildConfig(bytes: Uint8Array): object {
  const { container_config: config } = asObject(JSON.parse(Buffer.from(bytes).toString('utf8')), 'image config');
  return { ...NO_CONFIG, ...(typeof config === 'object' && config !== null && !Array.isArray(config) ? config : {}) };
}
