/**
 * `check`: do the repositories belong to this cluster, and does a newly switched segment reach each of them? Every
 * repository has its own result, so that a dead one does not hide the state of the others.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import type { PgControl } from "../../format/page/pgControl";
import type { MissingWalStore } from "../../local/missingWal";
import { isSameDirectory } from "../../local/sameDirectory";
import type { Session } from "../../postgres/session";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { type ArchiverOptions, requireArchiver } from "./archiving";
import type { SlotArchiving } from "../slot/readyDirectory";
import { currentBackupsOf, type FullExpectation, fullError, newestFullOf, type StoredFull } from "../info/destinations";
import { conflictError } from "../archivePush/conflicts";
import { openGapIn } from "../archivePush/dropWal";
import { checkArchive, checkBackup } from "../shared/identity";
import { waitForWal } from "../shared/waitWal";

export interface CheckOptions extends ArchiverOptions {
  readonly dataDirectory: string;
  readonly archiveCheck: boolean;
  readonly archiveTimeoutMs: number;
  /** WAL files that a repository's archive has with other content than this server, by its key. */
  conflicts(repoIndex: number): readonly string[];
  /** WAL files of a cluster dropped for a repository, by its key. */
  readonly dropped: MissingWalStore["listDropped"];
  /** The expectation of a repository's newest full backup; undefined expects nothing. */
  expectFull(repoIndex: number): FullExpectation | undefined;
}

export interface Checked {
  /** The segment that arrived; null when archiving was not checked. */
  readonly walName: string | null;
  readonly newestFull: StoredFull | null;
  /** Why the newest full backup misses the expectation; null when it meets it. */
  readonly fullError: BackupError | null;
}

/**
 * @throws dbMismatch, archiveDisabled, archiveCommandInvalid about the cluster; a repository's error is in its own
 * result
 */
export async function check(
  repos: readonly Repository[],
  session: Session,
  control: PgControl,
  options: CheckOptions,
  ctx: Context,
): Promise<RepoResult<Checked>[]> {
  const facts = await session.facts();
  if (!isSameDirectory(facts.dataDirectory, options.dataDirectory)) {
    throw fail(
      "dbMismatch",
      `path '${facts.dataDirectory}' queried from cluster does not match path '${options.dataDirectory}' of pg1-path`,
      {
        hint: "the pg1-path and pg1-port settings likely reference different clusters.",
      },
    );
  }
  if (options.archiveCheck && options.slot === null) await requireArchiver(session, options, ctx);
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const opened = await perRepo(repos, async (repo) => {
    const archiveInfo = await loadArchiveInfo(repo);
    const archiveId = checkArchive(repo, archiveInfo, cluster);
    const backupInfo = await loadBackupInfo(repo);
    checkBackup(repo, backupInfo, cluster);
    const conflict = conflictError(repo.key, options.conflicts(repo.key));
    if (conflict !== null) throw conflict;
    requireNoGap(repo, openGapIn(repo.key, backupInfo, options.dropped), options.slot);
    const newestFull = newestFullOf(currentBackupsOf(backupInfo));
    const expected = options.expectFull(repo.key);
    const full =
      expected === undefined ? null : fullError(repo.key, newestFull, expected, Math.floor(ctx.clock.nowMs() / 1000));
    return { archiveId, pass: archiveInfo.cipherPass ?? null, newestFull, fullError: full };
  });
  const isChecked = options.archiveCheck && opened.some((result) => result.ok);
  // Where no repository belongs to the cluster, its agent reads no slot.
  if (isChecked && options.slot !== null) await requireArchiver(session, options, ctx);
  // A standby cannot switch segments: only the infos can be checked, as in stock.
  if (!isChecked || facts.inRecovery) {
    return opened.map((result) =>
      result.ok ? { ...result, value: { ...fullOf(result.value), walName: null } } : result,
    );
  }
  const walName = await session.switchWal("pgBackRest Archive Check");
  const archiveIds = new Map(opened.map((result) => [result.repoIndex, result]));
  return perRepo(repos, async (repo) => {
    const result = archiveIds.get(repo.key);
    if (result === undefined || !result.ok) throw result?.error ?? fail("assert", `${repo.name} was not opened`);
    const { archiveId, pass } = result.value;
    const wait = { timeoutMs: options.archiveTimeoutMs, segmentSizeBytes: control.walSegmentSizeBytes };
    await waitForWal({ repo, archiveId, pass }, walName, wait, ctx);
    ctx.log.info(`WAL segment ${walName} successfully archived to ${repo.name}`);
    return { ...fullOf(result.value), walName };
  });
}

function fullOf({ newestFull, fullError: error }: Omit<Checked, "walName">): Omit<Checked, "walName"> {
  return { newestFull, fullError: error };
}

/** WAL that no repository has ends every recovery before it, until a backup begins after it. */
function requireNoGap(repo: Repository, names: readonly string[], slot: SlotArchiving | null): void {
  const [first] = names;
  if (first === undefined) return;
  const reason =
    slot === null
      ? "dropped because of archive-push-queue-max"
      : `removed by the server before they were archived (replication slot ${slot.name})`;
  throw fail("fileMissing", `${names.length} WAL file(s) from ${first} on were ${reason}`, {
    hint: "Recovery from the newest backup cannot pass this gap. Take a new full backup.",
    repoIndex: repo.key,
  });
}
