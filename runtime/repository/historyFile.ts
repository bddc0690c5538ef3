/** Timeline history files in a repository: small texts, stored uncompressed under their own names. */
import { collect, textOf } from "../base/bytes";
import { LIMITS } from "../base/limits";
import type { Repository } from "./repository";
import { findWal, openWal, type StoredWal } from "./walStore";

/**
 * The text of a stored history file; null when the repository has none. `findPass` returns the archive's sub-passphrase
 * if there is one.
 */
export async function readHistory(
  repo: Repository,
  archiveId: string,
  name: string,
  findPass: () => Promise<string | null>,
): Promise<string | null> {
  const [stored] = await findWal(repo, archiveId, name);
  return stored === undefined ? null : readListedHistory(repo, archiveId, stored, await findPass());
}

/** The text of a history file that a listing has shown; `pass` is the archive's sub-passphrase. */
export async function readListedHistory(
  repo: Repository,
  archiveId: string,
  stored: StoredWal,
  pass: string | null,
): Promise<string> {
  return textOf(await collect(await openWal(repo, archiveId, stored, pass), LIMITS.walTextSizeBytesMax));
}
