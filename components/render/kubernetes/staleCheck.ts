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
import { fields, merged, readers } from "../../plan/model/deferred";
import { renderCronJob, type ScheduledJob, texts } from "./cronJob";
import { repositoryParts } from "./drillCronJob";
import { metadataOf, object, type RenderedObject } from "./objects";

const SETTINGS_FILE = "pgbackstop.json";
const RUN_SECONDS = 15 * 60;
const MEMORY = "192Mi";
const CPU = "50m";

/** Empty without a stale check, and with an engine that cannot make one. */
export function renderStaleCheck(context: EngineContext): RenderedObject[] {
  const { database, definition } = context;
  const { staleCheck } = definition;
  if (staleCheck === undefined || !engineOf(database.engine).own) return [];
  const name = (): string => objectName(`${database.cluster}-stale`);
  const parts = repositoryParts(context);
  const plan = fields({
    firstBackup: () => true,
    drilled: () => database,
    maintenance: () => [{ name: "stale" as const }],
  });
  const container = merged(
    { name: "check", cpu: CPU, memory: MEMORY },
    fields({ volumeMounts: () => [...parts.volumeMounts, { name: "ages", mountPath: PATHS.drill, readOnly: true }] }),
  );
  const scheduled = fields<ScheduledJob>({
    name,
    restsAsleep: () => true,
    ...readers(staleCheck, "cron", "timeZone"),
    deadlineSeconds: () => RUN_SECONDS,
    container: () => container,
    options: () => [
      ...parts.options,
      ...texts(
        `--settings=${PATHS.drill}/${SETTINGS_FILE}`,
        `--spool-path=${PATHS.run}/spool`,
        `--lock-path=${PATHS.run}/lock`,
        "--stale",
        "--no-archive-check",
      ),
    ],
    verb: () => "check",
    env: () => [{ name: "PGBACKSTOP_SECRETS", value: PATHS.secrets }],
    volumes: () => [...parts.volumes, { name: "ages", configMap: fields({ name }) }],
    // Each retry would send the same notice again.
    job: () => ({ backoffLimit: 0 }),
  });
  const text = (): string => renderSettingsFile(merged(database, plan), context.runtime.version);
  return [
    object("stale-config", ["v1", "ConfigMap"], metadataOf(database, name, name), {
      data: () => fields({ [SETTINGS_FILE]: text }),
    }),
    renderCronJob(context, "stale-check", scheduled),
  ];
}
