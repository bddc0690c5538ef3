/**
 * Provides the streamed start of a segment that was never archived: a recovery replays it at the end of the archive.
 *
 * Only a recovery that ends there gets it (`recovery.signal` without `standby.signal`): a standby would take it for the
 * complete segment and never ask again. First every repository must have answered that no archive has the complete
 * segment. Zeros fill it up to the segment size, as in a segment that PostgreSQL is writing. Recovery ends at the last
 * complete record and continues on a new timeline in its own copy.
 */
import { type FileHandle, open, rename, rm } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { bySession, reachOf } from "../../format/wal/streamChunk";
import { parseHistory } from "../../format/wal/timeline";
import {
  formatLsn,
  lsnOfSegment,
  SEGMENT_NAME,
  segmentOfLsn,
  historyName,
  timelineOf,
} from "../../format/wal/walSegment";
import { isSpecialFile } from "../../local/atomicWrite";
import { nullIfMissing } from "../../local/systemError";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { listChunks } from "../../repository/streamStore";
import { findWal } from "../../repository/walStore";
import { provenWithout } from "../archiveGet/absence";
import { type Doubt, inDoubt, inTime } from "../archiveGet/archiveGet";
import { readHistory } from "../../repository/historyFile";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { repoErrorLine } from "../shared/results";
import { archivesAlways } from "./archiveMode";
import { type Joined, type JoinTarget, joinPieces, type PieceSource } from "./join";

export interface PartialOptions {
  readonly walName: string;
  /** Absolute path. */
  readonly destination: string;
  readonly cluster: ClusterIdentity;
  readonly segmentSizeBytes: number;
  /**
   * How long a repository is asked again whose streamed WAL cannot be read. Null skips it with a warning: the recovery
   * may end without it.
   */
  readonly timeoutMs: number | null;
}

export interface Recovery {
  readonly dataDirectory: string;
  /** True when a file of this name is in the data directory. */
  exists(name: string): Promise<boolean>;
}

/**
 * For a segment that no archive has: {@link getPartial} if the recovery may have it, then the archive again, because a
 * living server may have archived the complete segment in the meantime. True when either is at the destination.
 * @throws errors of `getWhole`; `inDoubt` if a repository could not be read that may hold more
 */
export async function getLast(
  repos: readonly Repository[],
  options: PartialOptions,
  recovery: Recovery,
  getWhole: () => Promise<boolean>,
  ctx: Context,
): Promise<boolean> {
  if (
    !SEGMENT_NAME.test(options.walName) ||
    !(await recovery.exists("recovery.signal")) ||
    (await recovery.exists("standby.signal"))
  )
    return false;
  // A recovery never writes to a device or a pipe.
  if (await isSpecialFile(options.destination)) return false;
  const attempt = (): Promise<boolean> => getPartial(repos, options, ctx);
  if (!(await (options.timeoutMs === null ? attempt() : inTime(attempt, options.timeoutMs, ctx)))) return false;
  if (await getWhole()) return true;
  // PostgreSQL reads this part alone, although pg_wal may have more: `recover` keeps the old server's WAL there.
  if (await goesOnIn(`${recovery.dataDirectory}/pg_wal/${options.walName}`, options.destination)) {
    ctx.log.info(`${options.walName} in pg_wal has all that was streamed, and more`);
    await rm(options.destination, { force: true });
    return false;
  }
  if (!(await archivesAlways(recovery.dataDirectory))) return true;
  ctx.log.warn(
    `${options.walName} is skipped: with archive_mode = always the server would archive it as a complete segment`,
  );
  await rm(options.destination, { force: true });
  return false;
}

const COMPARED_BYTES = 1024 * 1024;

/** True if `own` begins with what `part` has before its zeros, and does not end there. */
async function goesOnIn(own: string, part: string): Promise<boolean> {
  if (own === part) return false;
  const handles = await Promise.all([own, part].map((path) => nullIfMissing(open(path, "r"))));
  try {
    const [longer, shorter] = handles;
    if (longer == null || shorter == null) return false;
    let goesOn = false;
    for (let at = 0; ; at += COMPARED_BYTES) {
      const [more, less] = await Promise.all([readAt(longer, at), readAt(shorter, at)]);
      if (more.length !== less.length) return false;
      if (more.length === 0) return goesOn;
      const from = goesOn ? 0 : less.findIndex((byte, index) => byte !== more[index]);
      if (from === -1) continue;
      if (less.subarray(from).some((byte) => byte !== 0)) return false;
      goesOn = true;
    }
  } finally {
    for (const handle of handles) await handle?.close();
  }
}

async function readAt(handle: FileHandle, at: number): Promise<Buffer> {
  const bytes = Buffer.alloc(COMPARED_BYTES);
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, at);
  return bytes.subarray(0, bytesRead);
}

