/**
 * A number for each of many segments, in four bytes: as a map of names they would take a hundred. Numbers lie in one
 * array for each directory of an archive.
 */
import { DIRECTORY_LENGTH, SEGMENT_LENGTH } from "./walSegment";

/** Segments of 16 MiB in a directory, and of 1 MiB, the smallest. */
const USUAL_COUNT = 256;
const COUNT_MAX = 4096;

export class SegmentNumbers {
  /** Each number and one; 0 is absent. */
  readonly #directories = new Map<string, Uint32Array>();
  /** Those of names that no size of segments has. */
  readonly #others = new Map<string, number>();

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  get(name: string): number | undefined {
    const at = positionOf(name);
    if (at === null) return this.#others.get(name);
    const number = this.#directories.get(name.slice(0, DIRECTORY_LENGTH))?.[at] ?? 0;
    return number === 0 ? undefined : number - 1;
  }

  /** `number` is below 2^32 - 1. */
  set(name: string, number: number): void {
    const at = positionOf(name);
    if (at === null) this.#others.set(name, number);
    else this.#directoryOf(name.slice(0, DIRECTORY_LENGTH), at)[at] = number + 1;
  }

  /** The names, ascending. */
  *keys(): Iterable<string> {
    const others = [...this.#others.keys()].sort();
    let next = 0;
    for (const directory of [...this.#directories.keys()].sort()) {
      for (let other = others[next]; other !== undefined && other < directory; other = others[++next]) yield other;
      for (const [at, number] of (this.#directories.get(directory) as Uint32Array).entries())
        if (number !== 0) yield nameOf(directory, at);
    }
    yield* others.slice(next);
  }

  #directoryOf(directory: string, at: number): Uint32Array {
    const known = this.#directories.get(directory);
    if (known !== undefined && at < known.length) return known;
    const made = new Uint32Array(at < USUAL_COUNT ? USUAL_COUNT : COUNT_MAX);
    if (known !== undefined) made.set(known);
    this.#directories.set(directory, made);
    return made;
  }
}

function positionOf(name: string): number | null {
  const at = Number.parseInt(name.slice(DIRECTORY_LENGTH), 16);
  return name.length === SEGMENT_LENGTH && at < COUNT_MAX ? at : null;
}

function nameOf(directory: string, at: number): string {
  return `${directory}${at
    .toString(16)
    .toUpperCase()
    .padStart(SEGMENT_LENGTH - DIRECTORY_LENGTH, "0")}`;
}
