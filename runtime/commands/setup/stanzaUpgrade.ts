/** `stanza-upgrade`: after pg_upgrade, in every repository; harmless when repeated. */
import { combinedError } from "../../operations/shared/results";
import { stanzaUpgrade } from "../../operations/stanza/stanzaUpgrade";
import { loadArchiveInfo } from "../../repository/infoStore";
import { withLeases } from "../../repository/leases";
import type { Command } from "../host";

export const stanzaUpgradeCommand: Command = async (host) => {
  host.requireStarted();
  const repos = host.repositories();
  host.lock("archive", repos);
  host.lock("backup", repos);
  const control = await host.loadControl();
  const error = combinedError(
    "stanza-upgrade",
    await withLeases(repos, host.leases, loadArchiveInfo, (leased) => stanzaUpgrade(leased, control, host.ctx)),
  );
  if (error !== null) throw error;
  return 0;
};
