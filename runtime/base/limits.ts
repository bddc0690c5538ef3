/** Limits of queues, loops and buffers: everything that could grow without end has its limit here. */
export const LIMITS = {
  /** Read size for sources whose chunks are kept. */
  chunkSizeBytes: 1024 * 1024,
  /** Small files that one worker copies at the same time: hides an object store's latency. */
  filesPerWorker: 4,
  /** Segments that one archive-push call may push ahead. */
  lookAheadSegments: 64,
  /** WAL files that a push queue holds at the same time; the rest waits in its directory. */
  queueFiles: 1024,
  /** Largest file that is loaded whole. */
  wholeFileSizeBytesMax: 1024 * 1024 * 1024,
  /** Largest manifest, which is read and written as a stream: 60 million files. Memory ends before. */
  manifestSizeBytesMax: 16 * 1024 * 1024 * 1024,
  /** Largest info file, and every other small file of a repository: 100,000 backups fit. */
  infoFileSizeBytesMax: 128 * 1024 * 1024,
  /** PostgreSQL's largest WAL segment. */
  walSegmentSizeBytesMax: 1024 * 1024 * 1024,
  /** Largest file of the WAL archive that is no segment: timeline histories and backup labels. */
  walTextSizeBytesMax: 16 * 1024 * 1024,
  /** Attempts of one idempotent request before its error is final. */
  requestAttempts: 6,
} as const;
export type Limits = typeof LIMITS;

/** PostgreSQL's default size of a WAL segment. It counts where nothing shows the real size. */
export const WAL_SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;

/**
 * Environment of processes that run for hours beside a server: glibc's allocator has one arena, maps larger buffers on
 * their own, and returns free memory to the system. (mallopt(3).)
 */
export const SMALL_ALLOCATOR = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "262144",
  MALLOC_TRIM_THRESHOLD_: "262144",
} as const;
