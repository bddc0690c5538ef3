/**
 * Reads many extents of one stored file together: a bundle costs one request instead of one per file.
 *
 * A short gap between two extents is read and discarded; after a long one a new request begins.
 */
import { type ByteStream, concatBytes } from "../base/bytes";
import { fail } from "../base/errors";
import type { Storage } from "../storage/storage";

export interface Extent {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** A gap that is cheaper to read than a new request. */
const GAP_SIZE_BYTES_MAX = 256 * 1024;

/**
 * The stored bytes of each extent, ascending by offset. Memory holds one extent.
 * @throws fileMissing, fileRead when the file ends early
 */
export async function* readExtents<E extends Extent>(
  storage: Storage,
  path: string,
  extents: readonly E[],
): AsyncIterable<{ readonly extent: E; readonly bytes: Uint8Array }> {
  for (const run of runsOf(extents)) {
    const [first] = run;
    const last = run.at(-1);
    if (first === undefined || last === undefined) continue;
    const begin = first.offsetBytes;
    const cutter = new Cutter(
      await storage.read(path, { offsetBytes: begin, sizeBytes: last.offsetBytes + last.sizeBytes - begin }),
      begin,
    );
    try {
      for (const extent of run) yield { extent, bytes: await cutter.take(extent, path) };
    } finally {
      await cutter.close();
    }
  }
}

/** Runs of extents, one request each. Pure. */
export function runsOf<E extends Extent>(extents: readonly E[]): E[][] {
  const runs: E[][] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const extent of [...extents].sort((left, right) => left.offsetBytes - right.offsetBytes)) {
    const isNear = extent.offsetBytes >= end && extent.offsetBytes - end <= GAP_SIZE_BYTES_MAX;
    if (isNear) runs.at(-1)?.push(extent);
    else runs.push([extent]);
    end = extent.offsetBytes + extent.sizeBytes;
  }
  return runs;
}

/** Cuts ascending extents out of a stream that begins at an offset. */
class Cutter {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #offsetBytes: number;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(stream: ByteStream, offsetBytes: number) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#offsetBytes = offsetBytes;
  }

  async take(extent: Extent, path: string): Promise<Uint8Array> {
    await this.#collect(extent.offsetBytes - this.#offsetBytes, path);
    return this.#collect(extent.sizeBytes, path);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #collect(sizeBytes: number, path: string): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let missingBytes = sizeBytes;
    while (missingBytes > 0) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) throw fail("fileRead", `'${path}' ends ${missingBytes} bytes early`, { path });
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, missingBytes);
      this.#rest = this.#rest.subarray(part.length);
      missingBytes -= part.length;
      parts.push(part);
    }
    this.#offsetBytes += sizeBytes;
    return concatBytes(parts);
  }
}
