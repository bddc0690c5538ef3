/**
 * `stanza-upgrade`: after pg_upgrade, in every repository; harmless when repeated. With the former data directory it
 * first proves that the cluster was made from the stanza's.
 */
import { combinedError } from "../../operations/shared/results";
import { proveUpgrade } from "../../operations/stanza/upgradeProof";
import { isUpgraded, stanzaUpgrade } from "../../operations/stanza/stanzaUpgrade";
import { loadArchiveInfo } from "../../repository/infoStore";
import { withLeases } from "../../repository/leases";
import type { Command } from "../../process/commandProcess";

export const stanzaUpgradeCommand: Command = async (host) => {
  host.requireStarted();
  const repos = host.repositories();
  host.lock("archive", repos);
  host.lock("backup", repos);
  const control = await host.loadControl();
  const { upgradedFrom } = host.config.upgrade;
  // When nothing is left to do, the former directory may be gone.
  const former =
    upgradedFrom === undefined || (await isUpgraded(repos, control))
      ? null
      : await proveUpgrade({ former: upgradedFrom, present: host.dataDirectory }, host.ctx);
  const error = combinedError(
    "stanza-upgrade",
    await withLeases(repos, host.leases, loadArchiveInfo, (leased) => stanzaUpgrade(leased, control, host.ctx, former)),
  );
  if (error !== null) throw error;
  return 0;
};
