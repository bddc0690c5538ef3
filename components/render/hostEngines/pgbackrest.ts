/**
 * The engine `pgbackrest` on a host: the host's own pgBackRest writes (archives, backs up, expires) and restores; this
 * package's runtime only reads. Both read the same configuration, at stock's default path, so that stock's commands
 * need no options.
 *
 * archive_command runs in PostgreSQL's own unit, which gets no systemd credentials: configuration and secrets belong to
 * root, and the group of PostgreSQL's account may read them.
 */
import { fields, merged } from "../../plan/model/deferred";
import type { HostPlan } from "../../plan/model/plan";
import type { Schedule } from "../../plan/schedule/schedule";
import { hostPaths, launcherPath } from "../../plan/host/hostCommand";
import { postgresSettings } from "../host/archiveSettings";
import { renderPgbackrestConf } from "../host/pgbackrestConf";
import { madeFile } from "../host/renderedFile";
import { VERSION } from "../../../runtime/version";
import { renderSettingsFile } from "../host/settingsFile";
import {
  stockArchiveCommand,
  stockEachArgv,
  stockEachPath,
  stockLauncherText,
  stockRestoreArgv,
} from "../host/stockCommand";
import { backupUnits } from "../units/backupUnits";
import { drillUnits } from "../units/drillUnits";
import { failedUnits } from "../units/failedUnits";
import { maintenanceUnits } from "../units/maintenanceUnits";
import { eventUnits } from "../units/eventUnits";
import { UNIT_HEAD } from "../units/unit";
import type { HostEngine, HostParts } from "./engine";

/**
 * Stock backs up into one repository per run, by default the first, and its `expire` stops at the first repository that
 * fails. This runs each in sequence, despite failures; the result is the first failure.
 */
const EACH = `#!/bin/sh
${UNIT_HEAD}
# usage: pgbackrest-each KEY[,KEY...] PROGRAM [OPTION...] VERB [OPTION...]
# Runs a verb of stock pgBackRest for one repository after the other. One that fails keeps no other from its turn; the exit code is that of
# the first that failed. With an option --repo it runs once, for that one.
keys=$1
shift
for word; do
  case $word in --repo=*) exec "$@" ;; esac
done
result=0
for key in $(printf '%s' "$keys" | tr ',' ' '); do
  "$@" "--repo=$key"
  code=$?
  if [ "$code" -ne 0 ]; then
    echo "pgbackrest-each: repo$key: exit code $code" >&2
    [ "$result" -ne 0 ] || result=$code
  fi
done
exit "$result"
`;

export const pgbackrest: HostEngine = {
  render: stockParts,
  // What was restored from a reader's key must not try to archive with it.
  restoreArgv: (plan) => stockRestoreArgv(plan, plan.restoreOnly),
  verbArgv: (plan) =>
    stockEachArgv(
      plan,
      plan.repositories.map(({ key }) => key),
    ),
  secretRights: () => ({ directory: { mode: "0750", owner: "shared" }, file: { mode: "0640", owner: "shared" } }),
};

/** @throws Error for a plan that rules refuse */
export function stockParts(plan: HostPlan): HostParts {
  const paths = hostPaths(plan.directories);
  return fields({
    files: () => [
      madeFile(paths.settings, ["0644", "admin"], () => renderSettingsFile(merged(plan, { drilled: plan }), VERSION)),
      madeFile(stockEachPath(plan), ["0755", "admin"], () => EACH),
      madeFile(launcherPath(plan), ["0755", "admin"], () => stockLauncherText(plan)),
      madeFile(paths.conf, ["0640", "shared"], () => renderPgbackrestConf(plan)),
    ],
    units: () => [
      ...backupUnits(plan, (schedule) => backupArgs(plan, schedule)),
      ...maintenanceUnits(plan),
      ...drillUnits(plan),
      ...failedUnits(plan),
      ...eventUnits(plan),
    ],
    settings: () => ({ ...postgresSettings(plan), archive_command: stockArchiveCommand(plan) }),
  });
}

function backupArgs(plan: HostPlan, { repoKeys, type }: Schedule): string[] {
  return [...stockEachArgv(plan, repoKeys), "--log-level-console=info", `--type=${type}`, "backup"];
}
