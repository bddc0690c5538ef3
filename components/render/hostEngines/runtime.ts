/** The engine `runtime` on a host: its configuration, PostgreSQL's settings, and the units that start it. */
import type { HostPlan } from "../../plan/plan";
import { renderPgbackrestConf } from "../pgbackrestConf";
import { postgresSettings } from "../postgresSettings";
import { hostPaths } from "../renderedFile";
import { renderSettingsFile } from "../settingsFile";
import { backupUnits } from "../units/backup";
import type { HostParts } from "./engine";

export function runtimeParts(plan: HostPlan): HostParts {
  const paths = hostPaths(plan.directories);
  return {
    files: [
      { path: paths.settings, mode: "0644", owner: "admin", text: renderSettingsFile(plan), late: false },
      {
        path: paths.conf,
        mode: "0644",
        owner: "admin",
        late: true,
        // Only when it is asked for: while a value is not known, nothing of this file can be written.
        get text() {
          return renderPgbackrestConf(plan);
        },
      },
    ],
    units: backupUnits(plan),
    settings: postgresSettings(plan),
  };
}
