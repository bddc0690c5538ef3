/**
 * What repositories have of a server, before its agent creates a slot or if it has no record: on a new spool, or after
 * the slot was dropped. Without it a gap between two slots would not be noticed.
 */
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { lsnOfSegment, timelineOf } from "../../format/wal/walSegment";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { LOOK_MS, withinTime } from "../heal/inheritedWal";
import { archiveIdsOf, checkArchive, type ClusterIdentity } from "../shared/identity";
import { segmentDirectories, segmentsIn } from "../shared/walRange";
import type { ArchivePosition, WalHistory } from "./slotPlan";

/**
 * A slot of a cluster that no repository takes would keep its WAL until the disk is full.
 * @throws archiveMismatch (44) if every repository belongs to another cluster
 */
export async function requireArchive(
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  ctx: Context,
): Promise<void> {
  const looked = await perRepo(repos, (repo) =>
    withinTime(
      loadArchiveInfo(repo).then((info) => checkArchive(repo, info, cluster)),
      LOOK_MS,
      ctx,
    ),
  );
  const foreign = looked.flatMap((result) =>
    result.ok || !isError(result.error, "archiveMismatch") ? [] : [result.error],
  );
  const [first] = foreign;
  if (first === undefined || foreign.length < repos.length) return;
  throw fail("archiveMismatch", first.message, {
    hint: [
      "Were the data or the volume removed, and made anew? Stop the server, empty the data directory, and run pgbackstop recover.",
      "After an upgrade to another major version, run pgbackstop stanza-upgrade.",
    ],
    retryable: true,
  });
}

/** The end of the newest segment of a server's history; null if no repository has one, or none answers. */
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
  let newest: ArchivePosition | null = null;
  for (const result of looked) {
    if (!result.ok)
      ctx.log.debug(
        `repo${result.repoIndex}: unable to look for its newest WAL: ${toBackupError(result.error).message}`,
      );
    else if (result.value !== null && (newest === null || result.value.lsn > newest.lsn)) newest = result.value;
  }
  return newest;
}

async function newestOf(
  repo: Repository,
  cluster: ClusterIdentity,
  { ancestors, timeline: present }: WalHistory,
  segmentSizeBytes: number,
): Promise<ArchivePosition | null> {
  const [entry] = archiveIdsOf(await loadArchiveInfo(repo), cluster);
  if (entry === undefined) return null;
  const archiveId = archiveIdOf(entry);
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
