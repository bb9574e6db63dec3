// A layer that comes as a delta: the decoder between its bytes and its tar, over the layers that it was made against.
//
// Runs in the extract worker, inside of the new layer's directory; files of the base are opened from outside, one at a time.
import { openDeltaLayer } from '../delta/rsync/layer.ts';
import { joinViews, type ByteView, type Decoder, type Output } from '../delta/bytes.ts';
import { openVaquitaPatch } from '../delta/vaquita/decode.ts';
import type { TarHandler } from '../archive/tar-read.ts';
import type { Files } from '../kernel/index.ts';
import type { Enclosure } from './enclosure.ts';
import type { DeltaJob } from './extract-protocol.ts';
import { openLayerView, openViewShare, type ViewShare } from './layer-view.ts';
import { MadeFiles, type Storing } from './made-files.ts';

export interface DeltaParts { files: Files; enclosure: Enclosure; extraction: Storing }

/** One delta being applied. */
export class Delta implements Disposable {
  /** What the layer's tar is to be told to. */
  readonly handler: TarHandler;
  readonly #job: DeltaJob;
  readonly #share: ViewShare;
  readonly #made: MadeFiles;

  constructor(job: DeltaJob, { files, enclosure, extraction }: DeltaParts) {
    this.#job = job;
    this.#share = openViewShare({ files, outside: (run) => enclosure.outside(run) });
    this.#made = new MadeFiles(this.#share);
    this.handler = job.format === 'vaquita' ? this.#made.noting(extraction) : extraction;
  }

  /** Reads what the base's layers are made of: those that are sure to be needed now, the others when they are. */
  open(output: Output): Decoder {
    switch (this.#job.format) {
      case 'rsync': return openDeltaLayer(joinViews(this.#job.base.map((layer) => openLayerView(layer, { share: this.#share }))), output);
      case 'vaquita': {
        const limits = { memoryBytes: this.#job.memoryBytes };
        return openVaquitaPatch({ source: this.#sources(), made: this.#made, output, limits });
      }
      default: return this.#job.format satisfies never;
    }
  }

  [Symbol.dispose](): void { this.#share[Symbol.dispose](); }

  #sources(): (diffId: string) => ByteView | undefined {
    const opened = new Map<string, ByteView>();
    return (diffId) => {
      const known = opened.get(diffId);
      const layer = this.#job.base.find((one) => one.diffId === diffId);
      if (known !== undefined || layer === undefined) return known;
      const view = openLayerView(layer, { share: this.#share });
      opened.set(diffId, view);
      return view;
    };
  }
}
