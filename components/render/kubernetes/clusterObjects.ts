/**
 * A CloudNativePG cluster (1.28 and newer) with its backups as Kubernetes objects: plain data, in the order of
 * creation. Equal plans give equal objects, in any order of the arguments. Fields: the custom resource definitions of
 * CloudNativePG 1.30.
 */
import type { ClusterDefinition, PoolerPlan } from "../../plan/cluster/clusterPlan";
import type {
  RecoverySettings,
  RecoveryTargetSettings,
  SnapshotSourceSettings,
} from "../../plan/cluster/declaredCluster";
import { synchronousField } from "../../plan/cluster/synchronousStandbys";
import type { Finding } from "../../plan/findings/findings";
import { checkWithSpec } from "../../plan/rules/finalCluster";
import { SNAPSHOT_SCHEDULE } from "../../plan/cluster/snapshotPlan";
import { DEFAULTS } from "../../plan/model/defaults";
import { engineOf, findEngine } from "../../plan/engines/engines";
import type { BackupType } from "../../plan/schedule/schedule";
import { renderEngine } from "../engines/engineTable";
import type { BackupRun, EngineContext, EngineParts, RecoverySource } from "../engines/engine";
import { renderSnapshots } from "../engines/volumeSnapshot";
import { renderDrills } from "./drillCronJob";
import { renderDumps } from "./dumpCronJob";
import { renderExpiry } from "./expiry";
import { renderMonitors } from "./monitors";
import { renderStaleCheck } from "./staleCheck";
import { given } from "../../../runtime/base/given";
import type { Fields } from "../../plan/model/anyValue";
import { mergeOver } from "../../plan/model/mergeOver";
import { fields, givenFields, isGiven, mappedFields, merged, without, readers } from "../../plan/model/deferred";
import { canonical, filled, MANAGED_BY, type Manifest, metadataOf, object, type RenderedObject } from "./objects";
import { renderReplaceArchiver } from "./replaceArchiverJob";
import { toSixFields } from "./sixFields";

export const CNPG = "postgresql.cnpg.io/v1";
/** Name of the entry of `spec.externalClusters` that a cluster is restored or imported from. */
export const SOURCE_NAME = "source";

/** What the engine of the plan brings, with snapshots alongside it. @throws Error for an engine that rules refuse */
export function engineParts(context: EngineContext): EngineParts {
  if (context.database.withoutBackups === true) return { plugins: [], backup: undefined, objects: [], runs: [] };
  const parts = renderEngine(context);
  const { definition } = context;
  if (definition.snapshots === undefined || engineOf(context.database.engine).snapshots) return parts;
  const beside = renderSnapshots(context);
  return {
    ...parts,
    backup: merged(parts.backup ?? {}, beside.backup ?? {}),
    runs: [...parts.runs, ...beside.runs],
  };
}

/** Everything but Secrets: what the engine needs, the Cluster, its schedules, poolers and monitor. */
export function renderCluster(context: EngineContext, source: RecoverySource | null): RenderedObject[] {
  const parts = engineParts(context);
  return [
    ...parts.objects,
    ...(source?.objects ?? []),
    { role: "cluster", manifest: withSpec(context, clusterManifest(context, parts, source)) },
    ...parts.runs.map((run) => scheduledBackup(context, run)),
    ...renderExpiry(context),
    ...renderDrills(context),
    ...renderDumps(context),
    ...renderStaleCheck(context),
    ...context.definition.poolers.toSorted(byName).map((pooler) => poolerManifest(context, pooler)),
    ...renderMonitors(context),
  ].map(canonical);
}

/**
 * Fields for a Cluster that something else created: its archiver, and what the arguments ask for. `spec.plugins` is one
 * field for the API server: its manager owns all of it.
 */
