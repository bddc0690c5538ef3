/** The job that copies one WAL file into another archive. */
import type { Context } from "../../base/context";
import type { Repository } from "../../repository/repository";
import type { StoredWal } from "../../repository/walStore";
import { PushTarget } from "../archivePush/pushWal";
import { openCopy } from "../shared/carriedWal";
import type { ClusterIdentity } from "../shared/identity";

/** A repository's key and the passphrase of its WAL. */
export interface WalRepository {
  readonly repoIndex: number;
  readonly pass: string | null;
}

export interface CopyWalJob {
  readonly kind: "syncWal";
  readonly from: WalRepository;
  readonly to: WalRepository;
  readonly archiveId: string;
  readonly stored: StoredWal;
  /** Whose headers segments must have; null without `archive-header-check`. */
  readonly cluster: ClusterIdentity | null;
}

/**
 * A server may archive into the target in the meantime, so this is a push like its own.
 * @throws checksum, fileInvalid, archiveMismatch (44), archiveDuplicate (45) and either storage's errors
 */
export async function copyWalFile(
  { archiveId, cluster, from, stored, to }: CopyWalJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<undefined> {
  const copy = await openCopy({ repo: repo(from.repoIndex), archiveId, pass: from.pass, stored }, cluster);
  await new PushTarget(repo(to.repoIndex), ctx).push(copy, { archiveId, pass: to.pass });
  return undefined;
}
