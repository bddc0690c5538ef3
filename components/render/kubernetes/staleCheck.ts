/**
 * The stale check of a cluster: a CronJob that reads its repositories with `check --stale` and notifies. It calls
 * neither Kubernetes nor PostgreSQL. Its expectations are in a ConfigMap of its own, so that they restart nothing.
 * Pure.
 */
import { PATHS } from "../../../runtime/cnpg/names";
import { engineOf } from "../../plan/engines/engines";
import { objectName } from "../../plan/schedule/declaredDrills";
import type { EngineContext } from "../engines/engine";
import { renderSettingsFile } from "../host/settingsFile";
import { renderCronJob } from "./cronJob";
import { repositoryParts } from "./drillCronJob";
import { MANAGED_BY, type RenderedObject } from "./objects";

const SETTINGS_FILE = "pgbackstop.json";
const RUN_SECONDS = 15 * 60;
const MEMORY = "192Mi";
const CPU = "50m";

/** Empty without a stale check, and with an engine that cannot make one. */
export function renderStaleCheck(context: EngineContext): RenderedObject[] {
  const { database, definition, isOutline, schedules } = context;
  const { staleCheck } = definition;
  if (staleCheck === undefined || !engineOf(database.engine).own) return [];
  const name = objectName(`${database.cluster}-stale`);
  const parts = repositoryParts(context);
  // A suspended schedule makes no backup.
  const running = database.schedules.filter((schedule) => schedules[schedule.name]?.suspend !== true);
  const plan = {
    ...database,
    schedules: running,
    firstBackup: true,
    drilled: database,
    maintenance: [{ name: "stale" as const }],
  };
  const config = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: database.namespace, labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } },
    data: isOutline ? {} : { [SETTINGS_FILE]: renderSettingsFile(plan) },
  };
  return [
    { role: "stale-config", manifest: config },
    renderCronJob(context, "stale-check", {
      name,
      cron: staleCheck.cron,
      timeZone: staleCheck.timeZone,
      deadlineSeconds: RUN_SECONDS,
      container: {
        name: "check",
        cpu: CPU,
        memory: MEMORY,
        volumeMounts: [...parts.volumeMounts, { name: "ages", mountPath: PATHS.drill, readOnly: true }],
      },
      options: [
        ...parts.args,
        `--settings=${PATHS.drill}/${SETTINGS_FILE}`,
        `--spool-path=${PATHS.run}/spool`,
        `--lock-path=${PATHS.run}/lock`,
        "--stale",
        "--no-archive-check",
      ],
      verb: "check",
      env: [{ name: "PGBACKSTOP_SECRETS", value: PATHS.secrets }],
      volumes: [...parts.volumes, { name: "ages", configMap: { name } }],
      // Each retry would send the same notice again.
      job: { backoffLimit: 0 },
    }),
  ];
}
