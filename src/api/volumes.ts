// Volumes: parse the request, call one verb, present the result.
import type { VolumesFace, VolumeView } from '../engine/index.ts';
import type { StoredVolume } from '../store/index.ts';
import { readJson } from './body.ts';
import { sorted } from './present-containers.ts';
import { required, since, type Route } from './routes.ts';
import { map, record, text } from './shape.ts';

interface CreateVolumeBody { Name?: string; Driver?: string; DriverOpts?: Record<string, string>; Labels?: Record<string, string> }
const createVolumeBody = record<CreateVolumeBody>({ Name: text, Driver: text, DriverOpts: map(text, ''), Labels: map(text, '') });

export const volumeRoutes = (volumes: VolumesFace): readonly Route[] => [
  { method: 'GET', path: '/volumes', async handle({ query }) {
      return { status: 200, json: { Volumes: (await volumes.list({ filters: query.filters() })).map(presentVolume), Warnings: null } };
  } },
  { method: 'POST', path: '/volumes/create', async handle(request) {
      const { Name: name = '', Driver: driver, DriverOpts: options, Labels: labels } = await readJson<CreateVolumeBody>(request, createVolumeBody, { required: true }) ?? {};
      return { status: 201, json: presentVolume(await volumes.create({ name, driver, options, labels })) };
  } },
  { method: 'POST', path: '/volumes/prune', async handle({ query, version }) {
      const filters = new Map(query.filters());
      if (!since(version, 42)) filters.set('all', ['true']); // until then all that nobody used was meant
      const { deleted, spaceReclaimedBytes } = await volumes.prune({ filters });
      return { status: 200, json: { VolumesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: spaceReclaimedBytes } };
  } },
  { method: 'GET', path: '/volumes/{name}', async handle(request) {
      return { status: 200, json: presentVolume(volumes.inspect(required(request, 'name'))) };
  } },
  { method: 'DELETE', path: '/volumes/{name}', async handle(request) {
      await volumes.remove(required(request, 'name'), { force: request.query.flag('force') });
      return { status: 204 };
  } },
];

/** One entry of GET /system/df */
export const presentVolumeUsage = ({ volume, usage }: VolumeView) => ({ ...presentVolume(volume), UsageData: { RefCount: usage.containers, Size: usage.sizeBytes } });

const presentVolume = ({ name, createdAt, labels, options, path }: StoredVolume) => ({
  CreatedAt: createdAt, Driver: 'local', Labels: labels && sorted(labels), Mountpoint: path, Name: name, Options: options && sorted(options), Scope: 'local',
});
