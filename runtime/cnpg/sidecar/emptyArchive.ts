/**
 * Checks that this cluster may archive here. CloudNativePG requests it from a cluster's first file until archiving has
 * worked once.
 *
 * It does not require an empty archive, which would forbid correct cases: the same cluster continues its archive, also
 * on a new timeline after a recovery. It refuses a second cluster that was recovered from this archive and took the
 * same timeline: its history of that timeline differs. Every push refuses another system's archive, and no push
 * replaces a segment; this check reports it before anything is written.
 */
import { access } from "../../local/nodeFiles";
import { textIfThere } from "../../local/systemError";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { historyName } from "../../format/wal/walSegment";
import { WalPreparer } from "../../operations/archivePush/prepareWal";
import { PushTarget } from "../../operations/archivePush/pushWal";
import { archiveIdsOf, type ClusterIdentity } from "../../operations/shared/identity";
import { readHistory } from "../../repository/historyFile";
import { listReady } from "../../postgres/archiveStatus";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { type JsonObject, textAt } from "../kubernetes/clusterObject";
import { SKIP_ANNOTATION } from "../names";

/** The instance manager creates it with a new data directory and removes it when archiving works. */
const CHECK_FILE = ".check-empty-wal-archive";

/** The caller's flag has priority; callers before 0.6 leave it to the file and the annotation. */
export async function isCheckWanted(
  asked: boolean | undefined,
  cluster: JsonObject,
  dataDirectory: string,
): Promise<boolean> {
  if (asked !== undefined) return asked;
  if (textAt(cluster, "metadata", "annotations", SKIP_ANNOTATION) === "enabled") return false;
  return access(`${dataDirectory}/${CHECK_FILE}`).then(
    () => true,
    () => false,
  );
}

/**
 * Timelines that may be archived: PostgreSQL has sent a file of each, and the check has passed. A cluster that was just
 * recovered has waiting files before its PostgreSQL has started. Sent early, they would reach another cluster's archive
 * before the check.
 */
export class Timelines {
  readonly #allowed = new Set<string>();

  allow(walName: string): void {
    this.#allowed.add(timelineOf(walName));
  }

  /** True once PostgreSQL has archived a file from here, into a checked archive. */
  isAny(): boolean {
    return this.#allowed.size > 0;
  }

  isAllowed(walName: string): boolean {
    return this.#allowed.has(timelineOf(walName)) && !isHistory(walName);
  }
}

/** Every promotion begins with one. */
export function isHistory(walName: string): boolean {
  return walName.endsWith(".history");
}

function timelineOf(walName: string): string {
  return walName.slice(0, 8);
}

export interface OwnTimeline {
  readonly cluster: ClusterIdentity;
  readonly walDirectory: string;
  /** The file to archive: its timeline is the cluster's. */
  readonly walName: string;
}

/** An unreadable repository is no reason to refuse: pushes judge it. @throws archiveDuplicate (45) */
export async function requireOwnTimeline(repos: readonly Repository[], own: OwnTimeline, ctx: Context): Promise<void> {
  const history = `${timelineOf(own.walName)}.history`;
  const local = await textIfThere(`${own.walDirectory}/${history}`);
  // The first timeline has no history: only the system identifier distinguishes it.
  if (local === null) return;
  await Promise.all(
    repos.map(async (repo) => {
      const stored = await findHistory(repo, own.cluster, history).catch((error: unknown) => {
        if (!isError(error, "fileMissing"))
          ctx.log.debug(`${repo.name}: unable to compare ${history}: ${toBackupError(error).message}`);
        return null;
      });
      if (stored === null || stored === local) return;
      throw anotherRecovery(repo, history);
    }),
  );
}

function anotherRecovery({ key, name, stanza }: Repository, history: string): BackupError {
  return fail("archiveDuplicate", `${name} already holds ${history} of another recovery of stanza '${stanza}'`, {
    hint: [
      "Two clusters recovered from one archive must not both archive there.",
      "Give this cluster its own stanza: the plugin parameter 'stanza' in spec.plugins.",
    ],
    repoIndex: key,
  });
}

export interface StreamedTimeline extends Omit<OwnTimeline, "walName"> {
  /** All of the cluster's. */
  readonly repos: readonly Repository[];
  readonly timeline: number;
}

/**
 * Allows streaming on this timeline: the archive has its history, and it is this cluster's. Nothing compares streamed
 * WAL later. PostgreSQL archives the history of a promotion; a repository that is newer gets it here.
 * @throws archiveTimeout (82), retryable, while PostgreSQL's archiver has the history; archiveDuplicate (45)
 */
export async function requireArchivedTimeline(
  repo: Repository,
  { cluster, repos, timeline, walDirectory }: StreamedTimeline,
  ctx: Context,
): Promise<void> {
  if (timeline === 1) return;
  const history = historyName(timeline);
  const local = await textIfThere(`${walDirectory}/${history}`);
  // A server that took this timeline itself has its history.
  if (local === null) return;
  const stored = await findHistory(repo, cluster, history);
  if (stored === local) return;
  if (stored !== null) throw anotherRecovery(repo, history);
  if ((await listReady(walDirectory, Number.POSITIVE_INFINITY)).includes(history))
    throw fail("archiveTimeout", `${repo.name} does not hold ${history} yet, which must come before streamed WAL`, {
      hint: "PostgreSQL archives it after its promotion: is archiving working?",
      retryable: true,
    });
  await requireOwnTimeline(repos, { cluster, walDirectory, walName: history }, ctx);
  const target = new PushTarget(repo, ctx);
  const archive = await target.open(cluster);
  await target.push(await new WalPreparer({ walDirectory, headerCheck: false }, cluster).prepare(history), archive);
}

async function findHistory(repo: Repository, cluster: ClusterIdentity, name: string): Promise<string | null> {
  const info = await loadArchiveInfo(repo);
  const [id] = archiveIdsOf(info, cluster);
  if (id === undefined) return null;
  return readHistory(repo, archiveIdOf(id), name, async () => info.cipherPass ?? null);
}