export function renderAttachment(context: EngineContext): RenderedObject[] {
  const parts = engineParts(context);
  const { database } = context;
  const backup = askedBackup(context, parts);
  const metadata = fields({ name: () => database.cluster, namespace: () => database.namespace });
  const parameters = (): object | undefined => filled(givenFields({ archive_timeout: () => archiveTimeout(context) }));
  // Instances restart now, which would end a Backup: the sidecar takes the first one.
  const runs = engineOf(database.engine).own ? parts.runs.map((run) => merged(run, { immediate: false })) : parts.runs;
  return [
    ...parts.objects,
    ...renderReplaceArchiver(context, () => given({ plugins: parts.plugins, backup })),
    object("attachment", [CNPG, "Cluster"], metadata, {
      spec: () =>
        givenFields({
          plugins: () => filled(parts.plugins),
          backup: () => backup,
          postgresql: () => filled(givenFields({ parameters, synchronous: () => synchronous(context) })),
        }),
    }),
    ...runs.map((run) => scheduledBackup(context, run)),
    ...renderExpiry(context),
    ...renderDrills(context),
    ...renderDumps(context),
    ...renderStaleCheck(context),
    ...renderMonitors(context),
  ].map(canonical);
}

/**
 * Without defaults, which may be another manager's fields with other values. No backup needs them: each Backup names
 * its own target, and `online` of its snapshot. `volumeSnapshot` itself must exist for the operator to take one.
 */
function askedBackup({ definition }: EngineContext, { backup = {} }: EngineParts): object | undefined {
  const volumeSnapshot = (): object | undefined => {
    if (backup["volumeSnapshot"] === undefined) return undefined;
    const { snapshots = {} } = definition;
    return merged(
      without(backup["volumeSnapshot"] as Record<string, unknown>, "online", "snapshotOwnerReference"),
      givenFields({ online: () => snapshots.online, snapshotOwnerReference: () => snapshots.ownerReference }),
    );
  };
  const target = (): unknown => (definition.asksBackupTarget ? backup["target"] : undefined);
  return filled(givenFields({ target, volumeSnapshot }));
}

/** Without `spec`. */
function clusterManifest(context: EngineContext, parts: EngineParts, source: RecoverySource | null): Manifest {
  const { database, definition } = context;
  const spec = (): object =>
    givenFields({
      instances: () => database.instances,
      imageName: () => definition.image,
      enableSuperuserAccess: () => definition.superuserAccess,
      storage: () => storageSpec(definition.storage),
      postgresql: () => postgresqlSpec(context),
      bootstrap: () => bootstrapSpec(definition, source),
      replica: () => replicaSpec(definition),
      externalClusters: () => (source === null ? undefined : [{ name: SOURCE_NAME, plugin: source.plugin }]),
      plugins: () => filled(parts.plugins),
      backup: () => parts.backup,
      monitoring: () => monitoringSpec(definition),
    });
  const metadata = givenFields({
    name: () => database.cluster,
    namespace: () => database.namespace,
    labels: () => merged(MANAGED_BY, definition.labels),
    annotations: () => filled(definition.annotations),
  }) as Manifest["metadata"];
  return object("cluster", [CNPG, "Cluster"], metadata, { spec }).manifest;
}

/** Undefined without a name. */
function reference(name: () => string | undefined): object | undefined {
  return filled(givenFields({ name }));
}

/** The Cluster with what its own `spec` says, and then what no argument may change. */
function withSpec(context: EngineContext, base: Manifest): Manifest {
  const own = (): object | undefined => filled(givenFields({ synchronous: () => synchronous(context) }));
  return overBy(overBy(base, context.definition.spec), givenFields({ postgresql: own }));
}

function overBy(base: Manifest, spec: object): Manifest {
  return merged(base, fields({ spec: () => mergeOver(base["spec"], spec) }));
}

/** Findings about the Cluster that `spec` leaves. */
export function checkSpec(context: EngineContext, source: RecoverySource | null): Finding[] {
  if (Object.keys(context.definition.spec).length === 0) return [];
  const base = clusterManifest(context, engineParts(context), source);
  return checkWithSpec(base["spec"], withSpec(context, base)["spec"]);
}

