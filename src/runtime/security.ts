// --security-opt: what guards a container, decided when it is created, in Docker's words and as Docker's record keeps it. Pure.
import { invalid } from '../lib/errors.ts';
import { parseTruth } from '../wire/truth.ts';
import type { HostConfig } from '../wire/types.ts';
import { decideLabels, type LabelContexts } from './labels.ts';

/** The names of the record's fields, in our letters. */
export interface Security {
  noNewPrivileges: boolean;
  /** A profile in Docker's format, 'unconfined', 'builtin', or '' for the daemon's default. */
  seccompProfile: string;
  /** Where the kernel has no AppArmor, what was asked for: it means nothing there. */
  apparmorProfile: string;
  /** SELinux: '' where it is off, here or in the kernel. */
  processLabel: string;
  mountLabel: string;
}

export const NO_SECURITY: Security = { noNewPrivileges: false, seccompProfile: '', apparmorProfile: '', processLabel: '', mountLabel: '' };

/** Names are Docker's: scripts and other engines on the machine know them. */
const DEFAULT_APPARMOR = 'docker-default';
const UNCONFINED = 'unconfined';

export interface SecurityGiven {
  apparmor: boolean;
  /** undefined where SELinux is off. */
  selinux: LabelContexts | undefined;
  /** The daemon's --no-new-privileges. */
  noNewPrivileges: boolean;
  /** Two numbers below 1024 that tell this container's files from another's. */
  categories: () => readonly [number, number];
}

/** Error: invalid, `invalid --security-opt 1: "…"` for one without a value, 2 for one that nobody knows. */
export function decideSecurity(host: Pick<HostConfig, 'SecurityOpt' | 'Privileged'>, given: SecurityGiven): Security {
  const asked = parseSecurity(host.SecurityOpt ?? []);
  const labels = decideLabels(asked.labels, given.selinux, given.categories);
  const apparmor = host.Privileged ? UNCONFINED : asked.apparmor || DEFAULT_APPARMOR;
  return {
    noNewPrivileges: asked.noNewPrivileges ?? given.noNewPrivileges, seccompProfile: asked.seccomp, apparmorProfile: given.apparmor ? apparmor : asked.apparmor,
    processLabel: labels.process, mountLabel: labels.mount,
  };
}

interface Asked { noNewPrivileges: boolean | undefined; seccomp: string; apparmor: string; labels: string[] }

/** "key=value", in old clients "key:value". */
function parseSecurity(options: readonly string[]): Asked {
  const asked: Asked = { noNewPrivileges: undefined, seccomp: '', apparmor: '', labels: [] };
  for (const option of options) {
    if (option === 'no-new-privileges') { asked.noNewPrivileges = true; continue; }
    if (option === 'disable') { asked.labels.push('disable'); continue; }
    const at = option.includes('=') ? option.indexOf('=') : option.indexOf(':');
    if (at < 0) throw invalid(`invalid --security-opt 1: ${JSON.stringify(option)}`);
    const value = option.slice(at + 1);
    switch (option.slice(0, at)) {
      case 'label': asked.labels.push(value); break;
      case 'apparmor': asked.apparmor = value; break;
      case 'seccomp': asked.seccomp = value; break;
      case 'no-new-privileges': asked.noNewPrivileges = parseBool(value, option); break;
      default: throw invalid(`invalid --security-opt 2: ${JSON.stringify(option)}`);
    }
  }
  return asked;
}

function parseBool(value: string, option: string): boolean {
  const truth = parseTruth(value);
  if (truth === undefined) throw invalid(`invalid --security-opt 2: ${JSON.stringify(option)}`);
  return truth;
}
