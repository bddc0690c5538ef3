/**
 * How far repositories have a server's WAL, if the agent has no record of it: on a new spool, or after the slot was
 * dropped. Without it a gap between two slots would not be noticed.
 */
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { lsnOfSegment, timelineOf } from "../../format/wal/walSegment";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { LOOK_MS, withinTime } from "../heal/inheritedWal";
import { checkArchive, type ClusterIdentity } from "../shared/identity";
import { repoErrorLine } from "../shared/results";
import { segmentDirectories, segmentsIn } from "../shared/archivedSegments";
import type { ArchivePosition, WalHistory } from "./slotPlan";

/** Errors of a repository that has none of this cluster's WAL: no stanza yet, or another cluster's. */
const ANSWERS = ["archiveMismatch", "fileMissing"] as const;

/**
 * The end of the newest segment of a server's history, by the repositories that answer; null if none of them has one.
 * @throws archiveMismatch (44) if every repository belongs to another cluster: a slot would keep WAL that none takes,
 * until the disk is full
 * @throws repoInvalid (103), retryable, if none answers: one may have WAL, and a gap after it would not be noticed
 */
export async function findArchived(
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  history: WalHistory,
  segmentSizeBytes: number,
  ctx: Context,
): Promise<ArchivePosition | null> {
  const looked = await perRepo(repos, (repo) =>
    withinTime(newestOf(repo, cluster, history, segmentSizeBytes), LOOK_MS, ctx),
  );
  const errors = looked.flatMap((result) => (result.ok ? [] : [result.error]));
  const [first] = errors.filter((error) => isError(error, "archiveMismatch"));
  if (
    first !== undefined &&
    errors.every((error) => isError(error, "archiveMismatch")) &&
    errors.length === repos.length
  )
    throw fail("archiveMismatch", toBackupError(first).message, {
      hint: [
        "Were the data or the volume removed, and made again? Stop the server, empty the data directory, and run pgbackstop recover.",
        "After an upgrade to another major version, run pgbackstop stanza-upgrade.",
      ],
      retryable: true,
    });
  for (const error of errors) ctx.log.debug(`unable to look for the newest WAL: ${toBackupError(error).message}`);
  const silent = looked.flatMap((result) => (result.ok || isError(result.error, ...ANSWERS) ? [] : [result]));
  if (silent.length > 0 && silent.length === repos.length) {
    const lines = silent.map(({ error, repoIndex }) => repoErrorLine(repoIndex, error));
    throw fail("repoInvalid", ["no repository shows how far it has this server's WAL", ...lines].join("\n"), {
      hint: [...new Set(silent.flatMap(({ error }) => error.hints)), "The slot keeps the WAL until one answers."],
      retryable: true,
    });
  }
  return looked.reduce<ArchivePosition | null>((newest, result) => {
    const position = result.ok ? result.value : null;
    return position !== null && (newest === null || position.lsn > newest.lsn) ? position : newest;
  }, null);
}

async function newestOf(
  repo: Repository,
  cluster: ClusterIdentity,
  { ancestors, timeline: present }: WalHistory,
  segmentSizeBytes: number,
): Promise<ArchivePosition | null> {
  const archiveId = checkArchive(repo, await loadArchiveInfo(repo), cluster);
  for (const directory of (await segmentDirectories(repo, archiveId)).reverse()) {
    const timeline = timelineOf(directory);
    const left = ancestors.find((each) => each.timeline === timeline);
    if (timeline !== present && left === undefined) continue;
    const ends = (await segmentsIn(repo, archiveId, directory)).map(
      ({ name }) => lsnOfSegment(name, segmentSizeBytes) + BigInt(segmentSizeBytes),
    );
    const lsn = ends.findLast((end) => left === undefined || end <= left.lsn);
    if (lsn !== undefined) return { timeline, lsn };
  }
  return null;
}
