/** Waits until a repository holds a WAL segment: a backup is consistent, and a check is meaningful, only then. */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Repository } from "../../repository/repository";
import { hasWal } from "../../repository/walStore";

const POLL_MS = 100;
const POLL_MS_MAX = 1000;

/** `moreHints` precede the usual ones. @throws archiveTimeout (82) naming the repository that lacks the segment */
export async function waitForWal(
  repo: Repository,
  archiveId: string,
  name: string,
  timeoutMs: number,
  ctx: Context,
  moreHints: readonly string[] = [],
): Promise<void> {
  const deadline = ctx.clock.monotonicMs() + timeoutMs;
  let pauseMs = POLL_MS;
  for (;;) {
    if (await hasWal(repo, archiveId, name)) return;
    if (ctx.clock.monotonicMs() >= deadline) {
      throw fail(
        "archiveTimeout",
        `WAL segment ${name} was not archived to ${repo.name} before the ${timeoutMs}ms timeout`,
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
    await ctx.clock.sleep(pauseMs, ctx.signal);
    pauseMs = Math.min(pauseMs * 2, POLL_MS_MAX);
  }
}
