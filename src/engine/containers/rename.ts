// rename: the name in the table, on record, in networks and in the links of others.
import { EngineError, invalid, kindOf, messageOf } from '../../lib/errors.ts';
import type { Container } from './container.ts';
import { renamedLinks } from './links.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { namesIn } from './run-network.ts';

export async function renameContainer(needs: ContainerNeeds, container: Container, newName: string): Promise<void> {
  if (newName === '') throw invalid('Neither old nor new names may be empty');
  using _lock = await needs.table.hold(container);
  const oldName = container.name;
  if (newName.replace(/^\//, '') === oldName) throw invalid('Renaming a container with the same name as its current name');
  using reserved = reserveNewName(needs, newName, container.id);
  const record = { ...container.record, Name: `/${newName.replace(/^\//, '')}`, NetworkSettings: { ...container.record.NetworkSettings, IsAnonymousEndpoint: false } };
  await needs.store.containers.save(record);
  container.record = record;
  reserved.keep();
  needs.table.releaseName(oldName);
  followName(needs, container);
  await followLinks(needs, oldName, container.name);
  publish(needs, container, { action: 'rename', extra: { oldName: `/${oldName}` } });
}

function reserveNewName(needs: ContainerNeeds, newName: string, id: string) {
  try { return needs.table.reserveName(`/${newName.replace(/^\//, '')}`, id); }
  catch (cause) { throw new EngineError(kindOf(cause), `Error when allocating new name: ${messageOf(cause)}`, { cause }); }
}

/** Other containers of its networks find it by the new name at once. */
function followName(needs: ContainerNeeds, container: Container): void {
  const endpoints = Object.entries(container.record.NetworkSettings.Networks ?? {});
  needs.network.sandbox(container.id)?.rename(new Map(endpoints.map(([name, endpoint]) => [endpoint.NetworkID, namesIn(container.record, { name, endpoint })])));
}

/** Those who link to it mean it still. Killed in between, they look for the old name. */
async function followLinks(needs: ContainerNeeds, oldName: string, newName: string): Promise<void> {
  for (const other of needs.table.all()) {
    const links = renamedLinks(other, { oldName, newName });
    if (!links) continue;
    const hostConfig = { ...other.hostConfig, Links: links };
    other.hostConfig = hostConfig;
    await needs.store.containers.saveHostConfig(other.id, hostConfig).catch((error: unknown) => needs.log.error('a link still has the old name of a container', { container: other.id, error }));
  }
}
