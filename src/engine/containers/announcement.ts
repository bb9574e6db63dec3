// Something that happens now and then, and those who wait for its next time.

/** Who stops waiting is forgotten: a container runs for months, and whoever asks for its logs leaves after seconds. */
export class Announcement<T> {
  readonly #waiting = new Set<(value: T) => void>();

  /** Resolves at the next time; rejects with the signal's reason when that comes first. Registered when it returns. */
  next(signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const hear = (value: T) => { signal?.removeEventListener('abort', leave); resolve(value); };
      const leave = () => { this.#waiting.delete(hear); reject(signal?.reason as Error); };
      this.#waiting.add(hear);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  tell(value: T): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const hear of waiting) hear(value);
  }
}
