/** `stanza-create`: in every repository; harmless when repeated, also alongside a running backup. */
import type { RepoResult } from "../../base/parallel";
import { combinedError } from "../../operations/shared/results";
import { checkStanzas, stanzaCreate } from "../../operations/stanza/stanzaCreate";
import { acquireWithin } from "../../local/lockFile";
import { withLeases } from "../../repository/leases";
import type { Command } from "../../process/commandProcess";

const ARCHIVE_LOCK_MS = 15_000;

export const stanzaCreateCommand: Command = async (proc) => {
  proc.requireStarted();
  const repos = proc.repositories();
  const control = await proc.loadControl();
  const checked = await checkStanzas(repos, control, proc.ctx);
  const missing = repos.filter((repo) =>
    checked.some((result) => result.repoIndex === repo.key && result.ok && !result.value),
  );
  const results: RepoResult<unknown>[] = checked.filter((result) => !result.ok || result.value);
  if (missing.length > 0) {
    // An agent that runs already holds it for moments: it tries to archive before there is a stanza.
    await acquireWithin(() => proc.lock("archive", missing), { pollMs: 200, withinMs: ARCHIVE_LOCK_MS }, proc.ctx);
    proc.lock("backup", missing);
    const nothing = async (): Promise<void> => {};
    results.push(
      ...(await withLeases(missing, proc.leases, nothing, (leased) => stanzaCreate(leased, control, proc.ctx))),
    );
  }
  const error = combinedError(
    "stanza-create",
    results.sort((left, right) => left.repoIndex - right.repoIndex),
  );
  if (error !== null) throw error;
  return 0;
};
