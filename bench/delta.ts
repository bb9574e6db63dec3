// Makes deltas between images of real parts, in balenaEngine's way, in ours in its format, and in our own format, and pulls with them.
import { parseArgs } from 'node:util';
import { openParts } from './delta/parts.ts';

const { values } = parseArgs({ options: { cache: { type: 'string', default: '/var/tmp/vaquita-bench-delta' }, ghost: { type: 'string', default: '1.12.0,1.12.1' } } });
const [from = '', to = ''] = values.ghost.split(',');
const parts = openParts({ cache: values.cache, ghost: from });
for (const name of ['base', 'three-packages', 'four-packages', 'node-6', 'node-4', `ghost-${from}`, `ghost-${to}`, `ghost-${from}-again`, 'bundle', 'bundle-edited', 'node-26.9.0', 'node-26.10.0']) await parts.tar(name);
