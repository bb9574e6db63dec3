// Fills a volume from an image: what is quickly done here, the rest in a worker.
import { closeSync, fstatSync, readdirSync } from 'node:fs';
import type { Kernel } from '../kernel/index.ts';
import { EngineError, type Kind } from '../lib/errors.ts';
import { dressLike } from './copy-tree.ts';
import type { TreeCopy } from './volumes.ts';

export interface CopyJob { rootfs: string; path: string; into: string; onlyIfEmpty?: boolean; unlessOrphaned?: boolean }
export type CopyAnswer = { done: true } | { failed: { kind: Kind; code: string | undefined; message: string } };

export function openTreeCopy({ files, workers }: Pick<Kernel, 'files' | 'workers'>): TreeCopy {
  return {
    look(rootfs, path) {
      const source = files.openInRoot(rootfs, path);
      if (source === undefined) return 'nothing';
      try {
        if (!fstatSync(source).isDirectory()) return 'file';
        return readdirSync(`/proc/self/fd/${source}`).length > 0 ? 'files' : 'empty';
      } finally { closeSync(source); }
    },
    dress({ rootfs, path, into }) {
      const source = files.openInRoot(rootfs, path);
      if (source === undefined) return;
      try { dressLike(files, { from: `/proc/self/fd/${source}`, to: into }); } finally { closeSync(source); }
    },
    async copy(job) {
      const worker = workers.spawn('copy');
      await worker.send(Buffer.from(JSON.stringify(job), 'utf8')).catch(() => {}); // its last words say more
      worker.end();
      let answer: CopyAnswer | undefined;
      for await (const line of worker.lines) if (line !== '') answer ??= JSON.parse(line) as CopyAnswer;
      const { code, signal, stderr } = await worker.exited;
      if (!answer) throw new EngineError('system', `copy worker (process ${worker.pid}) ended ${signal === null ? `with code ${code}` : `by ${signal}`}: ${stderr.trim()}`);
      if ('failed' in answer) throw new EngineError(answer.failed.kind, answer.failed.message, { cause: Object.assign(new Error(answer.failed.message), { code: answer.failed.code }) });
    },
  };
}
