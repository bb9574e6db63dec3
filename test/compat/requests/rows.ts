// What a row of requests is: one HTTP request to both engines, and how the answers may differ.
import type { ContainerConfig, CreateBody, HostConfig } from '../../../src/wire/types.ts';

/**
 * The one way in which an answer differs on purpose; it must do so, or the row fails as well:
 * `words`: the same status, other words · `status`: both refuse, with another status · `refused here`: dockerd 20.10 takes it ·
 * `taken here`: dockerd 20.10 refuses it · `inspect`: these fields of the inspected container differ · `answer`: other successful answers.
 */
export interface Differs { how: 'words' | 'status' | 'refused here' | 'taken here' | 'inspect' | 'answer'; fields?: readonly string[]; why: string }

/** A container made with these fields, looked at and removed. `IMAGE`, `FULLIMAGE` and `BASE` (a container) are replaced in every text. */
export interface CreateRow { config?: Loose<ContainerConfig>; host?: Loose<HostConfig>; net?: unknown; name?: string; query?: string; version?: string; differs?: Differs }

/** Bad values have no type. */
type Loose<T> = { readonly [K in keyof T]?: unknown };

/** A request for itself. `body`: a text goes as it is, with `headers` alone. */
export interface AskRow { ask: string; body?: unknown; headers?: Readonly<Record<string, string>>; differs?: Differs }

/** With a restart policy, which Docker writes out since 25 and 20.10 does not. */
export const bodyOf = ({ config, host, net }: CreateRow): Loose<CreateBody> => ({
  Image: 'IMAGE', Cmd: ['true'], ...config, HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: 'no' }, ...host }, ...(net === undefined ? {} : { NetworkingConfig: net }),
});

export const GO_WORDS = "dockerd 20.10 has the words of Go's decoder and says 500";

export const differs = {
  words: (why: string): Differs => ({ how: 'words', why }),
  status: (why: string): Differs => ({ how: 'status', why }),
  refusedHere: (why: string): Differs => ({ how: 'refused here', why }),
  takenHere: (why: string): Differs => ({ how: 'taken here', why }),
  answer: (why: string): Differs => ({ how: 'answer', why }),
  fields: (why: string, ...fields: readonly string[]): Differs => ({ how: 'inspect', fields, why }),
  go: { how: 'status', why: GO_WORDS } as Differs,
};
