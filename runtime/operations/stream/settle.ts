/**
 * Whole segments out of pieces: of a timeline that was left, what was streamed to its end and never archived.
 *
 * A server that died between the two came back by a recovery that took the segment out of the stream, and never archives it: what it restores it
 * takes for archived (PostgreSQL "access/transam/xlogarchive.c"). Without it the archive has a gap, which stock's restores, standbys and
 * older backups cannot pass. The pieces are the server's bytes; should the old one still live and archive it, both are the same file.
 */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, isError, toBackupError } from "../../base/errors";
import { compress } from "../../format/codec/compress";
import { bySession, coverOf, type StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import { PIECE_FAULTS, readChunk, type StreamOrigin } from "../../repository/streamStore";
import { findWal } from "../../repository/walStore";
import type { ClusterIdentity } from "../shared/identity";
import type { PreparedWal } from "../archivePush/prepareWal";
import type { OpenArchive, PushTarget } from "../archivePush/pushWal";

export interface SettleOptions {
  readonly cluster: ClusterIdentity;
  /** The one that the server is on: what is of it, and of later ones, is somebody's who archives it. */
  readonly timeline: number;
  readonly segmentSizeBytes: number;
}

const TIMELINE_LENGTH = 8;

/** About one segment and its pieces: the others are none the worse for it. */
const OF_SEGMENT = ["archiveDuplicate", ...PIECE_FAULTS] as const;

/**
 * Puts into the archive what is whole and not there; tells the names of segments that are there now. One whose pieces are of no use is told once,
 * joins `unusable`, and is left alone from then on. @throws what reading and pushing throw
 */
export async function* settle(
  repo: Repository,
  target: PushTarget,
  archive: OpenArchive,
  pieces: readonly StreamChunk[],
  { cluster, segmentSizeBytes, timeline }: SettleOptions,
  unusable: Set<string>,
  ctx: Context,
): AsyncIterable<string> {
  const origin = { systemId: cluster.systemId, segmentSizeBytes };
  const isLeft = ({ segment }: StreamChunk): boolean => Number.parseInt(segment.slice(0, TIMELINE_LENGTH), 16) < timeline;
  for (const name of [...new Set(pieces.filter(isLeft).map(({ segment }) => segment))].sort()) {
    if (unusable.has(name)) continue;
    const sessions = bySession(pieces.filter(({ segment }) => segment === name)).map(coverOf);
    const wholes = sessions.filter((cover) => cover.at(-1)?.end === segmentSizeBytes);
    if (wholes.length === 0) continue;
    if ((await findWal(repo, archive.archiveId, name)).length === 0) {
      const error = await firstGood(wholes, async (whole) => {
        await target.push(await prepare(repo, archive, name, whole, origin, cluster), archive);
      });
      if (error !== null) {
        unusable.add(name);
        ctx.log.warn(`${repo.name}: ${name} was streamed to its end and cannot be archived: ${error.message}`);
        continue;
      }
      ctx.log.info(`${repo.name}: ${name} was streamed to its end and never archived: it is in the archive now`);
    }
    yield name;
  }
}

/** Null when it went well with one of them, else why not with the last. @throws what is no error of the segment */
async function firstGood<T>(choices: readonly T[], attempt: (choice: T) => Promise<void>): Promise<BackupError | null> {
  let last: BackupError | null = null;
  for (const choice of choices) {
    try {
      await attempt(choice);
      return null;
    } catch (thrown) {
      last = toBackupError(thrown);
      if (!isError(last, ...OF_SEGMENT)) throw last;
    }
  }
  return last;
}

/** Read twice, for its name tells its checksum: no more than a piece is in memory at once. */
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
  const hash = createHash("sha1");
  for await (const part of content()) hash.update(part);
  const sha1 = hash.digest("hex");
  return {
    name,
    sizeBytes: origin.segmentSizeBytes,
    sha1,
    cluster,
    fileId: `${name}-${sha1}`,
    packed: async (spec) => () => compress(content(), spec),
  };
}
