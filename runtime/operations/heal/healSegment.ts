/**
 * `heal --segment`: ends a conflict as the user decides. Every repository gets one content of the WAL file: the one in
 * pg_wal, or that of the repository that the user trusts. Other contents are removed. No other verb replaces a stored
 * segment.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { parseWalName } from "../../format/wal/walSegment";
import { walPath } from "../../format/repository/repoPath";
import type { MissingWalStore } from "../../local/missingWal";
import type { Repository } from "../../repository/repository";
import { isSegment } from "../../repository/walStore";
import type { WalContent } from "../archivePush/pushWal";
import { isAhead, openCopy } from "../shared/carriedWal";
import type { ClusterIdentity } from "../shared/identity";
import type { LocalWal } from "../shared/localWal";
import { openArchive, store } from "./openArchive";
import { findDamage } from "./decide";

export interface Choice {
  readonly name: string;
  /** Key of the repository with the right content; undefined for pg_wal. */
  readonly trustIndex: number | undefined;
}

/** True for a repository that was changed. @throws when the right content cannot be read, or pg_wal contradicts it */
export async function healSegment(
  repos: readonly Repository[],
  missingWal: MissingWalStore,
  cluster: ClusterIdentity,
  local: LocalWal,
  choice: Choice,
  ctx: Context,
): Promise<RepoResult<boolean>[]> {
  const { name } = choice;
  if (parseWalName(name) === null)
    throw fail("optionInvalidValue", `'${name}' is not allowed for 'segment' option`, {
      hint: "Use the name of a WAL file, such as 000000010000000000000005.",
    });
  const source = await chosenContent(repos, cluster, local, choice);
  const header = local.headerCheck ? cluster : null;
  return perRepo(repos, async (repo) => {
    const archive = await openArchive(repo, cluster);
    const copies = await archive.find(name);
    let kept: string | null = null;
    for (const stored of copies) {
      const copy = await openCopy({ ...archive, stored }, header).catch(() => null);
      if (kept === null && copy?.sha1 === source.sha1 && (await findDamage([copy])) === null) kept = stored.fileName;
    }
    const isStored = kept !== null;
    kept ??= await store(archive, source, ctx);
    // Only now: a reader finds two contents in the meantime, and refuses both, but never none.
    const wrong = copies.filter(({ fileName }) => fileName !== kept);
    for (const { fileName } of wrong) {
      await repo.storage.remove(walPath(repo.stanza, archive.archiveId, fileName));
      ctx.log.warn(`${repo.name}: removed ${fileName}`);
    }
    if (!isStored) ctx.log.info(`${repo.name}: stored ${kept}`);
    missingWal.remove(repo.key, name, cluster);
    return !isStored || wrong.length > 0;
  });
}

async function chosenContent(
  repos: readonly Repository[],
  cluster: ClusterIdentity,
  local: LocalWal,
  { name, trustIndex }: Choice,
): Promise<WalContent> {
  const server = await local.prepare(name);
  if (isSegment(name)) await requireFinished(name, server?.sha1 ?? null, local);
  if (trustIndex === undefined) {
    if (server !== null) return server;
    throw fail("fileMissing", `pg_wal no longer has ${name}`, {
      hint: "Name the repository whose content is right: --trust-repo=N.",
    });
  }
  const repo = repos.find(({ key }) => key === trustIndex);
  if (repo === undefined)
    throw fail("optionInvalidValue", `key '${trustIndex}' is not valid for 'trust-repo' option`, {
      hint: `Configured repositories: ${repos.map((each) => each.name).join(", ")}.`,
    });
  const archive = await openArchive(repo, cluster);
  const [stored, ...more] = await archive.find(name);
  if (stored === undefined) throw fail("fileMissing", `${repo.name} does not have ${name}`);
  if (more.length > 0)
    throw fail("archiveDuplicate", `${repo.name} holds several different copies of ${name}`, {
      hint: "Remove the wrong copy, or pass --trust-repo=N for another repository.",
    });
  const copy = await openCopy({ ...archive, stored }, local.headerCheck ? cluster : null);
  const damage = await findDamage([copy]);
  if (damage !== null) throw damage;
  if (server !== null && server.sha1 !== copy.sha1)
    throw fail(
      "checksum",
      `${name} in pg_wal differs from the copy in ${repo.name}, and the server's copy takes precedence`,
      {
        hint: "Run without --trust-repo.",
      },
    );
  return copy;
}

/**
 * PostgreSQL allocates a whole segment and then fills it. A stored half of it, or another server's, would make the
 * finished segment a duplicate, and every later push would end with 45.
 * @param sha1 of the segment in pg_wal; null if it is not there
 */
async function requireFinished(name: string, sha1: string | null, local: LocalWal): Promise<void> {
  if (sha1 !== null) {
    if ((await local.finishedSha1(name)) === sha1) return;
  } else {
    const newest = await local.newest();
    if (newest === null || !isAhead(name, newest)) return;
  }
  throw fail(
    "optionInvalidValue",
    `'${name}' is not allowed for 'segment' option: PostgreSQL has not finished this segment`,
    { hint: "Wait until the segment has a .ready or .done file in archive_status, or end it with pg_switch_wal()." },
  );
}