/** True when a part of the segment was streamed and is now at `destination`. @throws as {@link getLast} */
async function getPartial(repos: readonly Repository[], options: PartialOptions, ctx: Context): Promise<boolean> {
  const { cluster, destination, segmentSizeBytes, timeoutMs, walName } = options;
  const sources: PieceSource[] = [];
  const unread: Doubt[] = [];
  for (const result of await perRepo(repos, (repo) => findSessions(repo, options))) {
    if (result.ok) sources.push(...result.value);
    else {
      unread.push(result);
      ctx.log.warn(`streamed WAL: ${repoErrorLine(result.repoIndex, result.error)}`);
    }
  }
  if (sources.length === 0 && unread.length === 0) return false;
  const temporary = `${destination}.pgbackrest.tmp`;
  const handle = await open(temporary, "w+", 0o600);
  const target: JoinTarget = {
    holds: (at, wal) => holds(handle, at, wal),
    write: (at, wal) => writeAt(handle, at, wal),
  };
  let joined: Joined = { sizeBytes: 0, last: null, unread: [] };
  let isKept = false;
  try {
    joined = await joinPieces(target, sources, { systemId: cluster.systemId, segmentSizeBytes }, ctx);
    unread.push(...joined.unread);
    // A repository that was not read may hold commits after the joined bytes.
    if (timeoutMs !== null && unread.length > 0 && joined.sizeBytes < segmentSizeBytes) {
      const readable = repos.filter(({ key }) => unread.every(({ repoIndex }) => repoIndex !== key));
      throw inDoubt(`${walName} was streamed further`, unread, () => provenWithout(readable, options));
    }
    await handle.truncate(segmentSizeBytes);
    isKept = joined.last !== null && (await findLongerParent(repos, options, joined.sizeBytes)) === null;
  } finally {
    await handle.close();
    if (!isKept) await rm(temporary, { force: true });
  }
  if (joined.last === null) return false;
  if (!isKept) {
    ctx.log.info(`${walName} was streamed only up to a place before its timeline began: the one before has more`);
    return false;
  }
  await rename(temporary, destination);
  const { archive, repo } = joined.last;
  const lsn = lsnOfSegment(walName, segmentSizeBytes) + BigInt(joined.sizeBytes);
  ctx.log.info(`found ${walName} up to ${formatLsn(lsn)} in the ${repo.name}: ${archive.archiveId} stream`);
  return true;
}

/**
 * The segment of the timeline before, if this one begins within `options.walName` and after its first `sizeBytes`, and
 * the other one has more of them. Both begin with the same bytes. PostgreSQL asks for it only if this one is absent,
 * and would take the zeros after this one's start for the end.
 */
export async function findLongerParent(
  repos: readonly Repository[],
  { cluster, segmentSizeBytes, walName }: Pick<PartialOptions, "cluster" | "segmentSizeBytes" | "walName">,
  sizeBytes: number,
): Promise<string | null> {
  const timeline = timelineOf(walName);
  if (timeline === 1) return null;
  const looked = await perRepo(repos, async (repo): Promise<string | null> => {
    const info = await loadArchiveInfo(repo);
    for (const id of archiveIdsOf(info, cluster)) {
      const archiveId = archiveIdOf(id);
      const name = historyName(timeline);
      const history = await readHistory(repo, archiveId, name, async () => info.cipherPass ?? null);
      const began = history === null ? undefined : parseHistory(history).at(-1);
      if (began === undefined || segmentOfLsn(timeline, began.lsn, segmentSizeBytes) !== walName) continue;
      if (Number(began.lsn - lsnOfSegment(walName, segmentSizeBytes)) <= sizeBytes) continue;
      return segmentOfLsn(began.timeline, began.lsn, segmentSizeBytes);
    }
    return null;
  });
  const parent = looked.find((result) => result.ok && result.value !== null);
  if (parent === undefined || !parent.ok || parent.value === null) return null;
  const { value: walBefore } = parent;
  const longer = await perRepo(repos, async (repo) => {
    for (const id of archiveIdsOf(await loadArchiveInfo(repo), cluster).map(archiveIdOf)) {
      if ((await findWal(repo, id, walBefore)).length > 0) return true;
      if (bySession(await listChunks(repo, id, walBefore)).some((chunks) => reachOf(chunks) > sizeBytes)) return true;
    }
    return false;
  });
  return longer.some((result) => result.ok && result.value) ? walBefore : null;
}

async function findSessions(repo: Repository, { cluster, walName }: PartialOptions): Promise<PieceSource[]> {
  const info = await loadArchiveInfo(repo);
  const sources: PieceSource[] = [];
  for (const id of archiveIdsOf(info, cluster)) {
    const archive = { archiveId: archiveIdOf(id), pass: info.cipherPass ?? null };
    for (const chunks of bySession(await listChunks(repo, archive.archiveId, walName)))
      sources.push({ repo, archive, chunks });
  }
  return sources;
}

async function holds(handle: FileHandle, at: number, wal: Uint8Array): Promise<boolean> {
  const there = Buffer.alloc(wal.length);
  const { bytesRead } = await handle.read(there, 0, wal.length, at);
  return bytesRead === wal.length && there.equals(wal);
}

async function writeAt(handle: FileHandle, at: number, wal: Uint8Array): Promise<void> {
  const { bytesWritten } = await handle.write(wal, 0, wal.length, at);
  if (bytesWritten < wal.length)
    throw fail("fileWrite", `the streamed WAL could not be written: ${bytesWritten} of ${wal.length} bytes`);
}
