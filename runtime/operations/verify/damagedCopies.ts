/**
 * Checks both copies of info files and manifests. Readers use whichever copy is readable, so damage of one stays
 * unnoticed until the other is damaged too. Copies that differ are not damage: a writer may have been killed between
 * the two.
 */
import { type ByteStream, freeMemory, textOf } from "../../base/bytes";
import { isError, toBackupError } from "../../base/errors";
import { measure } from "../../base/hash";
import { decrypt } from "../../format/codec/cipher";
import { parseArchiveInfo } from "../../format/repository/archiveInfo";
import { parseBackupInfo } from "../../format/repository/backupInfo";
import { archiveInfoPath, backupInfoPath, copyOf, manifestPath } from "../../format/repository/repoPath";
import { loadManifestFile } from "../../repository/backupStore";
import { readFile, type Repository } from "../../repository/repository";
import { isUnread } from "./verifyFile";

/**
 * One line for each unreadable file with a readable twin; `pass` is backup.info's sub-passphrase. `manifests` has the
 * SHA-1 of the plain main file of each readable manifest, as far as it was read.
 * @throws errors of a repository that gives no answer
 */
export async function findDamagedCopies(
  repo: Repository,
  manifests: ReadonlyMap<string, string>,
  pass: string | null,
): Promise<string[]> {
  const lines: string[] = [];
  const check = async (path: string, load: (candidate: string) => Promise<unknown>): Promise<void> => {
    for (const candidate of [path, copyOf(path)]) {
      try {
        await load(candidate);
      } catch (error) {
        if (isUnread(toBackupError(error))) throw error;
        if (!isError(error, "fileMissing")) lines.push(`${candidate}: damaged: ${toBackupError(error).message}`);
      }
    }
  };
  const textIn = async (path: string): Promise<string> => textOf(await readFile(repo, path, repo.cipherPass));
  await check(archiveInfoPath(repo.stanza), async (path) => parseArchiveInfo(await textIn(path), path));
  await check(backupInfoPath(repo.stanza), async (path) => parseBackupInfo(await textIn(path), path));
  for (const [label, sha1] of manifests) {
    const path = manifestPath(repo.stanza, label);
    // The caller has parsed one of them: a large manifest is only parsed twice more if the copies differ.
    if ((await sha1Of(repo, copyOf(path), pass)) !== sha1)
      await check(path, (candidate) => loadManifestFile(repo, candidate, pass));
  }
  return lines;
}

/** SHA-1 of the plain content; null when it is unreadable. V8 would let tens of megabytes of what was read pile up. */
async function sha1Of(repo: Repository, path: string, pass: string | null): Promise<string | null> {
  try {
    const stored = freed(await repo.storage.read(path));
    return (await measure(pass === null ? stored : freed(decrypt(stored, pass)))).sha1;
  } catch {
    return null;
  }
}

/** Frees each chunk once the next one is asked for. */
async function* freed(source: ByteStream): ByteStream {
  for await (const chunk of source) {
    yield chunk;
    freeMemory(chunk);
  }
}
