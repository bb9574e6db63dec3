// create: a container that is not started yet; the first half of run.
import { familiarString, parseReference, withDefaultTag } from '../../oci/reference.ts';
import { errnoOf } from '../../lib/errors.ts';
import type { DaemonClient } from '../client.ts';
import { containerPath, PROGRAM, print, warn, type Call, type Command } from '../command.ts';
import { DaemonError, EXIT_USAGE, Failure } from '../failure.ts';
import { createBody, type CreateBody } from '../flags-run.ts';
import { containerFlags } from '../run-flags.ts';
import { pullImage } from './pull.ts';

export const create: Command = {
  name: 'create', usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]', short: 'Create a new container', args: { min: 1 }, flags: containerFlags, flagsFirst: true,
  run: async (call) => {
    const body = await bodyOf(call);
    print(call, await createContainer(call, body));
  },
};

/** The body of the request; what contradicts itself ends with 125 and a pointer to the help. */
export async function bodyOf(call: Call): Promise<CreateBody> {
  try {
    return await createBody(call.flags, call.args, call.io);
  } catch (error) {
    throw new Failure(sentence((error as Error).message, helpFor(call)), EXIT_USAGE);
  }
}

/** `vaquita: <reason>.` and, when the way it was called may be the reason, where to read on. */
export function sentence(message: string, helpLine?: string): string {
  return `${PROGRAM}: ${message.replace(/\.$/, '')}.${helpLine === undefined ? '' : `\n${helpLine}`}`;
}

export const helpFor = (call: Call): string => `See '${call.path} --help'.`;

/** The ID of the new container. A missing image is pulled first, unless --pull forbids it. */
export async function createContainer(call: Call, body: CreateBody): Promise<string> {
  const { flags, io } = call;
  const image = body.Image ?? '';
  const cidFile = flags.text('cidfile');
  if (cidFile !== '' && await io.exists(cidFile)) throw new Failure(`container ID file found, make sure the other container isn't running or delete ${cidFile}`);
  const when = flags.text('pull');
  if (!['always', 'missing', 'never', ''].includes(when)) throw new Failure(`invalid pull option: '${when}': must be one of "always", "missing" or "never"`);
  if (when === 'always') await pullFor(call, image);
  if (!isId(image)) parseReference(image); // refused here, a wrong name is not sent around to be called missing
  if (flags.bool('oom-kill-disable') && flags.bytes('memory') === 0) warn(call, "WARNING: Disabling the OOM killer on containers without setting a '-m/--memory' limit may be dangerous.");
  for (const address of flags.list('dns')) {
    if (/^127\.|^::1$/.test(address)) warn(call, `WARNING: Localhost DNS setting (--dns=${address}) may fail in containers.`);
  }
  const answer = await post(call, body, when === 'missing' || when === '');
  for (const warning of answer.Warnings ?? []) warn(call, `WARNING: ${warning}`);
  if (cidFile !== '') await writeId(call, cidFile, answer.Id);
  return answer.Id;
}

interface Created { Id: string; Warnings: string[] | null }

async function post(call: Call, asked: CreateBody, mayPull: boolean): Promise<Created> {
  const { flags, client } = call;
  const query = { name: flags.text('name') || undefined, platform: flags.text('platform') || undefined };
  const [body, others] = onFirstNetwork(client, asked);
  const once = async () => {
    const made = await client.json<Created>('POST', '/containers/create', { query, body });
    await connect(client, made.Id, others);
    return made;
  };
  try {
    return await once();
  } catch (error) {
    const missing = error instanceof DaemonError && error.status === 404 && /no such image/i.test(error.reason);
    if (!missing || !mayPull || isId(body.Image ?? '')) throw error;
    warn(call, `Unable to find image '${familiarString(withDefaultTag(parseReference(body.Image ?? '')))}' locally`);
    await pullFor(call, body.Image ?? '');
    return once();
  }
}

type Endpoints = NonNullable<NonNullable<CreateBody['NetworkingConfig']>['EndpointsConfig']>;

/** Until API 1.44 a container is made on one network and connected to the others afterwards. */
function onFirstNetwork(client: DaemonClient, body: CreateBody): [body: CreateBody, others: Endpoints] {
  const [first, ...others] = Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {});
  const [major = 0, minor = 0] = client.apiVersion.split('.').map(Number);
  if (first === undefined || others.length === 0 || major > 1 || minor >= 44) return [body, {}];
  return [{ ...body, NetworkingConfig: { EndpointsConfig: Object.fromEntries([first]) } }, Object.fromEntries(others)];
}

/** To all of them, or the container goes again. */
async function connect(client: DaemonClient, id: string, others: Endpoints): Promise<void> {
  try {
    for (const [network, endpoint] of Object.entries(others)) await client.text('POST', `/networks/${encodeURIComponent(network)}/connect`, { body: { Container: id, EndpointConfig: endpoint } });
  } catch (error) {
    await client.text('DELETE', containerPath(id), { query: { force: true, v: true } }).catch(() => {}); // the first failure is the one to be told
    throw error;
  }
}

/** An ID names nothing that a registry knows. */
const isId = (image: string): boolean => /^(sha256:)?[0-9a-f]{64}$/.test(image);

/** Progress goes to stderr: stdout belongs to the container. */
async function pullFor(call: Call, image: string): Promise<void> {
  await pullImage(call, withDefaultTag(parseReference(image)), { platform: call.flags.text('platform'), output: call.flags.bool('quiet') ? undefined : call.io.stderr });
}

async function writeId(call: Call, file: string, id: string): Promise<void> {
  try {
    await call.io.writeFile(file, id, { mode: 0o644, exclusive: true });
  } catch (error) {
    throw new Failure(`Failed to create the container ID file: open ${file}: ${errnoOf(error) ?? (error as Error).message}`);
  }
}
