/** Pieces that are of no more use, on their way out. A repository that lets nothing be removed is none the worse for it: `expire` tries again. */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import { removeChunk } from "../../repository/streamStore";
import { repoErrorLine } from "../shared/results";

/** After a failure. */
const PAUSE_MS = 30_000;
/** What is more than this is left to `expire`. */
const PIECES_MAX = 10_000;

export class Leftovers {
  readonly #repo: Repository;
  readonly #ctx: Context;
  #pieces: StreamChunk[] = [];
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #isTold = false;

  constructor(repo: Repository, ctx: Context) {
    this.#repo = repo;
    this.#ctx = ctx;
  }

  add(pieces: readonly StreamChunk[]): void {
    this.#pieces = [...this.#pieces, ...pieces].slice(-PIECES_MAX);
  }

  /** Removes them; what fails is told once and tried again later. */
  async clear(archiveId: string): Promise<void> {
    const { clock, log, signal } = this.#ctx;
    if (clock.monotonicMs() < this.#nextAtMs) return;
    try {
      for (let piece = this.#pieces[0]; piece !== undefined && !signal.aborted; piece = this.#pieces[0]) {
        await removeChunk(this.#repo, archiveId, piece);
        this.#pieces = this.#pieces.slice(1);
      }
      this.#isTold = false;
    } catch (thrown) {
      this.#nextAtMs = clock.monotonicMs() + PAUSE_MS;
      const text = `streamed WAL that is archived cannot be removed yet: ${repoErrorLine(this.#repo.key, toBackupError(thrown))}`;
      if (this.#isTold) log.detail(text);
      else log.warn(text);
      this.#isTold = true;
    }
  }
}
