// What the local driver takes: names, its options and what they mean for mount(2). Pure.
import { MOUNT_FLAGS } from '../../kernel/index.ts';
import { invalid } from '../../lib/errors.ts';
import type { LocalMount } from '../../store/index.ts';
import type { StringMap } from '../../wire/types.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const OPTIONS = ['type', 'o', 'device', 'size'];
/** None of these means anything without the others. */
const NEEDS: ReadonlyArray<readonly [option: string, needed: readonly string[]]> = [['device', ['type']], ['type', ['device']], ['o', ['device', 'type']]];

export function assertVolumeName(name: string): void {
  if (Buffer.byteLength(name) === 1) throw invalid('volume name is too short, names should be at least two alphanumeric characters');
  if (!NAME.test(name)) throw invalid(`"${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`);
}

export function assertLocalOptions(options: Readonly<StringMap>): void {
  for (const option of Object.keys(options)) if (!OPTIONS.includes(option)) throw invalid(`invalid option: "${option}"`);
  for (const [option, needed] of NEEDS) {
    const missing = options[option] === undefined ? undefined : needed.find((one) => options[one] === undefined);
    if (missing !== undefined) throw invalid(`missing required option: "${missing}"`);
  }
  const { size } = options;
  if (size === undefined) return;
  if (!/^(\d+(?:\.\d+)*) ?([kKmMgGtTpP])?[iI]?[bB]?$/.test(size)) throw invalid(`invalid size: '${size}'`);
  throw invalid('quota size requested but no quota support');
}

/** Words of mount(8) that are flags of mount(2): what each sets and what it clears. Source: the two manual pages. */
const FLAG_WORDS: Readonly<Record<string, { set?: number; clear?: number }>> = {
  defaults: {}, ro: { set: MOUNT_FLAGS.readOnly }, rw: { clear: MOUNT_FLAGS.readOnly }, suid: { clear: MOUNT_FLAGS.noSuid }, nosuid: { set: MOUNT_FLAGS.noSuid },
  dev: { clear: MOUNT_FLAGS.noDev }, nodev: { set: MOUNT_FLAGS.noDev }, exec: { clear: MOUNT_FLAGS.noExec }, noexec: { set: MOUNT_FLAGS.noExec },
  sync: { set: MOUNT_FLAGS.synchronous }, async: { clear: MOUNT_FLAGS.synchronous }, dirsync: { set: MOUNT_FLAGS.dirSync }, remount: { set: MOUNT_FLAGS.remount },
  mand: { set: MOUNT_FLAGS.mandatoryLocks }, nomand: { clear: MOUNT_FLAGS.mandatoryLocks }, atime: { clear: MOUNT_FLAGS.noAtime }, noatime: { set: MOUNT_FLAGS.noAtime },
  diratime: { clear: MOUNT_FLAGS.noDirAtime }, nodiratime: { set: MOUNT_FLAGS.noDirAtime }, bind: { set: MOUNT_FLAGS.bind }, rbind: { set: MOUNT_FLAGS.bind | MOUNT_FLAGS.recursive },
  relatime: { set: MOUNT_FLAGS.relAtime }, norelatime: { clear: MOUNT_FLAGS.relAtime }, strictatime: { set: MOUNT_FLAGS.strictAtime }, nostrictatime: { clear: MOUNT_FLAGS.strictAtime },
};

/** Which flag a word is about, whether it sets or clears it; undefined for any other word. */
export function flagKeyOf(word: string): string | undefined {
  const flag = Object.hasOwn(FLAG_WORDS, word) ? FLAG_WORDS[word] : undefined;
  const bits = flag?.set ?? flag?.clear;
  return bits === undefined ? undefined : `flag ${bits}`;
}

const { unbindable, private: isolated, slave, shared, recursive } = MOUNT_FLAGS;
const PROPAGATION_WORDS: Readonly<Record<string, number>> = {
  unbindable, runbindable: unbindable | recursive, private: isolated, rprivate: isolated | recursive, slave, rslave: slave | recursive, shared, rshared: shared | recursive,
};

export interface MountCall { flags: number; propagation: number; data: string }

/** `ro,bind,size=1m` → what mount(2) takes: flags, a change of propagation that needs a call of its own, and the words left for the file system. */
export function mountCallOf({ options }: Pick<LocalMount, 'options'>): MountCall {
  const call = { flags: 0, propagation: 0 };
  const data: string[] = [];
  for (const word of options.split(',')) {
    const flag = Object.hasOwn(FLAG_WORDS, word) ? FLAG_WORDS[word] : undefined;
    const propagation = Object.hasOwn(PROPAGATION_WORDS, word) ? PROPAGATION_WORDS[word] : undefined;
    if (flag) call.flags = (call.flags & ~(flag.clear ?? 0)) | (flag.set ?? 0);
    else if (propagation !== undefined) call.propagation = propagation;
    else if (word !== '') data.push(word);
  }
  return { ...call, data: data.join(',') };
}
