/**
 * archive.info and backup.info of a repository, each with its byte-identical copy.
 *
 * Readers try the main file and, on any error, the copy; if both fail, one error combines them ("pgbackrest-format"
 * 3.2). A storage that does not answer is not asked for the copy: that would take another timeout. Writers write main,
 * then copy, each atomically, so at every moment at least one is complete. Both are read by name after each write, two
 * requests more: the answer of a storage is no proof.
 */
import { textOf, utf8 } from "../base/bytes";
import type { Context } from "../base/context";
import { type BackupError, fail, isError, toBackupError } from "../base/errors";
import { mapParallel } from "../base/parallel";
import { type ArchiveInfo, parseArchiveInfo, renderArchiveInfo } from "../format/repository/archiveInfo";
import { type BackupInfo, parseBackupInfo, renderBackupInfo } from "../format/repository/backupInfo";
import { wrongPassphrase } from "../format/codec/cipher";
import { archiveInfoPath, backupInfoPath, copyOf } from "../format/repository/repoPath";
import type { Storage } from "../storage/storage";
import { type Repository, readFile, replaceFile, requireContent, writeFile } from "./repository";

const ARCHIVE_HINTS = [
  "archive.info cannot be opened but is required to push/get WAL segments.",
  "is archive_command configured correctly in postgresql.conf?",
  "has a stanza-create been performed?",
  "use --no-archive-check to disable archive checks during backup if you have an alternate archiving scheme.",
];
const BACKUP_HINTS = [
  "backup.info cannot be opened and is required to perform a backup.",
  "has a stanza-create been performed?",
];

/** @throws fileMissing when neither copy exists; otherwise the first failure: checksum, crypto, format… */
export function loadArchiveInfo(repo: Repository): Promise<ArchiveInfo> {
  return loadEither(repo, archiveInfoPath(repo.stanza), parseArchiveInfo, ARCHIVE_HINTS);
}

/** @throws fileMissing when neither copy exists; otherwise the first failure: checksum, crypto, format… */
export function loadBackupInfo(repo: Repository): Promise<BackupInfo> {
  const path = backupInfoPath(repo.stanza);
  const known = parsed.get(repo.storage)?.get(path);
  const parse = (text: string, name: string): BackupInfo => {
    if (known?.text === text) return known.info;
    const info = parseBackupInfo(text, name);
    parsed.set(repo.storage, (parsed.get(repo.storage) ?? new Map()).set(path, { text, info }));
    return info;
  };
  return loadEither(repo, path, parse, BACKUP_HINTS);
}

/**
 * What the list says that was read last. A command reads it some ten times, mostly the same bytes, and to parse a
 * thousand backups takes 50 ms.
 */
const parsed = new WeakMap<Storage, Map<string, { readonly text: string; readonly info: BackupInfo }>>();

/**
 * Call it before an empty directory counts as an answer, or after a write: a lost mount leaves an empty directory that
 * accepts anything. Stores without directories have no mounts; there it costs nothing.
 * @throws pathMissing, retryable, when archive.info and its copy are gone
 */
export async function requirePresent({ storage, stanza, key, name }: Repository): Promise<void> {
  if (!storage.features.directories) return;
  const path = archiveInfoPath(stanza);
  for (const candidate of [path, copyOf(path)]) if ((await storage.stat(candidate)) !== null) return;
  throw fail("pathMissing", `'${path}' of ${name} was there a moment ago and is gone`, {
    hint: `Is '${storage.name}' still mounted?`,
    repoIndex: key,
    path,
    retryable: true,
  });
}

/**
 * Changes backup.info: `update` returns the new content for the current one; the same object changes nothing. If the
 * storage supports conditions, a write that arrives after another process's changes nothing, however late, and `update`
 * is called again. Elsewhere the last write wins. `update` is called again too when the storage does not show what was
 * written, because another process replaced it or nothing was stored.
 * @throws lockAcquire (50) when others keep changing the file; fileMissing (55) when the storage does not show the
 * content; errors of loading and of `update`
 */
export function updateBackupInfo(repo: Repository, update: Update<BackupInfo>, ctx: Context): Promise<BackupInfo> {
  return updateBoth(repo, backupInfoFile(repo), update, ctx);
}

/** {@link updateBackupInfo} for archive.info. */
export function updateArchiveInfo(repo: Repository, update: Update<ArchiveInfo>, ctx: Context): Promise<ArchiveInfo> {
  const { stanza } = repo;
  return updateBoth(
    repo,
    { path: archiveInfoPath(stanza), load: () => loadArchiveInfo(repo), render: renderArchiveInfo },
    update,
    ctx,
  );
}

/**
 * Called before backups are removed: gives backup.info bytes that it never had. So the write of a process that has read
 * it and sleeps changes nothing, even if `update` restores an earlier list. The bytes are empty lines at the end, which
 * stock and ours skip. Otherwise like {@link updateBackupInfo}.
 */
export function fenceBackupInfo(repo: Repository, update: Update<BackupInfo>, ctx: Context): Promise<BackupInfo> {
  const isFencing = repo.storage.replace !== undefined;
  const [count = 0] = ctx.random.bytes(1);
  const render = (info: BackupInfo): string => `${renderBackupInfo(info)}${isFencing ? "\n".repeat(1 + count) : ""}`;
  const fenced = async (info: BackupInfo): Promise<BackupInfo> => ({ ...(await update(info)) });
  return updateBoth(repo, { ...backupInfoFile(repo), render }, isFencing ? fenced : update, ctx);
}

