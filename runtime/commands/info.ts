/**
 * `info`: text for people, or stock's JSON with `--output=json`. Exit 0 whatever the backups are, as in stock; but when repositories cannot
 * be read and the others do not satisfy the acknowledgement policy, the exit code tells. The reason is in what was printed: an error line would
 * spoil the JSON.
 */
import { fail } from "../base/errors";
import { renderJson } from "../format/json";
import { collectInfo, infoJson } from "../operations/info";
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
      backupLockHeld: host.isLocked("backup"),
      restoreLockHeld: host.isLocked("restore"),
    },
    ctx,
  );
  host.print(config.output === "json" ? renderJson(infoJson(report)) : infoText(report));
  const results = report.repos.map(({ key, error }) =>
    error === null ? { repoKey: key, ok: true as const, value: null } : { repoKey: key, ok: false as const, error },
  );
  return policyError("info", results, config.settings.acknowledge)?.exitCode ?? 0;
};
