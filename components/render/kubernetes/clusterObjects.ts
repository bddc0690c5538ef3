/**
 * A CloudNativePG cluster (1.28 and newer) with its backups as Kubernetes objects: plain data, in the order of
 * creation. Equal plans give equal objects, in any order of the arguments. Fields: the custom resource definitions of
 * CloudNativePG 1.30.
 */
import type { ClusterDefinition, PoolerPlan } from "../../plan/cluster/clusterPlan";
import type {
  ImportSettings,
  RecoverySettings,
  RoleSettings,
  SnapshotSourceSettings,
  StorageSettings,
} from "../../plan/cluster/declaredCluster";
import { asWritten } from "../../plan/cluster/specArgument";
import { synchronousField } from "../../plan/cluster/synchronousStandbys";
import type { Finding } from "../../plan/findings/findings";
import { checkOverriddenCluster } from "../../plan/rules/finalCluster";
import { SNAPSHOT_SCHEDULE } from "../../plan/cluster/snapshotPlan";
import { DEFAULTS } from "../../plan/model/defaults";
import { engineOf, findEngine } from "../../plan/engines/engines";
import type { BackupType } from "../../plan/schedule/schedule";
import { renderEngine } from "../engines/engineTable";
import type { BackupRun, EngineContext, EngineParts, RecoverySource } from "../engines/engine";
import { renderSnapshots } from "../engines/volumeSnapshot";
import { renderDrills } from "./drillCronJob";
import { renderExpiry } from "./expiry";
import { renderMonitors } from "./monitors";
import { renderStaleCheck } from "./staleCheck";
import { given } from "../../plan/model/given";
import {
  canonical,
  MANAGED_BY,
  type Manifest,
  mergeOver,
  type RenderedObject,
  resourcesSpec,
  sorted,
  sortedEntries,
} from "./objects";
import { renderReplaceArchiver } from "./replaceArchiverJob";
import { toSixFields } from "./sixFields";

const CNPG = "postgresql.cnpg.io/v1";
/** Name of the entry of `spec.externalClusters` that a cluster is restored or imported from. */
export const SOURCE_NAME = "source";

/** What the engine of the plan brings, with snapshots beside it. @throws Error for an engine that rules refuse */
export function engineParts(context: EngineContext): EngineParts {
  if (context.database.withoutBackups === true) return { plugins: [], backup: undefined, objects: [], runs: [] };
  const parts = renderEngine(context);
  const { definition } = context;
  if (definition.snapshots === undefined || engineOf(context.database.engine).snapshots) return parts;
  const beside = renderSnapshots(context);
  return { ...parts, backup: { ...parts.backup, ...beside.backup }, runs: [...parts.runs, ...beside.runs] };
}

