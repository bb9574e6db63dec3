// inspect: everything the daemon knows about a thing, as JSON or by a template.
import type { Call, Command } from '../command.ts';
import { containerPath, imagePath } from '../command.ts';
import { EngineError, messageOf } from '../../lib/errors.ts';
import { DaemonError, EXIT_TEMPLATE, Failure, Missing } from '../failure.ts';
import { flag } from '../flags.ts';
import { indentJson } from '../json-text.ts';
import { compileTemplate } from '../../wire/template.ts';

type Kind = 'container' | 'image' | 'network' | 'volume';
const KINDS: readonly Kind[] = ['container', 'image', 'network', 'volume'];

const FORMAT = flag('f, format', 'string', 'Print by a Go template');
const SIZE = flag('s, size', 'bool', 'Show how much space a container takes');

export const inspect: Command = {
  name: 'inspect', usage: '[OPTIONS] NAME|ID [NAME|ID...]', short: 'Show everything about containers, images, networks and volumes', args: { min: 1 },
  flags: [FORMAT, SIZE, flag('type', 'string', 'Look only for things of this type')],
  run: (call) => {
    const type = call.flags.text('type');
    if (type !== '' && !(KINDS as readonly string[]).includes(type)) throw new Failure(`"${type}" is not a valid value for --type`);
    return inspectAll(call, type === '' ? KINDS : [type as Kind]);
  },
};

export const inspectContainer: Command = {
  name: 'inspect', usage: '[OPTIONS] CONTAINER [CONTAINER...]', short: 'Show everything about one or more containers', args: { min: 1 }, flags: [FORMAT, SIZE],
  run: (call) => inspectAll(call, ['container']),
};

export const inspectImage: Command = {
  name: 'inspect', usage: '[OPTIONS] IMAGE [IMAGE...]', short: 'Show everything about one or more images', args: { min: 1 }, flags: [FORMAT],
  run: (call) => inspectAll(call, ['image']),
};

export const inspectNetwork: Command = {
  name: 'inspect', usage: '[OPTIONS] NETWORK [NETWORK...]', short: 'Show everything about one or more networks', args: { min: 1 }, flags: [FORMAT, flag('v, verbose', 'bool', 'Accepted; there is no more to show')],
  run: (call) => inspectAll(call, ['network']),
};

export const inspectVolume: Command = {
  name: 'inspect', usage: '[OPTIONS] VOLUME [VOLUME...]', short: 'Show everything about one or more volumes', args: { min: 1 }, flags: [FORMAT],
  run: (call) => inspectAll(call, ['volume']),
};

async function inspectAll(call: Call, kinds: readonly Kind[]): Promise<void> {
  const show = templateOf(call.flags.text('format'));
  const found: string[] = [];
  const failed: string[] = [];
  for (const name of call.args) {
    try {
      found.push(show(await look(call, name, kinds)));
    } catch (error) {
      failed.push(messageOf(error));
    }
  }
  call.io.stdout.write(show.join(found));
  if (failed.length > 0) throw new Failure(failed.join('\n'));
}

/** The raw answer is kept as text: parsing it and writing it again would change big numbers. */
async function look(call: Call, name: string, kinds: readonly Kind[]): Promise<string> {
  for (const kind of kinds) {
    try {
      return await call.client.text('GET', pathOf(kind, name), { query: { size: kind === 'container' && call.flags.bool('size') || undefined, verbose: kind === 'network' && call.flags.bool('verbose') || undefined }, missing: { object: kind, name } });
    } catch (error) {
      const next = error instanceof Missing || (error instanceof DaemonError && error.status === 404);
      if (!next || kinds.length === 1) throw error;
    }
  }
  throw new Missing('object', name);
}

function pathOf(kind: Kind, name: string): string {
  if (kind === 'container') return containerPath(name, '/json');
  if (kind === 'image') return imagePath(name, '/json');
  return `/${kind}s/${encodeURIComponent(name)}`;
}

/** Where Docker's own types have maps, by the names that their JSON has. */
const OPEN_MAPS: ReadonlySet<string> = new Set(['Annotations', 'Data', 'DriverOpts', 'ExposedPorts', 'Labels', 'Networks', 'Options', 'PortBindings', 'Ports', 'StorageOpt', 'Sysctls', 'Tmpfs', 'Volumes']);

interface Show { (raw: string): string; join(found: readonly string[]): string }

function templateOf(format: string): Show {
  if (format === '' || format === 'json') {
    const asIs = (raw: string) => raw.trim();
    return Object.assign(asIs, { join: (found: readonly string[]) => (format === 'json' ? `${found.join('\n')}\n` : `${indentJson(`[${found.join(',')}]`)}\n`) });
  }
  const run = compile(format);
  const byTemplate = (raw: string) => {
    try {
      return run(JSON.parse(raw));
    } catch (error) {
      if (error instanceof EngineError) throw new Failure(`template parsing error: ${error.message}`);
      throw error;
    }
  };
  return Object.assign(byTemplate, { join: (found: readonly string[]) => `${found.join('\n')}\n` });
}

function compile(format: string): (data: unknown) => string {
  try {
    return compileTemplate(format, { openMaps: OPEN_MAPS });
  } catch (error) {
    if (error instanceof EngineError) throw new Failure(`template parsing error: ${error.message}`, EXIT_TEMPLATE);
    throw error;
  }
}
