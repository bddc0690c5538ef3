/**
 * `info`: text for people, or stock's JSON with `--output=json`. Exit 0 whatever the backups are, as in stock; but when repositories cannot
 * be read, lack the stanza that another one has, or WAL that was dropped behind their newest backup, and the others do not satisfy the
 * acknowledgement policy, the exit code tells. The reason is in what was printed: an error line would spoil the JSON.
 */
import { fail } from "../base/errors";
import type { RepoResult } from "../base/parallel";
import { renderJson } from "../format/json";
import { collectInfo, type InfoReport, infoJson } from "../operations/info";
import { infoText } from "../operations/infoText";
import { policyError } from "../operations/results";
import type { Command } from "./host";

export const infoCommand: Command = async (host) => {
  const { config, ctx } = host;
  if (config.stanza === undefined)
    throw fail("optionRequired", "info command requires option: stanza", {
      hint: "listing all stanzas of a repository is not available in this version.",
    });
  const report = await collectInfo(
    host.repositories(),
    host.debt(),
    {
      stanza: config.stanza,
      set: config.set === "latest" ? undefined : config.set,
      backupLockHeld: host.lockState("backup").held,
      restoreLockHeld: host.lockState("restore").held,
    },
    ctx,
  );
  host.print(config.output === "json" ? renderJson(infoJson(report)) : infoText(report));
  return policyError("info", troubles(report), config.settings.acknowledge)?.exitCode ?? 0;
};

/** A repository is in trouble when it cannot be read, lacks a stanza that another one has (an empty mount point), or WAL that was dropped. */
function troubles({ repos, stanza }: InfoReport): RepoResult<null>[] {
  const known = repos.some((repo) => repo.info !== null);
  return repos.map(({ key, error, info, status, droppedCount }): RepoResult<null> => {
    if (error !== null) return { repoKey: key, ok: false, error };
    if (droppedCount > 0) return { repoKey: key, ok: false, error: fail("fileMissing", "WAL was dropped", { repoKey: key }) };
    if (info !== null || !known) return { repoKey: key, ok: true, value: null };
    return { repoKey: key, ok: false, error: fail("fileMissing", `stanza '${stanza}': ${status.message}`, { repoKey: key }) };
  });
}
