/** SHA-1 of WAL files by `<version>-<system id>/<name>`: some thirty bytes for a segment, where a map takes 300. */
import { SegmentNumbers } from "../../format/wal/segmentNumbers";
import { SEGMENT_NAME } from "../../format/wal/walSegment";
import type { NamedContents } from "../shared/namedWal";

const SHA1_SIZE_BYTES = 20;
const SHA1S_AT_ONCE = 1024;

export class NamedSha1s implements NamedContents {
  /** Positions in `#sha1s`, by cluster. */
  readonly #segments = new Map<string, SegmentNumbers>();
  readonly #sha1s: Buffer[] = [];
  #length = 0;
  readonly #others = new Map<string, string>();

  add(cluster: string, name: string, sha1: string): void {
    if (!SEGMENT_NAME.test(name)) {
      this.#others.set(`${cluster}/${name}`, sha1);
      return;
    }
    const segments = this.#segments.get(cluster) ?? new SegmentNumbers();
    this.#segments.set(cluster, segments);
    if (this.#length % SHA1S_AT_ONCE === 0) this.#sha1s.push(Buffer.allocUnsafeSlow(SHA1S_AT_ONCE * SHA1_SIZE_BYTES));
    this.#sha1s.at(-1)?.write(sha1, beginOf(this.#length), "hex");
    segments.set(name, this.#length++);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  get(key: string): string | undefined {
    const slash = key.lastIndexOf("/");
    const position = this.#segments.get(key.slice(0, slash))?.get(key.slice(slash + 1));
    if (position === undefined) return this.#others.get(key);
    const begin = beginOf(position);
    return this.#sha1s[Math.floor(position / SHA1S_AT_ONCE)]?.toString("hex", begin, begin + SHA1_SIZE_BYTES);
  }

  *keys(): Iterable<string> {
    for (const [cluster, segments] of this.#segments) for (const name of segments.keys()) yield `${cluster}/${name}`;
    yield* this.#others.keys();
  }
}

function beginOf(position: number): number {
  return (position % SHA1S_AT_ONCE) * SHA1_SIZE_BYTES;
}
