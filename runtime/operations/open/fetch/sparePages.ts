/** The pages that may be under way at a time though no reader waits for them: they bound the memory of fetches. */
export class SparePages {
  #free: number;
  readonly #waiting: { readonly count: number; readonly start: () => void }[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  get free(): number {
    return this.#waiting.length > 0 ? 0 : this.#free;
  }

  /** Runs `work` when so many pages are free, in order. */
  async use<T>(count: number, work: () => Promise<T>): Promise<T> {
    if (this.free >= count) this.#free -= count;
    else await new Promise<void>((start) => this.#waiting.push({ count, start }));
    try {
      return await work();
    } finally {
      this.#free += count;
      this.#startWaiting();
    }
  }

  #startWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.count <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.count;
      next.start();
    }
  }
}
