// A container as lists and inspect show it.
import { parseImageId } from '../../oci/digest.ts';
import { findImage } from '../images/find.ts';
import { totalOf } from '../images/view.ts';
import type { ContainerView } from '../index.ts';
import type { Container } from './container.ts';
import { presentMount } from './mounts.ts';
import { namesOf, shownLinks } from './links.ts';
import type { ContainerNeeds } from './needs.ts';
import { statusWord } from './state.ts';

export async function viewContainer(needs: ContainerNeeds, container: Container, { size }: { size: boolean }): Promise<ContainerView> {
  const { record } = container;
  const imageId = parseImageId(record.Image);
  const rw = size ? await needs.store.layers.activeSizeBytes(container.id) : undefined;
  const image = needs.store.images.get(imageId);
  return {
    record,
    hostConfig: { ...container.hostConfig, Links: shownLinks(container) },
    names: namesOf(needs.table, container),
    status: statusWord(record.State),
    imageName: shownImage(needs, container),
    imageId,
    graph: needs.store.layers.active(container.id),
    mounts: Object.values(record.MountPoints).map((point) => presentMount(needs, point)),
    network: record.NetworkSettings,
    execIds: [...container.execIds],
    sizeRwBytes: rw,
    sizeRootFsBytes: rw === undefined ? undefined : rw + (image ? totalOf(needs.store, image) : 0),
  };
}

/** The name it was made with, unless that name now means another image: then the ID tells the truth. */
function shownImage(needs: ContainerNeeds, container: Container): string {
  const { Image: name } = container.record.Config;
  try {
    return findImage(needs.store, name).config.id === container.record.Image ? name : container.record.Image;
  } catch {
    return container.record.Image;
  }
}
