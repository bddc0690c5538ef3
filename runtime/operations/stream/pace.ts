/** Sizes and times of a stream worker. */
export const PACE = {
  /** A chunk: the unit of an upload. */
  chunkSizeBytesMax: 8 * 1024 * 1024,
  /** After this number of chunks a segment's chunks are merged, unless the segment is larger than this. */
  piecesMax: 32,
  mergedSizeBytesMax: 16 * 1024 * 1024,
  pauseMsMax: 60_000,
  /** How often to look for segments that another process has archived, also before the agent started. */
  lookMs: 30_000,
  /** Uploads of a prompt repository at the same time. */
  uploadsMax: 4,
  /** How fast the expected duration of an upload follows longer ones. */
  uploadGrowth: 1.25,
  promptPauseMs: 200,
  promptPauseMsMax: 5000,
  /** How often a prompt repository's chunks are tidied up alongside the uploads. */
  tidyMs: 1000,
  /** {@link lookMs} while a commit may wait for WAL that another process archives. */
  promptLookMs: 5000,
  /**
   * A commit is confirmed only if the repository has shown within this time that it still has what was stored before.
   * At half of it the next look begins, so that commits seldom wait for one.
   */
  proofMs: 10_000,
  /** {@link proofMs} for a position that is only reported; that look needs no new WAL. */
  shownMs: 60_000,
} as const;
