/** Bounds of queues, loops and buffers. Everything that could grow without end has its number here. */
export const LIMITS = {
  /** Bytes that a source is read in where its chunks are kept. */
  chunkSizeBytes: 1024 * 1024,
  /** Chunks that a slow repository may have waiting before the source is held. */
  targetQueueChunks: 4,
  /** Small files that one worker copies at the same time: hides the latency of an object store. */
  filesPerWorker: 4,
  /** Segments that one archive-push call looks ahead for. */
  lookAheadSegments: 64,
  /** WAL files that a push queue knows of at the same time; the rest waits in its directory. */
  queueFiles: 1024,
  /** Largest file that is loaded as a whole: info files, manifests, history files. */
  wholeFileSizeBytesMax: 1024 * 1024 * 1024,
  /** Attempts of one idempotent request before its error is final. */
  requestAttempts: 6,
} as const;
export type Limits = typeof LIMITS;
