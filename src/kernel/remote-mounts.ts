// Mounts of file systems that are elsewhere: made by a child, since the kernel holds whoever asks until the server has answered.
import type { Mounts, RemoteMounts, Workers } from './index.ts';
import { systemError } from './sys.ts';

export type MountJob = Parameters<Mounts['mount']>[0];
export type MountAnswer = { done: true } | { failed: { code: string; message: string } };

export function openRemoteMounts(workers: Workers): RemoteMounts {
  return {
    async mount(what, { signal }) {
      const worker = workers.spawn('mount');
      const stop = () => worker.kill();
      signal.addEventListener('abort', stop, { once: true });
      try {
        if (signal.aborted) stop();
        await worker.send(Buffer.from(JSON.stringify(what), 'utf8')).catch(() => {}); // its last words say more
        worker.end();
        let answer: MountAnswer | undefined;
        for await (const line of worker.lines) answer ??= JSON.parse(line) as MountAnswer;
        const { code, signal: endedBy, stderr } = await worker.exited;
        if (answer && 'done' in answer) return;
        const failed = (errno: string, detail: string) => systemError(errno, { syscall: 'mount', detail: `${what.source} on ${what.target} (${detail})`, path: what.target });
        if (answer) throw Object.assign(new Error(answer.failed.message), { code: answer.failed.code, syscall: 'mount', path: what.target });
        throw signal.aborted ? failed('ETIMEDOUT', what.fsType) : failed('EIO', `its worker ended ${endedBy === null ? `with code ${code}` : `by ${endedBy}`}: ${stderr.trim()}`);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    },
  };
}
