// The two networks that every host has; networks that users make come with a later release.
import { createHash } from 'node:crypto';

export interface PredefinedNetwork { name: string; driver: string; id: string }

const PREDEFINED = [{ name: 'host', driver: 'host' }, { name: 'none', driver: 'null' }] as const;
const ID_SALT = 'vaquita predefined network';

/** IDs are the same at every start of one daemon, and differ between daemons. */
export const predefinedNetworks = (daemonId: string): readonly PredefinedNetwork[] =>
  PREDEFINED.map(({ name, driver }) => ({ name, driver, id: createHash('sha256').update(`${ID_SALT} ${name} ${daemonId}`).digest('hex') }));
