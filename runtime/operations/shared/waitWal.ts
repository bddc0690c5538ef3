/** Waits until a repository holds a WAL segment: a backup is consistent, and a check is meaningful, only then. */
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import type { Repository } from "../../repository/repository";
import { findWal, type StoredWal } from "../../repository/walStore";
import { conflictError } from "../archivePush/conflicts";
import { KnownWal, type OpenArchive } from "./knownWal";

export interface AwaitedArchive extends OpenArchive {
  readonly repo: Repository;
  /** What this host has stored or read there; default: each segment is read. */
  readonly known?: KnownWal;
}

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly segmentSizeBytes?: number;
  /** Precede the usual ones. */
  readonly moreHints?: readonly string[];
  /** SHA-1 of the server's own file; null if it has none. Absent: another server's file counts too. */
  readonly ownSha1?: (name: string) => Promise<string | null>;
}

const POLL_MS = 100;
const POLL_MS_MAX = 1000;

/**
 * Returns the file once it is the only one of its name and counts by its bytes: a damaged file may still be replaced.
 * @throws archiveTimeout (82) naming the repository that lacks the segment or has a damaged one, archiveDuplicate (45)
 * when it has other content than the server
 */
export async function waitForWal(
  { archiveId, known, pass, repo }: AwaitedArchive,
  name: string,
  { moreHints = [], ownSha1, segmentSizeBytes, timeoutMs }: WaitOptions,
  ctx: Context,
): Promise<StoredWal> {
  const archive = { archiveId, pass };
  const content = known ?? new KnownWal(repo);
  const deadline = ctx.clock.monotonicMs() + timeoutMs;
  let pauseMs = POLL_MS;
  for (;;) {
    const files = await findWal(repo, archiveId, name);
    const [stored] = files;
    if (stored !== undefined && files.length === 1 && (await content.isGood(stored, archive, segmentSizeBytes))) {
      const own = (await ownSha1?.(name)) ?? stored.sha1;
      const conflict = own === stored.sha1 ? null : conflictError(repo.key, [name]);
      if (conflict !== null) throw conflict;
      return stored;
    }
    if (ctx.clock.monotonicMs() >= deadline) throw timeoutError(repo, name, files, timeoutMs, moreHints);
    await ctx.clock.sleep(pauseMs, ctx.signal);
    pauseMs = Math.min(pauseMs * 2, POLL_MS_MAX);
  }
}

function timeoutError(
  repo: Repository,
  name: string,
  files: readonly StoredWal[],
  timeoutMs: number,
  moreHints: readonly string[],
): BackupError {
  const names = files.map(({ fileName }) => fileName).join(", ");
  if (files.length > 1)
    return fail("archiveDuplicate", `duplicates found in archive of ${repo.name} for WAL segment ${name}: ${names}`, {
      hint: "are multiple primaries archiving to this stanza?",
      repoIndex: repo.key,
    });
  const damaged = names === "" ? "" : `: the stored file ${names} is damaged`;
  return fail(
    "archiveTimeout",
    `WAL segment ${name} was not archived to ${repo.name} before the ${timeoutMs}ms timeout${damaged}`,
    {
      hint: [
        ...moreHints,
        "check the archive_command to ensure that all options are correct (especially --stanza).",
        "check the PostgreSQL server log for errors.",
        "run the 'check' command to verify each repository.",
      ],
      repoIndex: repo.key,
    },
  );
}
