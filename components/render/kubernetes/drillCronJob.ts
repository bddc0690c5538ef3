/**
 * Fire drills of a cluster: a CronJob for each runs the runtime's `cnpg-drill`, with an account that may only create,
 * read and remove the Clusters of its drills. Pure.
 */
import { engineOf } from "../../plan/engines/engines";
import { PATHS } from "../../../runtime/cnpg/names";
import type { ResourcesSettings } from "../../plan/cluster/declaredCluster";
import { drillName, isAttack } from "../../plan/schedule/declaredDrills";
import type { DrillPlan } from "../../plan/model/plan";
import { claimNames, configMapName, secretFiles } from "../engines/runtime";
import type { EngineContext } from "../engines/engine";
import { renderDrillPolicy } from "./drillPolicy";
import { notRepeated, renderAccount, renderCronJob, renderJobSpec, type ScheduledJob, texts } from "./cronJob";
import { given } from "../../../runtime/base/given";
import { valueAt } from "../../plan/model/anyValue";
import { fields, isGiven, merged, readOr, readers } from "../../plan/model/deferred";
import { metadataOf, object, type RenderedObject } from "./objects";
import { renderSettingsFile } from "../host/settingsFile";

const CPU = "50m";
/** Rows of a dump pass through it one by one. */
const MEMORY = "384Mi";
/** Default limit of a drill; removing the Cluster takes additional time. */
const DRILL_MINUTES_MAX = 1440;
const END_SECONDS = 20 * 60;
const SETTINGS_FILE = "pgbackstop.json";

/** Empty without a drill that the engine can make; rules refuse the others. */
export function renderDrills(context: EngineContext): RenderedObject[] {
  const { database, definition } = context;
  const drills = database.drills
    .filter(({ elsewhere }) => elsewhere !== true)
    .toSorted((left, right) => (left.name < right.name ? -1 : 1));
  if (drills.length === 0 || !engineOf(database.engine).own) return [];
  const account = (): string => `${database.cluster}-drill`;
  const restoring = (): DrillPlan[] => drills.filter((drill) => !isAttack(drill));
  const names = (): string[] => restoring().map(({ name }) => drillName(database.cluster, name));
  return [
    object(
      "drill-config",
      ["v1", "ConfigMap"],
      metadataOf(database, () => settingsName(context), account),
      {
        data: () => fields({ [SETTINGS_FILE]: () => settingsText(context) }),
      },
    ),
    ...(definition.drillPolicy ? renderDrillPolicy(database, account, names) : []),
    ...renderAccount(context, "drill", account, () => rulesFor(database.cluster, names())),
    ...drills.map((drill) => renderCronJob(context, `drill-${drill.name}`, jobOf(context, drill, account))),
  ];
}

