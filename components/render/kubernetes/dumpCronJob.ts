/**
 * Logical dumps of a cluster: a CronJob runs the runtime's `cnpg-dump`, which makes a pod of the Cluster as it is at
 * that time. So a new image of PostgreSQL needs no update here. Pure.
 */
import { dumpPodName, literalArg } from "../../../runtime/cnpg/names";
import { engineOf } from "../../plan/engines/engines";
import { fields, readers } from "../../plan/model/deferred";
import type { EngineContext } from "../engines/engine";
import { notRepeated, renderAccount, renderCronJob, type ScheduledJob, texts } from "./cronJob";
import { renderDumpPolicy } from "./dumpPolicy";
import type { RenderedObject } from "./objects";

const CPU = "20m";
/** It only waits. */
const MEMORY = "128Mi";
/** Time to remove the pod after its own limit. */
const END_SECONDS = 10 * 60;

/** Empty without dumps, and with an engine that cannot take them; rules refuse these. */
export function renderDumps(context: EngineContext): RenderedObject[] {
  const { database } = context;
  const { dumps } = database;
  if (dumps === undefined || !engineOf(database.engine).own) return [];
  const name = (): string => dumpPodName(database.cluster);
  const keys = (): number[] =>
    database.repositories.filter(({ name: each }) => dumps.repositories.includes(each)).map(({ key }) => key);
  const scheduled = fields<ScheduledJob>({
    name,
    account: name,
    restsAsleep: () => true,
    ...readers(dumps, "cron", "timeZone"),
    deadlineSeconds: () => dumps.deadlineSeconds + END_SECONDS,
    container: () => ({ name: "start", cpu: CPU, memory: MEMORY }),
    options: () => [
      () => `--drill-cluster=${database.cluster}`,
      ...texts("--drill-job=$(JOB_NAME)", "--drill-job-uid=$(JOB_UID)"),
      ...(keys().length === database.repositories.length ? [] : [() => `--repos=${keys().join()}`]),
      ...(dumps.databases ?? []).map((each) => () => literalArg(`--database=${each}`)),
    ],
    verb: () => "cnpg-dump",
    job: () => notRepeated("start"),
  });
  return [
    ...(context.definition.drillPolicy ? renderDumpPolicy(database) : []),
    ...renderAccount(context, "dump", name, () => rulesFor(database.cluster)),
    renderCronJob(context, "dump", scheduled),
  ];
}

/** Rules by name where Kubernetes supports it: a creation has none. */
function rulesFor(cluster: string): object[] {
  const pods = { apiGroups: [""], resources: ["pods"] };
  const resourceNames = [dumpPodName(cluster)];
  return [
    { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters"], resourceNames: [cluster], verbs: ["get"] },
    { ...pods, verbs: ["create"] },
    { ...pods, resourceNames, verbs: ["get", "delete"] },
    { ...pods, resources: ["pods/log"], resourceNames, verbs: ["get"] },
  ];
}