function postgresqlSpec(context: EngineContext): object | undefined {
  const { definition } = context;
  const timeout = givenFields({ archive_timeout: () => archiveTimeout(context) });
  return filled(
    givenFields({
      parameters: () => filled(merged(definition.parameters, timeout)),
    }),
  );
}

/** Over the user's own field, which it contains. */
function synchronous(context: EngineContext): object | undefined {
  if (context.database.synchronous === undefined) return undefined;
  const field = synchronousField(context);
  return field.isSayable ? field.field : undefined;
}

/** CloudNativePG's default is 5min: only other values are set. */
function archiveTimeout({ database }: EngineContext): string | undefined {
  const seconds = database.archiveTimeoutSeconds;
  return seconds === undefined || seconds === DEFAULTS.clusterArchiveTimeoutSeconds ? undefined : `${seconds}s`;
}

function storageSpec(settings: ClusterDefinition["storage"]): object | undefined {
  if (settings === undefined) return undefined;
  return givenFields({ size: () => `${settings.sizeGiB}Gi`, storageClass: () => settings.storageClass });
}

function bootstrapSpec({ bootstrap: { recovery } }: ClusterDefinition, source: RecoverySource | null) {
  return recovery === undefined ? undefined : { recovery: recoverySpec(recovery, source) };
}

/** Fields that the operator calls something else. */
const TARGET = {
  backup: "backupID",
  time: "targetTime",
  lsn: "targetLSN",
  xid: "targetXID",
  restorePoint: "targetName",
  immediate: "targetImmediate",
  timeline: "targetTLI",
} as const;

/** The fields by the operator's names. */
function renamed(values: object, names: Readonly<Record<string, string>>): object {
  const makers = Object.keys(values).map((key) => [names[key] ?? key, () => (values as Fields)[key]]);
  return givenFields(Object.fromEntries(makers) as Record<string, () => unknown>);
}

function recoverySpec(recovery: RecoverySettings, source: RecoverySource | null): object {
  const { snapshot, target } = recovery;
  return givenFields({
    source: () => (source === null ? undefined : SOURCE_NAME),
    volumeSnapshots: () => (snapshot === undefined ? undefined : snapshotSource(snapshot)),
    ...readers(recovery, "database", "owner"),
    secret: () => reference(() => recovery.ownerSecret),
    recoveryTarget: () => (target === undefined ? undefined : renamed(asRead(target, source), TARGET)),
  });
}

/** The operator reads the minutes of an offset only after a colon, and after a T wants them. */
function withMinutes(time: string): string {
  return time.replace(/([+-]\d{2})(\d{2})$/, "$1:$2").replace(/T.*[+-]\d{2}$/, "$&:00");
}

/** With the time as the source's engine and the operator read it. */
function asRead(target: RecoveryTargetSettings, source: RecoverySource | null): RecoveryTargetSettings {
  const write = source?.writeTime ?? withMinutes;
  if (!isGiven(() => target.time)) return target;
  return merged(target, fields({ time: () => (target.time === undefined ? undefined : write(target.time)) }));
}

function replicaSpec({ replica }: ClusterDefinition): object | undefined {
  return replica === undefined ? undefined : given(merged(replica, { source: SOURCE_NAME }));
}

