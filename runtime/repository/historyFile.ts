/** Timeline history files in a repository: small texts, stored uncompressed under their own names. */
import { collect, textOf } from "../base/bytes";
import { LIMITS } from "../base/limits";
import type { Repository } from "./repository";
import { findWal, openWal } from "./walStore";

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
  if (stored === undefined) return null;
  return textOf(await collect(await openWal(repo, archiveId, stored, await findPass()), LIMITS.walTextSizeBytesMax));
}
