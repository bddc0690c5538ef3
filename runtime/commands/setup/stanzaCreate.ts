/** `stanza-create`: in every repository; harmless when repeated, also alongside a running backup. */
import type { RepoResult } from "../../base/parallel";
import { combinedError } from "../../operations/shared/results";
import { checkStanzas, stanzaCreate } from "../../operations/stanza/stanzaCreate";
import { withLeases } from "../../repository/leases";
import type { Command } from "../../process/commandProcess";

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
    proc.lock("archive", missing);
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
