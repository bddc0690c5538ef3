/**
 * The attempt file of an unfinished backup: written before the rest of the backup, checked before the backup is listed,
 * removed afterwards.
 *
 * A process that slept while another one took over its repository finds the file removed or with another token, and
 * lists nothing.
 */
import { textOf, utf8 } from "../base/bytes";
import type { Context } from "../base/context";
import { fail, isError, toBackupError } from "../base/errors";
import {
  type Attempt,
  LISTED_ATTEMPT,
  parseAttempt,
  renderAttempt,
  type SourceIdentity,
} from "../format/repository/attemptFile";
import { attemptPath } from "../format/repository/repoPath";
import type { Lease } from "./lease";
import { type Repository, readFile, writeFile } from "./repository";

/** Stands for an existing, unreadable file: it matches no lease and no domain. */
const UNREADABLE: Attempt = { token: "", term: 0, domain: "", source: null };

/** `pass` is backup.info's sub-passphrase. */
export async function saveAttempt(
  repo: Repository,
  label: string,
  claim: { readonly lease: Lease; readonly source: SourceIdentity | null; readonly pass: string | null },
  ctx: Context,
): Promise<void> {
  const { token, term, domain } = claim.lease;
  await writeFile(
    repo,
    attemptPath(repo.stanza, label),
    utf8(renderAttempt({ token, term, domain, source: claim.source })),
    claim.pass,
    ctx,
  );
}

/**
 * Ends the attempt of a backup that was just listed. With its file, nobody else would list the backup again after a
 * process that slept has overwritten the list.
 * @throws the storage's error when the file can neither be removed nor replaced
 */
export async function endAttempt(
  repo: Repository,
  label: string,
  { lease, pass }: { readonly lease: Lease; readonly pass: string | null },
  ctx: Context,
): Promise<void> {
  const path = attemptPath(repo.stanza, label);
  try {
    await repo.storage.remove(path);
  } catch (error) {
    ctx.log.warn(
      `${repo.name}: unable to remove the attempt file of listed backup '${label}': ${toBackupError(error).message}`,
    );
    await lease.check();
    await writeFile(repo, path, utf8(LISTED_ATTEMPT), pass, ctx);
  }
}

/** Null without a file or with one that has ended: the backup is listed, stock's, or an old version's. */
export async function findAttempt(repo: Repository, label: string, pass: string | null): Promise<Attempt | null> {
  const path = attemptPath(repo.stanza, label);
  try {
    const text = textOf(await readFile(repo, path, pass));
    return text === LISTED_ATTEMPT ? null : parseAttempt(text, path);
  } catch (error) {
    if (isError(error, "fileMissing")) return null;
    if (isError(error, "format", "jsonFormat", "crypto")) return UNREADABLE;
    throw error;
  }
}

/** @throws lockAcquire (50) when the lease is lost, or the directory belongs to another attempt */
export async function requireAttempt(
  repo: Repository,
  label: string,
  lease: Lease,
  pass: string | null,
): Promise<void> {
  const attempt = await findAttempt(repo, label, pass);
  // The lease last: after a pause the caller must not continue with an answer from before it.
  await lease.check();
  if (attempt?.token === lease.token) return;
  const fact = attempt === null ? "its attempt file is gone" : "its attempt file belongs to another process";
  throw fail("lockAcquire", `${repo.name}: backup '${label}' cannot continue: ${fact}`, {
    hint: "Another process or host has used this repository in the meantime, so the backup was not listed. Run the command again.",
    repoIndex: repo.key,
    path: attemptPath(repo.stanza, label),
  });
}