function backupInfoFile(repo: Repository): InfoFile<BackupInfo> {
  return { path: backupInfoPath(repo.stanza), load: () => loadBackupInfo(repo), render: renderBackupInfo };
}

type Update<T> = (info: T) => T | Promise<T>;

interface InfoFile<T> {
  readonly path: string;
  readonly load: () => Promise<T>;
  readonly render: (info: T) => string;
}

const UPDATES_MAX = 5;
/** A storage may show a write late. */
const SHOWN_PAUSE_MS = 1000;

async function updateBoth<T>(
  repo: Repository,
  { path, load, render }: InfoFile<T>,
  update: Update<T>,
  ctx: Context,
): Promise<T> {
  const { storage, cipherPass, key, name } = repo;
  let hidden: BackupError | null = null;
  for (let updates = 0; updates < UPDATES_MAX; updates++) {
    // Read before the content: the version can then only be too old.
    const version = storage.replace === undefined ? null : ((await storage.stat(path))?.version ?? null);
    const info = await load();
    const updated = await update(info);
    if (updated === info && hidden === null) return info;
    const plain = utf8(render(updated));
    if (!(await replaceFile(repo, path, plain, { version, pass: cipherPass }, ctx))) continue;
    await writeFile(repo, copyOf(path), plain, cipherPass, ctx);
    hidden = await findHidden(repo, path, plain);
    if (hidden === null) return updated;
    await ctx.clock.sleep(SHOWN_PAUSE_MS, ctx.signal);
  }
  if (hidden !== null) throw hidden;
  throw fail(
    "lockAcquire",
    `${name}: other processes changed '${path}' ${UPDATES_MAX} times while this one was about to`,
    {
      hint: "Run the command again when they have ended.",
      repoIndex: key,
      path,
      retryable: true,
    },
  );
}

/** @throws fileMissing (55) when the storage does not show it */
export function saveArchiveInfo(repo: Repository, info: ArchiveInfo, ctx: Context): Promise<void> {
  return saveBoth(repo, archiveInfoPath(repo.stanza), renderArchiveInfo(info), ctx);
}

/** @throws fileMissing (55) when the storage does not show it */
export function saveBackupInfo(repo: Repository, info: BackupInfo, ctx: Context): Promise<void> {
  return saveBoth(repo, backupInfoPath(repo.stanza), renderBackupInfo(info), ctx);
}

async function saveBoth(repo: Repository, path: string, text: string, ctx: Context): Promise<void> {
  const plain = utf8(text);
  await writeFile(repo, path, plain, repo.cipherPass, ctx);
  await writeFile(repo, copyOf(path), plain, repo.cipherPass, ctx);
  const hidden = await findHidden(repo, path, plain);
  if (hidden !== null) throw hidden;
}

/** Why the storage does not hold a file and its copy as they were written; null if it does. */
async function findHidden(repo: Repository, path: string, plain: Uint8Array): Promise<BackupError | null> {
  try {
    await mapParallel([path, copyOf(path)], 2, (each) => requireContent(repo, each, plain, repo.cipherPass));
    return null;
  } catch (error) {
    if (isError(error, "fileMissing")) return error;
    throw error;
  }
}

async function loadEither<T>(
  repo: Repository,
  path: string,
  parse: (text: string, name: string) => T,
  hints: readonly string[],
): Promise<T> {
  const failures: BackupError[] = [];
  for (const candidate of [path, copyOf(path)]) {
    try {
      const text = textOf(await readFile(repo, candidate, repo.cipherPass));
      // Otherwise one wrong passphrase in 256 would be reported as a damaged file, with another exit code.
      if (repo.cipherPass !== null && !text.startsWith("[")) throw wrongPassphrase();
      return parse(text, candidate);
    } catch (error) {
      failures.push(toBackupError(error));
      if (isError(error, "hostConnect")) break;
    }
  }
  throw combine(repo, path, failures, hints);
}

function combine(
  repo: Repository,
  path: string,
  failures: readonly BackupError[],
  hints: readonly string[],
): BackupError {
  const present = failures.filter((failure) => failure.kind !== "fileMissing");
  const kinds = new Set(present.map((failure) => failure.kind));
  const [first] = present;
  const kind = first === undefined ? "fileMissing" : kinds.size > 1 ? "fileOpen" : first.kind;
  const lines = failures.map((failure) => `${failure.name}: ${failure.message}`);
  const names = [path, copyOf(path)].slice(0, failures.length).map((name) => `'${name}'`);
  return fail(kind, [`unable to load info file ${names.join(" or ")}:`, ...lines].join("\n"), {
    hint: present.length === 0 ? hints : hintsOf(failures, present),
    repoIndex: repo.key,
    path,
    retryable: first?.retryable ?? false,
  });
}

/** Stock always suggests stanza-create. Here only if both files are missing, so that the real reason stands out. */
function hintsOf(failures: readonly BackupError[], present: readonly BackupError[]): readonly string[] {
  const own = [...new Set(failures.flatMap((failure) => failure.hints))];
  if (own.length > 0) return own;
  const damaged = "The file and its copy are damaged. Use another repository, or restore a good copy of either.";
  if (present.some((failure) => isError(failure, "crypto", "format")))
    return ["is or was the repo encrypted?", damaged];
  // An unreachable storage says nothing about the files.
  return present.some((failure) => isError(failure, "checksum", "fileInvalid")) ? [damaged] : [];
}