function snapshotSource(settings: SnapshotSourceSettings): object {
  const snapshot = (name: () => string | undefined): object | undefined =>
    isGiven(name)
      ? merged({ apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot" }, fields({ name }))
      : undefined;
  return givenFields({
    storage: () => snapshot(() => settings.storage),
    walStorage: () => snapshot(() => settings.walStorage),
    tablespaceStorage: () => {
      const { tablespaces } = settings;
      return tablespaces === undefined ? undefined : mappedFields(tablespaces, snapshot);
    },
  });
}

function monitoringSpec(definition: ClusterDefinition): object | undefined {
  return filled(
    givenFields({
      tls: () => filled(givenFields({ enabled: () => definition.monitors.tls })),
    }),
  );
}

function scheduledBackup({ database }: Pick<EngineContext, "database">, run: BackupRun): RenderedObject {
  const spec = (): object =>
    merged(
      fields({ schedule: () => toSixFields(run.cron) }),
      backupSpec({ database }, run),
      givenFields({
        immediate: () => run.immediate,
        suspend: () => (run.suspend ? true : undefined),
        backupOwnerReference: () => run.ownerReference,
      }),
    );
  const metadata = metadataOf(database, () => `${database.cluster}-${run.suffix}`);
  return object(`schedule-${run.suffix}`, [CNPG, "ScheduledBackup"], metadata, { spec });
}

/** `spec` of a Backup. */
export type BackupSpec = Record<string, unknown>;

/**
 * One-shot backups, for each kind that the engine supports: as many as one such backup takes to reach every repository,
 * and a snapshot where they are taken alongside the engine. They need no schedule, and run on the cluster's usual
 * target.
 */
export function oneShotBackups(context: EngineContext): Record<string, BackupSpec[]> {
  const { database, definition } = context;
  const made = oneShotInto(
    context,
    database.repositories.map(({ name }) => name),
  );
  if (definition.snapshots === undefined || engineOf(database.engine).snapshots) return made;
  const snapshots = merged(definition.snapshots, { cron: ANY_TIME });
  const { runs } = renderSnapshots(merged(context, { definition: merged(definition, { snapshots }) }));
  return { ...made, [SNAPSHOT_SCHEDULE]: runs.map((run) => backupSpec(context, run)) };
}

/** The same into one repository each, by its name. */
export function oneShotBackupsByRepository(context: EngineContext): Record<string, Record<string, BackupSpec[]>> {
  return Object.fromEntries(context.database.repositories.map(({ name }) => [name, oneShotInto(context, [name])]));
}

function oneShotInto(context: EngineContext, repositories: readonly string[]): Record<string, BackupSpec[]> {
  const { engine, withoutBackups } = context.database;
  const kinds = withoutBackups === true ? [] : (findEngine(engine)?.backupTypes ?? []);
  return Object.fromEntries(
    kinds.map((type) => [type, runsOnce(context, type, repositories).map((run) => backupSpec(context, run))]),
  );
}

/** A backup that is asked for has none. */
const ANY_TIME = "0 0 * * *";

function runsOnce(context: EngineContext, type: BackupType, repositories: readonly string[]): readonly BackupRun[] {
  const once = {
    name: type,
    type,
    cron: ANY_TIME,
    timeZone: "UTC",
    repoKeys: [],
    repositories,
    jitterSeconds: 0,
    deadlineSeconds: 0,
  };
  return renderEngine(merged(context, { schedules: {}, database: merged(context.database, { schedules: [once] }) }))
    .runs;
}

/** Common fields of a Backup and a ScheduledBackup. */
function backupSpec({ database }: Pick<EngineContext, "database">, run: BackupRun): BackupSpec {
  return givenFields<BackupSpec>({
    cluster: () => fields({ name: () => database.cluster }),
    ...readers(run, "method", "pluginConfiguration", "target", "online"),
  });
}

function poolerManifest({ database }: EngineContext, pooler: PoolerPlan): RenderedObject {
  const spec = (): object =>
    fields({
      cluster: () => fields({ name: () => database.cluster }),
      ...readers(pooler, "instances", "type"),
      pgbouncer: () => givenFields({ poolMode: () => pooler.poolMode, parameters: () => filled(pooler.parameters) }),
    });
  const name = (): string => `${database.cluster}-${pooler.name}`;
  const metadata = metadataOf(database, name, undefined, () => pooler.labels);
  const annotations = (): object | undefined => filled(pooler.annotations);
  const { manifest, role } = object(
    `pooler-${pooler.name}`,
    [CNPG, "Pooler"],
    merged(metadata, givenFields({ annotations })) as Manifest["metadata"],
    { spec },
  );
  return { role, manifest: overBy(manifest, pooler.spec) };
}

function byName(left: PoolerPlan, right: PoolerPlan): number {
  return left.name < right.name ? -1 : 1;
}
