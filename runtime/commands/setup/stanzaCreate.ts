/** `stanza-create`: in every repository; harmless when repeated, also beside a running backup. */
import type { RepoResult } from "../../base/parallel";
import { combinedError } from "../../operations/shared/results";
import { checkStanzas, stanzaCreate } from "../../operations/stanza/stanzaCreate";
import { withLeases } from "../../repository/leases";
import type { Command } from "../../process/commandProcess";

export const stanzaCreateCommand: Command = async (host) => {
  host.requireStarted();
  const repos = host.repositories();
  const control = await host.loadControl();
  const checked = await checkStanzas(repos, control, host.ctx);
  const missing = repos.filter((repo) =>
    checked.some((result) => result.repoIndex === repo.key && result.ok && !result.value),
  );
  const results: RepoResult<unknown>[] = checked.filter((result) => !result.ok || result.value);
  if (missing.length > 0) {
    host.lock("archive", missing);
    host.lock("backup", missing);
    const nothing = async (): Promise<void> => {};
    results.push(
      ...(await withLeases(missing, host.leases, nothing, (leased) => stanzaCreate(leased, control, host.ctx))),
    );
  }
  const error = combinedError(
    "stanza-create",
    results.sort((left, right) => left.repoIndex - right.repoIndex),
  );
  if (error !== null) throw error;
  return 0;
};
