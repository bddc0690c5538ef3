/**
 * `stanza-create`: creates the stanza's info files in every repository, or checks existing ones ("pgbackrest-format"
 * 6.4).
 *
 * Running it again is harmless. A repository with files but no info files is refused (40): it may hold another stanza's
 * data. In an encrypted repository it creates the sub-passphrases of archive and backups, which never change.
 */
import type { Context } from "../../base/context";
import { fail, isError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { findFinalName } from "../../base/temporaryName";
import { archiveIdOf, type ArchiveInfo } from "../../format/repository/archiveInfo";
import type { BackupInfo } from "../../format/repository/backupInfo";
import { BACKREST_VERSION } from "../../format/repository/infoFile";
import type { PgControl } from "../../format/page/pgControl";
import {
  archiveIdPath,
  archiveInfoPath,
  archivePath,
  backupInfoPath,
  backupsPath,
  copyOf,
} from "../../format/repository/repoPath";
import { loadArchiveInfo, loadBackupInfo, saveArchiveInfo, saveBackupInfo } from "../../repository/infoStore";
import { newSubPass, type Repository } from "../../repository/repository";
import { checkArchive, checkBackup } from "../shared/identity";

/** History id of a stanza's first cluster. */
const FIRST_ID = 1;

export type StanzaCreated = "created" | "valid";

/**
 * True for each repository that needs nothing. Existing files are checked without a lock, so that a running backup does
 * not block it.
 */
export function checkStanzas(
  repos: readonly Repository[],
  control: PgControl,
  ctx: Context,
): Promise<RepoResult<boolean>[]> {
  return perRepo(repos, async (repo) => {
    if (!(await presentInfos(repo)).every(Boolean)) return false;
    await validate(repo, control, ctx, true);
    ctx.log.info(`stanza '${repo.stanza}' already exists on ${repo.name} and is valid`);
    return true;
  });
}

/** The caller holds the locks. */
export function stanzaCreate(
  repos: readonly Repository[],
  control: PgControl,
  ctx: Context,
): Promise<RepoResult<StanzaCreated>[]> {
  return perRepo(repos, (repo) => createOne(repo, control, ctx));
}

async function createOne(repo: Repository, control: PgControl, ctx: Context): Promise<StanzaCreated> {
  const present = await presentInfos(repo);
  const [archiveMain, archiveCopy, backupMain, backupCopy] = present;
  const hasArchive = archiveMain || archiveCopy;
  const hasBackup = backupMain || backupCopy;
  if (!hasArchive && !hasBackup) {
    await requireEmpty(repo);
    await saveArchiveInfo(repo, newArchiveInfo(repo, control, ctx), ctx);
    await saveBackupInfo(repo, newBackupInfo(repo, control, ctx), ctx);
    ctx.log.info(`stanza-create for stanza '${repo.stanza}' on ${repo.name}`);
    return "created";
  }
  const begun = hasArchive && !hasBackup ? await findBegun(repo) : null;
  if (begun !== null) {
    await finishCreation(repo, begun, control, ctx);
    return "created";
  }
  if (!hasArchive || !hasBackup) {
    const [there, lacking] = hasArchive ? ["archive.info", "backup.info"] : ["backup.info", "archive.info"];
    throw fail("fileMissing", `${there} exists but ${lacking} is missing on ${repo.name}`, {
      hint: "this may be a symptom of repository corruption!",
      repoIndex: repo.key,
    });
  }
  await validate(repo, control, ctx, present.every(Boolean));
  ctx.log.info(`stanza '${repo.stanza}' already exists on ${repo.name} and is valid`);
  return "valid";
}

/** archive.info and its copy, backup.info and its copy. */
async function presentInfos(repo: Repository): Promise<boolean[]> {
  const paths = [archiveInfoPath(repo.stanza), backupInfoPath(repo.stanza)].flatMap((path) => [path, copyOf(path)]);
  const present: boolean[] = [];
  for (const path of paths) present.push((await repo.storage.stat(path)) !== null);
  return present;
}

/**
 * archive.info of a stanza-create that was interrupted between its two info files, for a cluster that was never
 * upgraded; else null. A server that archives needs archive.info alone, so WAL may have come since.
 */
async function findBegun(repo: Repository): Promise<ArchiveInfo | null> {
  for await (const { path } of repo.storage.list(backupsPath(repo.stanza)))
    if (findFinalName(path) === null) return null;
  const info = await loadArchiveInfo(repo);
  const [entry, ...others] = info.history;
  if (entry?.id !== FIRST_ID || others.length > 0) return null;
  const infoPath = archiveInfoPath(repo.stanza);
  const own = new Set([infoPath, copyOf(infoPath), archiveIdPath(repo.stanza, archiveIdOf(entry))]);
  for await (const { path } of repo.storage.list(archivePath(repo.stanza)))
    if (!own.has(path) && findFinalName(path) === null) return null;
  return info;
}

async function finishCreation(
  repo: Repository,
  archiveInfo: ArchiveInfo,
  control: PgControl,
  ctx: Context,
): Promise<void> {
  checkArchive(repo, archiveInfo, { version: control.pgVersion, systemId: control.systemId });
  await saveArchiveInfo(repo, archiveInfo, ctx);
  await saveBackupInfo(repo, newBackupInfo(repo, control, ctx), ctx);
  ctx.log.info(`stanza-create for stanza '${repo.stanza}' on ${repo.name}, started by an earlier run`);
}

async function validate(repo: Repository, control: PgControl, ctx: Context, complete: boolean): Promise<void> {
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const archiveInfo = await loadArchiveInfo(repo);
  const backupInfo = await loadBackupInfo(repo);
  try {
    checkArchive(repo, archiveInfo, cluster);
    checkBackup(repo, backupInfo, cluster);
  } catch (error) {
    if (!isError(error, "archiveMismatch", "backupMismatch")) throw error;
    throw fail("fileInvalid", `backup and archive info files exist but do not match the database\n${error.message}`, {
      hint: [
        "is this the correct stanza?",
        "did an error occur during stanza-upgrade?",
        "were the data removed, and made again? Stop the server, empty the data directory, and run recover.",
      ],
      repoIndex: repo.key,
    });
  }
  if (complete) return;
  // A twin is missing: rewrite both from the readable one.
  await saveArchiveInfo(repo, archiveInfo, ctx);
  await saveBackupInfo(repo, backupInfo, ctx);
}

async function requireEmpty(repo: Repository): Promise<void> {
  for (const kind of ["backup", "archive"]) {
    for await (const entry of repo.storage.list(`${kind}/${repo.stanza}`)) {
      // Left by a run that was killed during a write.
      if (findFinalName(entry.path) !== null) continue;
      throw fail(
        "pathNotEmpty",
        `${kind} directory of stanza '${repo.stanza}' on ${repo.name} is not empty: it holds '${entry.path}' but no info files`,
        {
          hint: ["is this the correct repository path and stanza?", "may these files be removed by hand?"],
          repoIndex: repo.key,
          path: entry.path,
        },
      );
    }
  }
}

function newArchiveInfo(repo: Repository, control: PgControl, ctx: Context): ArchiveInfo {
  return {
    backrestVersion: BACKREST_VERSION,
    ...(repo.cipherPass === null ? {} : { cipherPass: newSubPass(ctx) }),
    currentId: FIRST_ID,
    history: [{ id: FIRST_ID, systemId: control.systemId, pgVersion: control.pgVersion }],
    other: [],
  };
}

function newBackupInfo(repo: Repository, control: PgControl, ctx: Context): BackupInfo {
  const { systemId, pgVersion, catalogVersion, controlVersion } = control;
  return {
    backrestVersion: BACKREST_VERSION,
    ...(repo.cipherPass === null ? {} : { cipherPass: newSubPass(ctx) }),
    currentId: FIRST_ID,
    history: [{ id: FIRST_ID, systemId, pgVersion, catalogVersion, controlVersion }],
    backups: [],
    other: [],
  };
}
