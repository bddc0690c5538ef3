/**
 * Info files and manifests lie in a repository twice, and readers take whichever can be read. So damage of one is noticed by nobody until the
 * other one is damaged too: verify looks at both. Copies that differ are no damage, a writer may have been killed between the two.
 */
import { createHash } from "node:crypto";
import { textOf } from "../../base/bytes";
import { isError, toBackupError } from "../../base/errors";
import { parseArchiveInfo } from "../../format/archiveInfo";
import { parseBackupInfo } from "../../format/backupInfo";
import { parseManifest } from "../../format/manifest";
import { archiveInfoPath, backupInfoPath, copyOf, manifestPath } from "../../format/repoPath";
import { openFile, readFile, type Repository } from "../../repository/repository";

/** A line for each file that cannot be read although its twin can; `pass` is backup.info's sub-passphrase. */
export async function findDamagedCopies(repo: Repository, labels: readonly string[], pass: string | null): Promise<string[]> {
  const lines: string[] = [];
  const check = async (path: string, key: string | null, parse: (text: string, name: string) => unknown): Promise<void> => {
    for (const candidate of [path, copyOf(path)]) {
      try {
        parse(textOf(await readFile(repo, candidate, key)), candidate);
      } catch (error) {
        if (!isError(error, "fileMissing")) lines.push(`${candidate}: damaged: ${toBackupError(error).message}`);
      }
    }
  };
  await check(archiveInfoPath(repo.stanza), repo.cipherPass, parseArchiveInfo);
  await check(backupInfoPath(repo.stanza), repo.cipherPass, parseBackupInfo);
  for (const label of labels) {
    const path = manifestPath(repo.stanza, label);
    // Whoever verifies has parsed one of them: parsing a large manifest twice more is for copies that differ.
    const [main, copy] = await Promise.all([sha1Of(repo, path, pass), sha1Of(repo, copyOf(path), pass)]);
    if (main === null || main !== copy) await check(path, pass, parseManifest);
  }
  return lines;
}

/** Of the plain content; null when it cannot be read. */
async function sha1Of(repo: Repository, path: string, pass: string | null): Promise<string | null> {
  const hash = createHash("sha1");
  try {
    for await (const chunk of await openFile(repo, path, pass)) hash.update(chunk);
  } catch {
    return null;
  }
  return hash.digest("hex");
}