/** Everything but Secrets: what the engine needs, the Cluster, its schedules, poolers and monitor. */
export function renderCluster(context: EngineContext, source: RecoverySource | null): RenderedObject[] {
  const parts = engineParts(context);
  return [
    ...parts.objects,
    ...(source?.objects ?? []),
    { role: "cluster", manifest: overridden(context, clusterManifest(context, parts, source)) },
    ...parts.runs.map((run) => scheduledBackup(context, run)),
    ...renderExpiry(context),
    ...renderDrills(context),
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
  const manifest: Manifest = {
    apiVersion: CNPG,
    kind: "Cluster",
    metadata: { name: database.cluster, namespace: database.namespace },
    spec: given({
      plugins: filled(parts.plugins),
      backup,
      postgresql:
        archiveTimeout(context) === undefined
          ? synchronous(context)
          : { parameters: { archive_timeout: archiveTimeout(context) }, ...synchronous(context) },
    }),
  };
  // Instances restart now, which would end a Backup: the sidecar takes the first one.
  const runs = engineOf(database.engine).own ? parts.runs.map((run) => ({ ...run, immediate: false })) : parts.runs;
  return [
    ...parts.objects,
    ...renderReplaceArchiver(context, given({ plugins: parts.plugins, backup })),
    { role: "attachment", manifest },
    ...runs.map((run) => scheduledBackup(context, run)),
    ...renderExpiry(context),
    ...renderDrills(context),
    ...renderStaleCheck(context),
    ...renderMonitors(context),
  ].map(canonical);
}

/**
 * Without defaults, which may be another manager's fields with other values. No backup needs them: each Backup names
 * its own target, and `online` of its snapshot. `volumeSnapshot` itself must exist for the operator to take one.
 */
function askedBackup({ definition }: EngineContext, { backup = {} }: EngineParts): object | undefined {
  const { target, volumeSnapshot } = backup;
  const { online, ownerReference } = definition.snapshots ?? {};
  const asked = given({
    target: definition.asksBackupTarget ? target : undefined,
    volumeSnapshot:
      volumeSnapshot === undefined
        ? undefined
        : given({ ...(volumeSnapshot as object), online, snapshotOwnerReference: ownerReference }),
  });
  return Object.keys(asked).length === 0 ? undefined : asked;
}

/** Without overrides. */
function clusterManifest(context: EngineContext, parts: EngineParts, source: RecoverySource | null): Manifest {
  const { database, definition } = context;
  const spec = given({
    instances: database.instances,
    imageName: definition.image,
    imageCatalogRef:
      definition.imageCatalog === undefined
        ? undefined
        : {
            apiGroup: "postgresql.cnpg.io",
            kind: definition.imageCatalog.kind,
            name: definition.imageCatalog.name,
            major: definition.postgresVersion,
          },
    enableSuperuserAccess: definition.superuserAccess,
    storage: definition.storage === undefined ? undefined : storageSpec(definition.storage),
    walStorage: definition.walStorage === undefined ? undefined : storageSpec(definition.walStorage),
    tablespaces: filled(
      sortedEntries(definition.tablespaces).map(([name, { owner, temporary, ...storage }]) =>
        given({
          name,
          owner: owner === undefined ? undefined : { name: owner },
          temporary,
          storage: storageSpec(storage),
        }),
      ),
    ),
    postgresql: postgresqlSpec(context),
    managed:
      Object.keys(definition.roles).length === 0
        ? undefined
        : { roles: sortedEntries(definition.roles).map(([name, role]) => roleSpec(name, role)) },
    bootstrap: bootstrapSpec(definition, source),
    replica: replicaSpec(definition),
    externalClusters: externalClusters(definition, source),
    plugins: filled(parts.plugins),
    backup: parts.backup,
    monitoring: monitoringSpec(definition),
    resources: resourcesSpec(definition.resources),
    affinity: definition.affinity,
    primaryUpdateStrategy: definition.primaryUpdateStrategy,
    primaryUpdateMethod: definition.primaryUpdateMethod,
  });
  return {
    apiVersion: CNPG,
    kind: "Cluster",
    metadata: given({
      name: database.cluster,
      namespace: database.namespace,
      labels: { ...MANAGED_BY, ...sorted(definition.labels) },
      annotations: sorted(definition.annotations),
    }) as Manifest["metadata"],
    spec,
  };
}

function overridden(context: EngineContext, base: Manifest): Manifest {
  const declared = mergeOver(base, context.definition.overrides.cluster ?? {});
  return mergeOver(declared, { spec: { postgresql: synchronous(context) } }) as Manifest;
}

/** Findings about the Cluster that overrides leave. */
export function checkOverrides(context: EngineContext, source: RecoverySource | null): Finding[] {
  if (context.definition.overrides.cluster === undefined) return [];
  const base = clusterManifest(context, engineParts(context), source);
  const findings = checkOverriddenCluster(base["spec"], overridden(context, base)["spec"]);
  return findings.map((each) => asWritten(context.definition.overrides, each));
}

function postgresqlSpec(context: EngineContext): object | undefined {
  const { definition } = context;
  const timeout = archiveTimeout(context);
  const parameters = sorted({ ...definition.parameters, ...given({ archive_timeout: timeout }) });
  const extensions = sortedEntries(definition.extensions).map(([name, extension]) =>
    given({
      name,
      image: { reference: extension.image },
      extension_control_path: extension.controlPath,
      dynamic_library_path: extension.libraryPath,
      ld_library_path: extension.ldLibraryPath,
      bin_path: extension.binPath,
    }),
  );
  const spec = given({
    parameters,
    shared_preload_libraries: filled(definition.sharedPreloadLibraries),
    extensions: filled(extensions),
  });
  return Object.keys(spec).length === 0 ? undefined : spec;
}

/** Over the user's own field, which it contains. */
function synchronous(context: EngineContext): { readonly synchronous: object } | undefined {
  if (context.database.synchronous === undefined) return undefined;
  const field = synchronousField(context);
  return field.isSayable ? { synchronous: field.field } : undefined;
}

/** CloudNativePG's default is 5min: only other values are set. */
function archiveTimeout({ database }: EngineContext): string | undefined {
  const seconds = database.archiveTimeoutSeconds;
  return seconds === undefined || seconds === DEFAULTS.clusterArchiveTimeoutSeconds ? undefined : `${seconds}s`;
}

function storageSpec({ sizeGiB, storageClass }: StorageSettings): object {
  return given({ size: `${sizeGiB}Gi`, storageClass });
}

function roleSpec(name: string, role: RoleSettings): object {
  const { passwordSecret, ...attributes } = role;
  return given({
    name,
    ...attributes,
    passwordSecret: passwordSecret === undefined ? undefined : { name: passwordSecret },
  });
}

function bootstrapSpec({ bootstrap }: ClusterDefinition, source: RecoverySource | null): object | undefined {
  const { import: imported, initdb, recovery } = bootstrap;
  if (recovery !== undefined) return { recovery: recoverySpec(recovery, source) };
  if (imported !== undefined) return { initdb: { ...initdbSpec(initdb ?? {}), import: importSpec(imported) } };
  return initdb === undefined ? undefined : { initdb: initdbSpec(initdb) };
}

function initdbSpec(initdb: NonNullable<ClusterDefinition["bootstrap"]["initdb"]>): object {
  const { ownerSecret, postInitApplicationSql, postInitSql, postInitTemplateSql, walSegmentSizeMiB, ...others } =
    initdb;
  const { postInitApplicationSqlRefs, postInitSqlRefs, postInitTemplateSqlRefs, ...same } = others;
  return given({
    ...same,
    postInitSQLRefs: postInitSqlRefs,
    postInitApplicationSQLRefs: postInitApplicationSqlRefs,
    postInitTemplateSQLRefs: postInitTemplateSqlRefs,
    secret: ownerSecret === undefined ? undefined : { name: ownerSecret },
    walSegmentSize: walSegmentSizeMiB,
    postInitSQL: postInitSql,
    postInitApplicationSQL: postInitApplicationSql,
    postInitTemplateSQL: postInitTemplateSql,
  });
}

function importSpec(settings: ImportSettings): object {
  const { databases, pgDumpExtraOptions, pgRestoreExtraOptions, postImportSql, roles, schemaOnly, type } = settings;
  return given({
    type,
    databases,
    roles,
    schemaOnly,
    pgDumpExtraOptions,
    pgRestoreExtraOptions,
    source: { externalCluster: SOURCE_NAME },
    postImportApplicationSQL: postImportSql,
  });
}

function recoverySpec(recovery: RecoverySettings, source: RecoverySource | null): object {
  const { database, owner, ownerSecret, snapshot, target } = recovery;
  return given({
    source: source === null ? undefined : SOURCE_NAME,
    volumeSnapshots: snapshot === undefined ? undefined : snapshotSource(snapshot),
    database,
    owner,
    secret: ownerSecret === undefined ? undefined : { name: ownerSecret },
    recoveryTarget:
      target === undefined
        ? undefined
        : given({
            backupID: target.backup,
            targetTime: target.time,
            targetLSN: target.lsn,
            targetXID: target.xid,
            targetName: target.restorePoint,
            targetImmediate: target.immediate,
            targetTLI: target.timeline,
            exclusive: target.exclusive,
          }),
  });
}

function replicaSpec({ replica }: ClusterDefinition): object | undefined {
  return replica === undefined ? undefined : given({ ...replica, source: SOURCE_NAME });
}

function snapshotSource({ storage, tablespaces, walStorage }: SnapshotSourceSettings): object {
  const reference = (name: string): object => ({ apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name });
  return given({
    storage: reference(storage),
    walStorage: walStorage === undefined ? undefined : reference(walStorage),
    tablespaceStorage:
      tablespaces === undefined
        ? undefined
        : Object.fromEntries(sortedEntries(tablespaces).map(([name, snapshot]) => [name, reference(snapshot)])),
  });
}

function externalClusters(
  { bootstrap }: ClusterDefinition,
  source: RecoverySource | null,
): readonly object[] | undefined {
  if (source !== null)
    return [{ name: SOURCE_NAME, plugin: { name: source.plugin.name, parameters: source.plugin.parameters } }];
  const imported = bootstrap.import;
  if (imported === undefined) return undefined;
  const { database, host, passwordSecret, port, sslCert, sslKey, sslMode, sslRootCert, user } = imported;
  const connectionParameters = given({
    host,
    port: port === undefined ? undefined : String(port),
    user: user ?? "postgres",
    dbname: database ?? "postgres",
    sslmode: sslMode,
  });
  return [given({ name: SOURCE_NAME, connectionParameters, password: passwordSecret, sslCert, sslKey, sslRootCert })];
}

function monitoringSpec({ customQueries, disableDefaultQueries, monitors }: ClusterDefinition): object | undefined {
  const spec = given({
    tls: monitors.tls === undefined ? undefined : { enabled: monitors.tls },
    customQueriesConfigMap: filled(customQueries),
    disableDefaultQueries: disableDefaultQueries ? true : undefined,
  });
  return Object.keys(spec).length === 0 ? undefined : spec;
}

function scheduledBackup({ database }: Pick<EngineContext, "database">, run: BackupRun): RenderedObject {
  const spec = given({
    schedule: toSixFields(run.cron),
    ...backupSpec({ database }, run),
    immediate: run.immediate,
    suspend: run.suspend ? true : undefined,
    backupOwnerReference: run.ownerReference,
  });
  return {
    role: `schedule-${run.suffix}`,
    manifest: {
      apiVersion: CNPG,
      kind: "ScheduledBackup",
      metadata: { name: `${database.cluster}-${run.suffix}`, namespace: database.namespace, labels: MANAGED_BY },
      spec,
    },
  };
}

/** `spec` of a Backup. */
export type BackupSpec = Record<string, unknown>;

/**
 * One-shot backups, for each kind that the engine supports: as many as one such backup takes to reach every repository,
 * and a snapshot where they are taken beside the engine. They need no schedule, and run on the cluster's usual target.
 */
export function oneShotBackups(context: EngineContext): Record<string, BackupSpec[]> {
  const { database, definition } = context;
  const made = oneShotInto(
    context,
    database.repositories.map(({ name }) => name),
  );
  if (definition.snapshots === undefined || engineOf(database.engine).snapshots) return made;
  const snapshots = { ...definition.snapshots, cron: ANY_TIME };
  const { runs } = renderSnapshots({ ...context, definition: { ...definition, snapshots } });
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
  return renderEngine({ ...context, schedules: {}, database: { ...context.database, schedules: [once] } }).runs;
}

/** Common fields of a Backup and a ScheduledBackup. */
function backupSpec(
  { database }: Pick<EngineContext, "database">,
  { method, pluginConfiguration, target, online }: BackupRun,
): BackupSpec {
  return given({ cluster: { name: database.cluster }, method, pluginConfiguration, target, online });
}

/** One backup, taken once the object exists. */
export function backupManifest(name: string, namespace: string, spec: BackupSpec): Manifest {
  return { apiVersion: CNPG, kind: "Backup", metadata: { name, namespace, labels: MANAGED_BY }, spec };
}

function poolerManifest({ database }: EngineContext, pooler: PoolerPlan): RenderedObject {
  const manifest: Manifest = {
    apiVersion: CNPG,
    kind: "Pooler",
    metadata: { name: `${database.cluster}-${pooler.name}`, namespace: database.namespace, labels: MANAGED_BY },
    spec: {
      cluster: { name: database.cluster },
      instances: pooler.instances,
      type: pooler.type,
      pgbouncer: given({ poolMode: pooler.poolMode, parameters: sorted(pooler.parameters) }),
    },
  };
  return { role: `pooler-${pooler.name}`, manifest: mergeOver(manifest, pooler.overrides) as Manifest };
}

function byName(left: PoolerPlan, right: PoolerPlan): number {
  return left.name < right.name ? -1 : 1;
}

function filled<T>(items: readonly T[]): readonly T[] | undefined {
  return items.length === 0 ? undefined : items;
}
