// system df: what takes how much of the disk, and what could be had back.
import type { Call, Command } from '../command.ts';
import { flag } from '../flags.ts';
import { renderRows, type Row } from '../rows.ts';
import { alignTabs, shortId } from '../table.ts';
import { humanDuration, humanSize } from '../../wire/units.ts';
import { containerRow, type ContainerSummary } from './ps.ts';
import { imageRows, type ImageSummary } from './images.ts';

interface Usage {
  LayersSize: number;
  Images: ImageSummary[] | null;
  Containers: ContainerSummary[] | null;
  Volumes: Array<{ Name: string; UsageData?: { Size: number; RefCount: number } | null }> | null;
  BuildCache: Array<{ ID: string; Type: string; Size: number; CreatedAt: string; LastUsedAt?: string | null; UsageCount: number; Shared: boolean; InUse: boolean }> | null;
  BuilderSize?: number;
}

const HEADERS = { Type: 'TYPE', TotalCount: 'TOTAL', Active: 'ACTIVE', Size: 'SIZE', Reclaimable: 'RECLAIMABLE' };
const TABLE = 'table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}';

export const df: Command = {
  name: 'df', usage: '[OPTIONS]', short: 'Show how much disk the engine uses', args: { min: 0, max: 0 },
  flags: [flag('format', 'string', 'Print each line by a Go template'), flag('v, verbose', 'bool', 'Show every image, container and volume')],
  run: async (call) => {
    const usage = await call.client.json<Usage>('GET', '/system/df');
    if (call.flags.bool('verbose')) return call.io.stdout.write(verbose(call, usage));
    const format = call.flags.text('format');
    call.io.stdout.write(renderRows({ format: format === '' || format === 'table' ? TABLE : format, headers: HEADERS, rows: summary(usage), typeName: '*formatter.diskUsageContext' }));
  },
};

function summary(usage: Usage): Row[] {
  const images = usage.Images ?? [];
  const containers = usage.Containers ?? [];
  const volumes = usage.Volumes ?? [];
  const cache = usage.BuildCache ?? [];
  const running = (one: ContainerSummary) => ['running', 'paused', 'restarting'].includes(one.State);
  const usedImages = images.filter((one) => (one.Containers ?? 0) > 0);
  const imagesInUse = sum(usedImages, (one) => (one.VirtualSize === -1 || one.SharedSize === -1 ? 0 : one.Size - (one.SharedSize ?? 0)));
  const volumeSize = (list: typeof volumes) => sum(list, (one) => Math.max(0, one.UsageData?.Size ?? 0));
  const unusedVolumes = volumes.filter((one) => (one.UsageData?.RefCount ?? 0) === 0);
  const cacheSize = sum(cache, (one) => (one.Shared ? 0 : one.Size));
  const freeCache = sum(cache, (one) => (one.InUse || one.Shared ? 0 : one.Size));
  return [
    row('Images', { total: images.length, active: usedImages.length, size: usage.LayersSize, free: usage.LayersSize - imagesInUse, percent: true }),
    row('Containers', { total: containers.length, active: containers.filter(running).length, size: sum(containers, (one) => one.SizeRw ?? 0), free: sum(containers.filter((one) => !running(one)), (one) => one.SizeRw ?? 0), percent: true }),
    row('Local Volumes', { total: volumes.length, active: volumes.length - unusedVolumes.length, size: volumeSize(volumes), free: volumeSize(unusedVolumes), percent: true }),
    row('Build Cache', { total: cache.length, active: cache.filter((one) => one.InUse).length, size: usage.BuilderSize ?? cacheSize, free: freeCache, percent: false }),
  ];
}

function row(Type: string, of: { total: number; active: number; size: number; free: number; percent: boolean }): Row {
  const share = of.percent && of.size > 0 ? ` (${Math.trunc((of.free * 100) / of.size)}%)` : '';
  return { Active: String(of.active), Reclaimable: humanSize(of.free) + share, Size: humanSize(of.size), TotalCount: String(of.total), Type };
}

const sum = <T>(list: readonly T[], size: (one: T) => number): number => list.reduce((total, one) => total + size(one), 0);

function verbose(call: Call, usage: Usage): string {
  const nowMs = call.io.clock.now();
  // One line per image here, by its first name: a size must not be counted by eye twice.
  const first = (image: ImageSummary) => imageRows({ ...image, RepoTags: (image.RepoTags ?? []).slice(0, 1), RepoDigests: null }, { nowMs, full: false, withDigests: false });
  const images = (usage.Images ?? []).flatMap((image) => first(image).map((one) =>
    [one.Repository, one.Tag, one.ID, one.CreatedSince, humanSize(image.Size), one.SharedSize, one.UniqueSize, one.Containers]));
  const containers = (usage.Containers ?? []).map((one) => containerRow(one, { nowMs, full: false })).map((one) =>
    [one.ID, one.Image, one.Command, one.LocalVolumes, (one.Size as string).replace(/ \(.*$/, ''), one.RunningFor, one.Status, one.Names]);
  const volumes = (usage.Volumes ?? []).map((one) => [one.Name, one.UsageData?.RefCount ?? 'N/A', humanSize(one.UsageData?.Size ?? 0)]);
  const cache = (usage.BuildCache ?? []).map((one) => [shortId(one.ID), one.Type, humanSize(one.Size), ago(nowMs, one.CreatedAt), one.LastUsedAt ? ago(nowMs, one.LastUsedAt) : '', one.UsageCount, one.Shared]);
  return `Images space usage:\n\n${grid(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'], images)}`
    + `\nContainers space usage:\n\n${grid(['CONTAINER ID', 'IMAGE', 'COMMAND', 'LOCAL VOLUMES', 'SIZE', 'CREATED', 'STATUS', 'NAMES'], containers)}`
    + `\nLocal Volumes space usage:\n\n${grid(['VOLUME NAME', 'LINKS', 'SIZE'], volumes)}`
    + `\nBuild cache usage: ${humanSize(usage.BuilderSize ?? 0)}\n\n${grid(['CACHE ID', 'CACHE TYPE', 'SIZE', 'CREATED', 'LAST USED', 'USAGE', 'SHARED'], cache)}`;
}

const ago = (nowMs: number, time: string): string => `${humanDuration(nowMs - Date.parse(time))} ago`;
const grid = (headers: readonly string[], rows: readonly unknown[][]): string => alignTabs([headers, ...rows].map((cells) => `${cells.join('\t')}\n`).join(''));
