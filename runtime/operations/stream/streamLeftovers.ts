/**
 * Removes chunks that are no longer needed. If a repository forbids deletes, that is harmless: `expire` tries again
 * later.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import { removeChunk } from "../../repository/streamStore";
import { repoErrorLine } from "../shared/results";

/** Pause after a failure. */
const PAUSE_MS = 30_000;
/** Concurrent removals. Enough to remove chunks faster than a prompt repository's uploads create them. */
const AT_ONCE = 8;
/** `expire` removes anything beyond this number. */
const PIECES_MAX = 10_000;

export class Leftovers {
  readonly #repo: Repository;
  readonly #ctx: Context;
  #pieces: StreamChunk[] = [];
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #isReported = false;

  constructor(repo: Repository, ctx: Context) {
    this.#repo = repo;
    this.#ctx = ctx;
  }

  add(pieces: readonly StreamChunk[]): void {
    this.#pieces = [...this.#pieces, ...pieces].slice(-PIECES_MAX);
  }

  /** Removes them; reports a failure once and retries later. */
  async clear(archiveId: string): Promise<void> {
    const { clock, log, signal } = this.#ctx;
    if (clock.monotonicMs() < this.#nextAtMs) return;
    try {
      while (this.#pieces.length > 0 && !signal.aborted) {
        const batch = this.#pieces.slice(0, AT_ONCE);
        const results = await Promise.allSettled(batch.map((piece) => removeChunk(this.#repo, archiveId, piece)));
        const refused = batch.filter((_piece, index) => results[index]?.status === "rejected");
        // To the end: a backup host may keep some for a time, and allow the removal of others.
        this.#pieces = [...this.#pieces.filter((piece) => !batch.includes(piece)), ...refused];
        for (const result of results) if (result.status === "rejected") throw result.reason;
      }
      this.#isReported = false;
    } catch (thrown) {
      this.#nextAtMs = clock.monotonicMs() + PAUSE_MS;
      const text = `unable to remove streamed WAL that is archived: ${repoErrorLine(this.#repo.key, toBackupError(thrown))}`;
      if (this.#isReported) log.detail(text);
      else log.warn(text);
      this.#isReported = true;
    }
  }
}
