/**
 * `stanza-upgrade`: after pg_upgrade, in every repository; harmless when repeated. With the previous data directory it
 * first proves that the cluster was made from the stanza's.
 */
import { combinedError } from "../../operations/shared/results";
import { proveUpgrade } from "../../operations/stanza/upgradeProof";
import { isUpgraded, stanzaUpgrade } from "../../operations/stanza/stanzaUpgrade";
import { loadArchiveInfo } from "../../repository/infoStore";
import { withLeases } from "../../repository/leases";
import type { Command } from "../../process/commandProcess";

export const stanzaUpgradeCommand: Command = async (proc) => {
  proc.requireStarted();
  const repos = proc.repositories();
  proc.lock("archive", repos);
  proc.lock("backup", repos);
  const control = await proc.loadControl();
  const { upgradedFrom } = proc.config.upgrade;
  // When nothing is left to do, the previous directory may be gone.
  const former =
    upgradedFrom === undefined || (await isUpgraded(repos, control))
      ? null
      : await proveUpgrade({ former: upgradedFrom, present: proc.dataDirectory }, proc.ctx);
  const error = combinedError(
    "stanza-upgrade",
    await withLeases(repos, proc.leases, loadArchiveInfo, (leased) => stanzaUpgrade(leased, control, proc.ctx, former)),
  );
  if (error !== null) throw error;
  return 0;
};
