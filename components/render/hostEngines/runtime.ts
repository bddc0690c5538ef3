/** The engine `runtime` on a host: its configuration, PostgreSQL's settings, and the units that start it. */
import type { HostPlan } from "../../plan/model/plan";
import { verbArgv } from "../host/commandLine";
import { launcherFile } from "../host/launcher";
import { renderPgbackrestConf } from "../host/pgbackrestConf";
import { postgresSettings } from "../host/archiveSettings";
import { hostPaths } from "../../plan/host/hostCommand";
import { renderSettingsFile } from "../host/settingsFile";
import { agentUnits } from "../units/agentUnits";
import { backupUnits } from "../units/backupUnits";
import { degradeFile, degradeUnits } from "../units/degradeUnit";
import { drillUnits } from "../units/drillUnits";
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
  const more = [launcherFile(plan), degradeFile(plan)].filter((file) => file !== null);
  return {
    files: [
      {
        path: paths.settings,
        mode: "0644",
        owner: "admin",
        text: renderSettingsFile({ ...plan, drilled: plan }),
        deferred: false,
      },
      {
        path: paths.conf,
        mode: "0644",
        owner: "admin",
        deferred: true,
        // Evaluated on demand: while a value is unknown, this file cannot be rendered.
        get text() {
          return renderPgbackrestConf(plan);
        },
      },
      ...more,
    ],
    units: [
      ...agentUnits(plan),
      ...degradeUnits(plan),
      ...backupUnits(plan),
      ...maintenanceUnits(plan),
      ...drillUnits(plan),
      ...failedUnits(plan),
      ...eventUnits(plan),
    ],
    settings: postgresSettings(plan),
  };
}
