/**
 * How far to fetch ahead of readers that go through a file. As much as a reader has read in sequence, up to a window:
 * a random reader causes no fetch, and a short sequence at most as much again. Pure.
 */
import type { PageRun } from "../pageSet";

/** Pages asked for at once, so that one request brings them. */
const ASKED_PAGES = 512;
/** The kernel reads up to this ahead itself, and workers of one scan pass each other. */
const NEAR_PAGES = 256;
/** Fewer pages may be near each other by chance. */
const SEQUENCE_PAGES_MIN = 32;
/** Scans of a file that are followed; a parallel one reads several parts. */
const SEQUENCES_MAX = 4;

interface Sequence {
  /** Behind the last page that was read. */
  next: number;
  readPages: number;
  /** Behind the last page that was asked for. */
  asked: number;
}

export class ReadAhead {
  readonly #pageCount: number;
  readonly #windowPages: number;
  /** The last used first. */
  #sequences: Sequence[] = [];

  constructor(pageCount: number, windowPages: number) {
    this.#pageCount = pageCount;
    this.#windowPages = windowPages;
  }

  /** A reader reads pages. Returns what to fetch behind them now, at most `sparePages`; null for nothing. */
  after([first, last]: PageRun, sparePages: number): PageRun | null {
    const sequence = this.#sequences.find(({ next }) => first <= next + NEAR_PAGES && last + NEAR_PAGES >= next);
    if (sequence === undefined) {
      this.#follow({ next: last + 1, readPages: last + 1 - first, asked: last + 1 });
      return null;
    }
    this.#follow(sequence);
    // What it has read of them, and no page twice.
    sequence.readPages += Math.max(0, last + 1 - Math.max(first, sequence.next));
    sequence.next = Math.max(sequence.next, last + 1);
    return this.#ask(sequence, sparePages);
  }

  #ask(sequence: Sequence, sparePages: number): PageRun | null {
    if (sequence.readPages < SEQUENCE_PAGES_MIN) return null;
    const windowPages = Math.min(sequence.readPages, this.#windowPages);
    const begin = Math.max(sequence.asked, sequence.next);
    const end = Math.min(sequence.next + windowPages, begin + sparePages, this.#pageCount);
    const leastPages = Math.min(ASKED_PAGES, Math.ceil(windowPages / 2), this.#pageCount - begin);
    if (end - begin < Math.max(leastPages, 1)) return null;
    sequence.asked = end;
    return [begin, end - 1];
  }

  #follow(sequence: Sequence): void {
    this.#sequences = [sequence, ...this.#sequences.filter((other) => other !== sequence)].slice(0, SEQUENCES_MAX);
  }
}
