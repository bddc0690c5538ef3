/**
 * Assembles complete segments from streamed chunks when a timeline ended before PostgreSQL archived them.
 *
 * A server that died in between recovered with the segment from the stream and never archives it: PostgreSQL takes
 * restored WAL for archived (PostgreSQL "access/transam/xlogarchive.c"). Without the segment the archive has a gap that
 * stock's restores, standbys and older backups cannot pass. The chunks are the server's own bytes. If the old server
 * still lives and archives the segment, both files are equal: a stored file with other content is a conflict.
 */
import { timelineOf } from "../../format/wal/walSegment";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, isError, toBackupError } from "../../base/errors";
import { measure } from "../../base/hash";
import { compress } from "../../format/codec/compress";
import { bySession, coverOf, type StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import { PIECE_FAULTS, readChunk, type StreamOrigin } from "../../repository/streamStore";
import type { ClusterIdentity } from "../shared/identity";
import type { OpenArchive } from "../shared/knownWal";
import type { PreparedWal } from "../archivePush/prepareWal";
import type { PushTarget } from "../archivePush/pushWal";

export interface SettleOptions {
  readonly cluster: ClusterIdentity;
  /** The server's timeline: a server archives WAL on it and on later ones. */
  readonly timeline: number;
  readonly segmentSizeBytes: number;
}

/** Errors of one segment and its chunks: other segments can continue. */
const OF_SEGMENT = ["archiveDuplicate", ...PIECE_FAULTS] as const;

/**
 * Archives complete segments that are missing; returns the names of segments that are now there. A segment with
 * unusable chunks is reported once, joins `unusable`, and is skipped from then on.
 * @throws errors of reading and pushing
 */
export async function* settle(
  target: PushTarget,
  archive: OpenArchive,
  pieces: readonly StreamChunk[],
  { cluster, segmentSizeBytes, timeline }: SettleOptions,
  unusable: Set<string>,
  ctx: Context,
): AsyncIterable<string> {
  const { repo } = target;
  const origin = { systemId: cluster.systemId, segmentSizeBytes };
  const isLeft = ({ segment }: StreamChunk): boolean => timelineOf(segment) < timeline;
  for (const name of [...new Set(pieces.filter(isLeft).map(({ segment }) => segment))].sort()) {
    if (unusable.has(name)) continue;
    const sessions = bySession(pieces.filter(({ segment }) => segment === name)).map(coverOf);
    const wholes = sessions.filter((cover) => cover.at(-1)?.end === segmentSizeBytes);
    if (wholes.length === 0) continue;
    const error = await firstGood(wholes, async (whole) => {
      const pushed = await target.push(await prepare(repo, archive, name, whole, origin, cluster), archive);
      if (pushed === "pushed")
        ctx.log.info(`${repo.name}: archived ${name}, which was completely streamed and never archived`);
    });
    if (error !== null && (isError(error, "archiveDuplicate") || !(await target.known.holds(name, archive)))) {
      unusable.add(name);
      ctx.log.warn(`${repo.name}: ${name} is completely streamed and cannot be archived: ${error.message}`);
      continue;
    }
    yield name;
  }
}

/**
 * Null when one of them succeeded, else a conflict or the last one's error.
 * @throws errors that are not about the segment
 */
async function firstGood<T>(choices: readonly T[], attempt: (choice: T) => Promise<void>): Promise<BackupError | null> {
  let last: BackupError | null = null;
  for (const choice of choices) {
    try {
      await attempt(choice);
      return null;
    } catch (thrown) {
      const error = toBackupError(thrown);
      if (!isError(error, ...OF_SEGMENT)) throw error;
      if (!isError(last, "archiveDuplicate")) last = error;
    }
  }
  return last;
}

/** Read twice, because the name contains the checksum: memory holds at most one chunk. */
async function prepare(
  repo: Repository,
  archive: OpenArchive,
  name: string,
  pieces: readonly StreamChunk[],
  origin: StreamOrigin,
  cluster: ClusterIdentity,
): Promise<PreparedWal> {
  async function* content(): ByteStream {
    for (const piece of pieces) yield await readChunk(repo, archive, piece, origin);
  }
  const { sha1 } = await measure(content());
  return {
    name,
    sizeBytes: origin.segmentSizeBytes,
    sha1,
    cluster,
    fileId: `${name}-${sha1}`,
    packed: async (spec) => () => compress(content(), spec),
  };
}
