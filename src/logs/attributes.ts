// What is told of a container with each of its lines: chosen labels and variables, and a tag. Pure.
import { EngineError, messageOf } from '../lib/errors.ts';
import { compileTemplate } from '../wire/template.ts';
import type { LogSubject } from './index.ts';
import { refusal } from './options.ts';

export type Attributes = Readonly<Record<string, string>>;

/** Labels and variables that the options name or match; `nameOf` changes their names as a receiver needs them. Error: system. */
export function extraAttributes(subject: LogSubject, nameOf: (name: string) => string = (name) => name): Attributes {
  const { options, labels } = subject;
  const env = Object.fromEntries(subject.env.filter((entry) => entry.includes('=')).map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
  const chosen: Record<string, string> = {};
  const choose = (from: Attributes, want: { names: string | undefined; pattern: string | undefined }) => {
    for (const name of (want.names ?? '').split(',')) if (Object.hasOwn(from, name)) chosen[nameOf(name)] = from[name] ?? '';
    if (!want.pattern) return;
    const matching = expression(want.pattern);
    for (const [name, value] of Object.entries(from)) if (matching.test(name)) chosen[nameOf(name)] = value;
  };
  choose(labels, { names: options['labels'], pattern: options['labels-regex'] });
  choose(env, { names: options['env'], pattern: options['env-regex'] });
  return chosen;
}

/** The container's word for itself: a template, by default its short ID. Error: system, in the words of Go's templates. */
export function tagOf(subject: LogSubject, fallback: string, hostName: string): string {
  const template = subject.options['tag'] || fallback;
  try {
    return compileTemplate(template, { typeName: '*logger.Info', openMaps: new Set(['ExtraAttributes', 'ContainerLabels', 'Config']) })(tagData(subject, hostName));
  } catch (cause) {
    if (!(cause instanceof EngineError)) throw cause;
    throw refusal(messageOf(cause).replace('template: :', 'template: log-tag:').replace('executing ""', 'executing "log-tag"'), { cause });
  }
}

/** What a template may ask, fields and methods alike. */
function tagData(subject: LogSubject, hostName: string): Record<string, unknown> {
  const { id, name, image, argv } = subject;
  return {
    ID: id.slice(0, 12), FullID: id, Name: name, ImageID: image.id.slice(0, 12), ImageFullID: image.id, ImageName: image.name, DaemonName: 'docker', Command: argv.join(' '), Hostname: hostName,
    ExtraAttributes: () => extraAttributes(subject),
    Config: subject.options, ContainerID: id, ContainerName: `/${name}`, ContainerEntrypoint: argv[0] ?? '', ContainerArgs: argv.slice(1), ContainerImageID: image.id, ContainerImageName: image.name,
    ContainerEnv: subject.env, ContainerLabels: subject.labels,
  };
}

/** The reasons of Go's regexp for what both languages refuse. */
const REASONS: ReadonlyArray<readonly [RegExp, string]> = [
  [/Unterminated group/, 'missing closing )'], [/Unmatched '\)'/, 'unexpected )'], [/Nothing to repeat/, 'missing argument to repetition operator'], [/Unterminated character class/, 'missing closing ]'],
];

function expression(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    const said = messageOf(cause);
    throw refusal(`error parsing regexp: ${REASONS.find(([theirs]) => theirs.test(said))?.[1] ?? said}: \`${pattern}\``, { cause });
  }
}