/** Rules by name where Kubernetes supports it: creations and lists have no names. */
function rulesFor(cluster: string, names: readonly string[]): object[] {
  // Without names a rule would allow all objects.
  if (names.length === 0) return [];
  const clusters = { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters"] };
  return [
    { ...clusters, verbs: ["create"] },
    { ...clusters, resourceNames: [cluster, ...names], verbs: ["get"] },
    { ...clusters, resourceNames: names, verbs: ["delete"] },
    {
      apiGroups: ["batch"],
      resources: ["jobs"],
      resourceNames: names.map((name) => `${name}-1-full-recovery`),
      verbs: ["get"],
    },
    {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: names.flatMap((name) => [`${name}-superuser`, `${name}-ca`]),
      verbs: ["get"],
    },
    { apiGroups: [""], resources: ["events"], verbs: ["list"] },
  ];
}

function settingsName({ database }: EngineContext): string {
  return `${database.cluster}-drills`;
}

function settingsText({ database, runtime }: EngineContext): string {
  return renderSettingsFile(merged(database, { firstBackup: false, drilled: database }), runtime.version);
}

function jobOf(context: EngineContext, drill: DrillPlan, account: () => string): ScheduledJob {
  const { database } = context;
  const name = (): string => drillName(database.cluster, drill.name);
  const parts = volumesOf(context, drill);
  return fields<ScheduledJob>({
    name,
    account,
    ...readers(drill, "cron", "timeZone"),
    deadlineSeconds: () => (drill.maxMinutes ?? DRILL_MINUTES_MAX) * 60 + END_SECONDS,
    container: () =>
      merged({ name: "drill", cpu: CPU, memory: MEMORY }, fields({ volumeMounts: () => parts.volumeMounts })),
    options: () => optionsOf(context, drill, name),
    verb: () => "cnpg-drill",
    env: () => [{ name: "PGBACKSTOP_SECRETS", value: PATHS.secrets }],
    volumes: () => parts.volumes,
    job: () => notRepeated("drill"),
  });
}

function optionsOf({ database, definition }: EngineContext, drill: DrillPlan, name: () => string): (() => string)[] {
  return [
    ...texts(`--config=${PATHS.config}/pgbackrest.conf`, `--settings=${PATHS.drill}/${SETTINGS_FILE}`),
    () => `--stanza=${database.stanza}`,
    ...texts("--drill-job=$(JOB_NAME)", "--drill-job-uid=$(JOB_UID)"),
    () => `--drill-cluster=${database.cluster}`,
    ...texts(`--drill-secret-path=${PATHS.production}`),
    () => `--throw-away=${name()}`,
    ...texts(`--name=${drill.name}`),
    ...resourceArgs(definition.drills[drill.name]?.resources ?? {}),
    ...texts(`--spool-path=${PATHS.run}/spool`, `--lock-path=${PATHS.run}/lock`),
  ];
}

const RESOURCES = [
  ["requests.cpu", "cpu"],
  ["requests.memory", "memory"],
  ["limits.cpu", "cpuLimit"],
  ["limits.memory", "memoryLimit"],
] as const;

function resourceArgs(resources: ResourcesSettings): (() => string)[] {
  return RESOURCES.filter(([, field]) => isGiven(() => resources[field])).map(
    ([name, field]) =>
      () =>
        `--drill-resource=${name}=${resources[field]}`,
  );
}

type Entry = readonly [name: string, mountPath: string, source: object, readOnly: boolean];

/** Another Job's parts for using a cluster's repositories, with engine runtime. */
export interface RepositoryParts {
  readonly options: readonly (() => string)[];
  readonly volumeMounts: readonly object[];
  readonly volumes: readonly object[];
}

export function repositoryParts(context: EngineContext): RepositoryParts {
  const options = [...texts(`--config=${PATHS.config}/pgbackrest.conf`), () => `--stanza=${context.database.stanza}`];
  return merged(
    { options },
    mounted(() => [configEntry(context), ...repositoryEntries(context)]),
  );
}

/**
 * Specs of Jobs that make a declared drill once, with the newest backup, by the drill's name. They stay until removed,
 * so that a waiting user can read them.
 */
export function drillJobs(context: EngineContext): Record<string, object> {
  const { database } = context;
  const made = database.drills.filter((drill) => drill.elsewhere !== true && !readOr(() => isAttack(drill), false));
  return fields(Object.fromEntries(made.map((drill) => [drill.name, () => drillJob(context, drill)])));
}

function drillJob(context: EngineContext, drill: DrillPlan): object {
  const scheduled = jobOf(context, drill, () => `${context.database.cluster}-drill`);
  const once = fields({
    options: () => [...texts("--pick=newest"), ...scheduled.options],
    job: () => ({ ...scheduled.job, ttlSecondsAfterFinished: undefined }),
  });
  return given(renderJobSpec(context, merged(scheduled, once)));
}

/** Configuration and keys as in a sidecar, and for a restore the credentials of production if it exists. */
function volumesOf(context: EngineContext, drill: DrillPlan): Omit<RepositoryParts, "options"> {
  const { database, definition } = context;
  const ownerSecret = (): string | undefined =>
    valueAt(definition.spec, "bootstrap", "initdb", "secret", "name") as string | undefined;
  const sources = (): readonly object[] => productionSources(database, ownerSecret);
  return mounted(() => [
    configEntry(context),
    ["drill", PATHS.drill, { configMap: fields({ name: () => settingsName(context) }) }, true],
    ...(isAttack(drill) ? [] : [["production", PATHS.production, { projected: fields({ sources }) }, true] as const]),
    ...repositoryEntries(context),
  ]);
}

function configEntry({ database }: EngineContext): Entry {
  return ["config", PATHS.config, { configMap: fields({ name: () => configMapName(database.cluster) }) }, true];
}

/** Keys and claims. */
function repositoryEntries({ database, secrets }: EngineContext): Entry[] {
  return [
    ...database.repositories.flatMap(({ name }): Entry[] => {
      const sources = secretFiles(secrets[name] ?? {}).map(({ file, ref }) => ({
        secret: fields({
          name: () => ref.name,
          items: () => [fields({ key: () => ref.key, path: () => file })],
          optional: () => true,
        }),
      }));
      return sources.length === 0 ? [] : [[name, `${PATHS.secrets}/${name}`, { projected: { sources } }, true]];
    }),
    ...claimNames(database).map(
      (claim, index): Entry => [
        `claim-${index}`,
        `${PATHS.claims}/${claim}`,
        { persistentVolumeClaim: { claimName: claim } },
        false,
      ],
    ),
  ];
}

function mounted(entries: () => readonly Entry[]): Omit<RepositoryParts, "options"> {
  return fields({
    volumeMounts: () =>
      entries().map(([name, mountPath, , readOnly]) =>
        given({ name, mountPath, readOnly: readOnly ? true : undefined }),
      ),
    volumes: () => entries().map(([name, , source]) => merged({ name }, source)),
  });
}

/**
 * An application's credentials: counting rows in production needs no more. Only the authority's certificate, not its
 * key.
 */
function productionSources(
  database: EngineContext["database"],
  ownerSecret: () => string | undefined,
): readonly object[] {
  const source = (name: () => string, ...keys: readonly string[]): object => ({
    secret: fields({ name, items: () => keys.map((key) => ({ key, path: key })), optional: () => true }),
  });
  return [
    source(() => ownerSecret() ?? `${database.cluster}-app`, "username", "password", "dbname"),
    source(() => `${database.cluster}-ca`, "ca.crt"),
  ];
}
