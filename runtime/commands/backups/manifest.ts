/** `manifest`: the content of one backup (`--set`, by default the newest) in the first repository or `--repo`. */
import { fail } from "../../base/errors";
import { renderJson } from "../../format/repository/json";
import { requireLabel } from "../../operations/shared/requireLabel";
import { manifestJson, manifestText, reportManifest } from "../../operations/info/manifestReport";
import { loadManifest } from "../../repository/backupStore";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Command } from "../../process/commandProcess";

export const manifestCommand: Command = async (proc) => {
  const { config } = proc;
  const [repo] = proc.repositories();
  if (repo === undefined) throw fail("optionRequired", "manifest command requires option: repo1-path");
  const info = await loadBackupInfo(repo);
  const label = config.set ?? info.backups.at(-1)?.label;
  if (label === undefined) throw fail("backupSetInvalid", `no backup in ${repo.name} to show`, { repoIndex: repo.key });
  requireLabel(label);
  const manifest = await loadManifest(repo, label, info.cipherPass ?? null);
  const report = await reportManifest(repo, manifest, config.files.filter, config.files.reference);
  proc.print(config.output === "json" ? renderJson(manifestJson(report)) : manifestText(report));
  return 0;
};
