/** A repository's retention, from its configuration. */
import { given } from "../../base/given";
import type { RepoConfig } from "../../config/types";
import type { Retention } from "../../repository/retention";

export function retentionOf(repo: RepoConfig): Retention {
  const { keep, retentionArchive, retentionDiff, retentionFull, retentionHistoryDays } = repo;
  const limits = {
    full: retentionFull,
    diff: retentionDiff,
    archive: retentionArchive,
    historyDays: retentionHistoryDays,
    keep,
  };
  return { ...given(limits), fullType: repo.retentionFullType, archiveType: repo.retentionArchiveType };
}
