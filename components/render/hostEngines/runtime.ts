/** The engine `runtime` on a host: its configuration, PostgreSQL's settings, and the units that start it. */
import { fields, merged } from "../../plan/model/deferred";
import type { HostPlan } from "../../plan/model/plan";
import { verbArgv } from "../host/commandLine";
import { launcherFile } from "../host/launcher";
import { renderPgbackrestConf } from "../host/pgbackrestConf";
import { postgresSettings } from "../host/archiveSettings";
import { hostPaths } from "../../plan/host/hostCommand";
import { madeFile, type RenderedFile } from "../host/renderedFile";
import { VERSION } from "../../../runtime/version";
import { renderSettingsFile } from "../host/settingsFile";
import { agentUnits } from "../units/agentUnits";
import { backupUnits } from "../units/backupUnits";
import { degradeFile, degradeUnits } from "../units/degradeUnit";
import { drillUnits } from "../units/drillUnits";
import { dumpUnits } from "../units/dumpUnits";
import { failedUnits } from "../units/failedUnits";
import { maintenanceUnits } from "../units/maintenanceUnits";
import { eventUnits } from "../units/eventUnits";
import type { HostEngine, HostParts } from "./engine";

export const runtime: HostEngine = {
  render: runtimeParts,
  // What was restored from a reader's key must not try to archive with it.
  restoreArgv: (plan) => [...verbArgv(plan), "--delta", ...(plan.restoreOnly ? ["--archive-mode=off"] : []), "restore"],
  verbArgv,
  secretRights: ({ agent }) => {
    const owner = agent ? "admin" : "database";
    return { directory: { mode: "0700", owner }, file: { mode: "0600", owner } };
  },
};

function runtimeParts(plan: HostPlan): HostParts {
  const paths = hostPaths(plan.directories);
  const more = (): (RenderedFile | null)[] => [launcherFile(plan), degradeFile(plan)];
  return fields({
    files: () => [
      madeFile(paths.settings, ["0644", "admin"], () => renderSettingsFile(merged(plan, { drilled: plan }), VERSION)),
      madeFile(paths.conf, ["0644", "admin"], () => renderPgbackrestConf(plan)),
      ...more().filter((file) => file !== null),
    ],
    units: () => [
      ...agentUnits(plan),
      ...degradeUnits(plan),
      ...backupUnits(plan),
      ...maintenanceUnits(plan),
      ...drillUnits(plan),
      ...dumpUnits(plan),
      ...failedUnits(plan),
      ...eventUnits(plan),
    ],
    settings: () => postgresSettings(plan),
  });
}
