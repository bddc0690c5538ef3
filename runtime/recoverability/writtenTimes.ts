/**
 * When servers wrote their timelines, by the records in the archived WAL. Only this tells an old primary, which
 * archives its last WAL after a failover, from a server that goes on beside the new one. Reads a few segments, and
 * only in an archive with several living branches.
 */
import { collect } from "../base/bytes";
import { fail, toBackupError } from "../base/errors";
import { LIMITS } from "../base/limits";
import { recordTimeUs } from "../format/wal/recordTime";
import { WalReader } from "../format/wal/walReader";
import { DIRECTORY_LENGTH, segmentOfLsn } from "../format/wal/walSegment";
import { openWal, type StoredWal } from "../repository/walStore";
import { AT_WORK_MS, forkOf, type History, historyOf, outlives, pathOf, type StoredTimeline } from "./branches";
import type { RepoArchive, Warn } from "./loadHistory";

/** Segments without a time that are passed on the way back to the last one. */
const QUIET_SEGMENTS_MAX = 4;

/** The history, with the times that may decide between its living branches. Never throws for a repository. */
export async function withWrittenTimes(
  history: History,
  archives: readonly RepoArchive[],
  warn: Warn,
): Promise<History> {
  const living = history.branches.filter(({ isLiving }) => isLiving);
  if (!living.some((end) => living.some((other) => outlives(other, end, AT_WORK_MS)))) return history;
  const paths = living.map(pathOf);
  const isPart = ({ timeline }: StoredTimeline): boolean =>
    paths.some((path) => path.includes(timeline)) && !paths.every((path) => path.includes(timeline));
  const isEnd = ({ timeline }: StoredTimeline): boolean => living.some((branch) => branch.timeline === timeline);
  const { segmentSizeBytes } = history;
  const stored: StoredTimeline[] = [];
  for (const own of history.stored) {
    const firstMs = isPart(own) ? await firstWrittenMs(own, archives, segmentSizeBytes, warn) : null;
    const lastMs = isEnd(own) ? await lastWrittenMs(own, archives, warn) : null;
    stored.push({ ...own, written: { firstMs, lastMs } });
  }
  return historyOf(stored, segmentSizeBytes);
}

/** The time of the first record after the fork; null without the segment of the fork, which has it. */
async function firstWrittenMs(
  own: StoredTimeline,
  archives: readonly RepoArchive[],
  segmentSizeBytes: number,
  warn: Warn,
): Promise<number | null> {
  const fork = forkOf(own);
  if (fork === null) return null;
  const name = segmentOfLsn(own.timeline, fork.lsn, segmentSizeBytes);
  for (const archive of archives) {
    const listed = await listing(archive, name.slice(0, DIRECTORY_LENGTH), warn);
    for (const stored of listed.filter((each) => each.name === name)) {
      const [first] = (await timesIn(archive, stored, fork.lsn, warn)) ?? [];
      if (first !== undefined) return first;
    }
  }
  return null;
}

/** The newest time in the newest segments that have one, in any repository. */
async function lastWrittenMs(
  { newest }: StoredTimeline,
  archives: readonly RepoArchive[],
  warn: Warn,
): Promise<number | null> {
  if (newest === null) return null;
  for (const archive of archives) {
    const listed = await listing(archive, newest.slice(0, DIRECTORY_LENGTH), warn);
    if (listed.at(-1)?.name !== newest) continue;
    for (const stored of listed.slice(-QUIET_SEGMENTS_MAX).reverse()) {
      const times = await timesIn(archive, stored, 0n, warn);
      if (times === null) break;
      if (times.length > 0) return times.reduce((last, timeMs) => Math.max(last, timeMs));
    }
  }
  return null;
}

async function listing(
  { archiveId, facts }: RepoArchive,
  directory: string,
  warn: Warn,
): Promise<readonly StoredWal[]> {
  return facts.segmentsIn(archiveId, directory).catch((error: unknown) => {
    warn(`${facts.repo.name}: unable to list WAL: ${toBackupError(error).message}`);
    return [];
  });
}

/** Milliseconds since 1970 in the records from a position on, in order; null unless the whole segment is readable. */
async function timesIn(
  { archiveId, facts }: RepoArchive,
  stored: StoredWal,
  from: bigint,
  warn: Warn,
): Promise<number[] | null> {
  const { repo } = facts;
  try {
    const pass = repo.cipherPass === null ? null : ((await facts.archiveInfo()).cipherPass ?? null);
    const bytes = await collect(await openWal(repo, archiveId, stored, pass), LIMITS.walSegmentSizeBytesMax);
    const reader = new WalReader();
    const times: number[] = [];
    for (const record of reader.read(bytes)) {
      const timeUs = record.lsn < from ? null : recordTimeUs(record, Number.parseInt(archiveId, 10));
      if (timeUs !== null) times.push(Number(timeUs / 1000n));
    }
    // What follows the fault may be newer.
    if (reader.problem !== null) throw fail("format", reader.problem);
    return times;
  } catch (error) {
    warn(`${repo.name}: unable to read the times in '${stored.fileName}': ${toBackupError(error).message}`);
    return null;
  }
}
