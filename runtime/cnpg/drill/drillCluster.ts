/**
 * The throw-away Cluster of a drill. Pure: derived from production's Cluster, so that image, extensions and volumes are
 * the same.
 *
 * Copies only the settings that the data directory needs to start, by name; nothing else can act. The Cluster has no
 * plugin and no backup, so nothing of it is archived. It has no roles, none of production's pg_hba, and no replication
 * worker. As an instance it has no slots for background workers. Recovery needs as many as production had, so libraries
 * that start their own workers are omitted.
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import type { Picked } from "../../operations/drill/drillPlan";
import { librariesIn } from "../../operations/drill/neutral";
import { at, findOwnParameters, type Json, type JsonObject, listAt, textAt } from "../kubernetes/clusterObject";
import { PLUGIN_NAME } from "../names";

export interface ThrowAwayRequest {
  readonly name: string;
  readonly drillId: string;
  /** Owns the Cluster: both end together; null for a drill run by hand. */
  readonly job: { readonly name: string; readonly uid: string } | null;
  /** End of the drill, even if it hangs: ms since 1970. */
  readonly untilMs: number;
  readonly repoIndex: number;
  readonly picked: Picked;
  /** The drill's choice, as `--target-timeline`. */
  readonly targetTimeline: string | undefined;
  /** Newest segment that recovery may see, with the end of its streamed part after `@`; null for all. */
  readonly newestWal: string | null;
  /** Major version of PostgreSQL. */
  readonly major: number;
  /** `requests.cpu`: quantities instead of production's. */
  readonly resources: Readonly<Record<string, string>>;
}

/** Marks a drill's Cluster: without it no drill removes a Cluster. Its value is production's name. */
export const DRILL_LABEL = "pgbackstop/drill-of";
const DRILL_ID = "pgbackstop/drill";
const DRILL_UNTIL = "pgbackstop/drill-until";
const SOURCE = "source";

/** Scheduling and parts of the pods. Not production's priority: a drill must not evict others. */
const TAKEN_OVER = [
  "imageName",
  "imageCatalogRef",
  "imagePullPolicy",
  "imagePullSecrets",
  "postgresUID",
  "postgresGID",
  "serviceAccountTemplate",
  "seccompProfile",
  "podSecurityContext",
  "securityContext",
  "schedulerName",
  "ephemeralVolumeSource",
  "ephemeralVolumesSizeLimit",
] as const;
const AFFINITY_TAKEN_OVER = ["nodeSelector", "tolerations", "nodeAffinity"] as const;

/** Settings that reading or recovering the data needs, and those that decide the speed. */
const PARAMETERS_TAKEN_OVER = [
  "dynamic_shared_memory_type",
  "effective_io_concurrency",
  "huge_pages",
  "io_method",
  "io_workers",
  "maintenance_io_concurrency",
  "maintenance_work_mem",
  "max_connections",
  "max_locks_per_transaction",
  "max_prepared_transactions",
  "max_wal_senders",
  "max_wal_size",
  "min_wal_size",
  "recovery_prefetch",
  "shared_buffers",
  "shared_memory_type",
  "track_commit_timestamp",
  "wal_decode_buffer_size",
  "wal_level",
  "work_mem",
];
/** Schedulers, replication, and libraries that send or fetch on their own. */
const ACTING_LIBRARIES = [
  "bdr",
  "pg_cron",
  "pg_failover_slots",
  "pg_net",
  "pg_partman_bgw",
  "pgl_ddl_deploy",
  "pglogical",
  "spock",
  "wal2mongo",
];

/** @throws optionInvalid if this plugin does not recover production */
export function throwAwayCluster(production: JsonObject, request: ThrowAwayRequest): JsonObject {
  const { drillId, job, name, newestWal, repoIndex, untilMs } = request;
  const spec = at(production, "spec");
  const parameters = findOwnParameters(production);
  if (parameters === null)
    throw fail(
      "optionInvalid",
      `Cluster '${textAt(production, "metadata", "name") ?? ""}' does not archive with ${PLUGIN_NAME}, so it cannot be drilled`,
    );
  const source = { ...parameters, repo: String(repoIndex), ...(newestWal === null ? {} : { newestWal }) };
  return {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Cluster",
    metadata: {
      name,
      labels: {
        "app.kubernetes.io/managed-by": "pgbackstop",
        [DRILL_LABEL]: textAt(production, "metadata", "name") ?? "",
      },
      annotations: { [DRILL_ID]: drillId, [DRILL_UNTIL]: new Date(untilMs).toISOString() },
      ...(job === null
        ? {}
        : {
            ownerReferences: [
              {
                apiVersion: "batch/v1",
                kind: "Job",
                name: job.name,
                uid: job.uid,
                controller: false,
                blockOwnerDeletion: false,
              },
            ],
          }),
    },
    spec: {
      ...taken(spec, TAKEN_OVER),
      ...affinityOf(spec),
      ...volumesOf(spec),
      instances: 1,
      enablePDB: false,
      // The role that checks it; its generated password is removed with the Cluster.
      enableSuperuserAccess: true,
      smartShutdownTimeout: 5,
      stopDelay: 60,
      resources: resourcesOf(spec, request.resources),
      postgresql: postgresqlOf(spec, request.major),
      bootstrap: { recovery: { source: SOURCE, recoveryTarget: targetOf(request) } },
      externalClusters: [{ name: SOURCE, plugin: { name: PLUGIN_NAME, parameters: source } }],
    },
  };
}

/** A drill's Cluster, running or left over. Null for any other Cluster. */
export function readThrowAway(
  cluster: JsonObject,
): { readonly uid: string; readonly of: string; readonly jobUid: string; readonly untilMs: number } | null {
  const of = labelOf(cluster, "labels", DRILL_LABEL);
  if (of === undefined) return null;
  const until = Date.parse(labelOf(cluster, "annotations", DRILL_UNTIL) ?? "");
  const [owner] = listAt(cluster, "metadata", "ownerReferences");
  return {
    uid: textAt(cluster, "metadata", "uid") ?? "",
    of,
    jobUid: textAt(owner, "uid") ?? "",
    untilMs: Number.isFinite(until) ? until : 0,
  };
}

function labelOf(cluster: JsonObject, field: "labels" | "annotations", name: string): string | undefined {
  return textAt(at(cluster, "metadata", field), name);
}

/** Always names the backup and the timeline: the restore uses the drill's choice. */
function targetOf({ picked: { backup, target, type }, targetTimeline }: ThrowAwayRequest): JsonObject {
  if (type === "immediate") return { backupID: backup.label, targetImmediate: true };
  const of = { backupID: backup.label, ...given({ targetTLI: targetTimeline }) };
  return type === "lsn" ? { ...of, targetLSN: target ?? "" } : of;
}

function taken(value: Json | undefined, names: readonly string[]): JsonObject {
  return Object.fromEntries(
    names.flatMap((name) => {
      const field = at(value, name);
      return field === undefined ? [] : [[name, field]];
    }),
  );
}

function affinityOf(spec: Json | undefined): JsonObject {
  const affinity = taken(at(spec, "affinity"), AFFINITY_TAKEN_OVER);
  return Object.keys(affinity).length === 0 ? {} : { affinity };
}

function volumesOf(spec: Json | undefined): JsonObject {
  const storage = ["size", "storageClass", "resizeInUseVolumes", "pvcTemplate"];
  const tablespaces = listAt(spec, "tablespaces").map((each) => ({
    ...taken(each, ["name", "temporary"]),
    storage: taken(at(each, "storage"), storage),
  }));
  return {
    storage: taken(at(spec, "storage"), storage),
    ...(at(spec, "walStorage") === undefined ? {} : { walStorage: taken(at(spec, "walStorage"), storage) }),
    ...(tablespaces.length === 0 ? {} : { tablespaces }),
  };
}

function resourcesOf(spec: Json | undefined, own: Readonly<Record<string, string>>): JsonObject {
  const base = at(spec, "resources");
  const merged: Record<string, JsonObject> = Object.fromEntries(
    Object.entries(isFields(base) ? base : {}).flatMap(([kind, values]) => (isFields(values) ? [[kind, values]] : [])),
  );
  for (const [path, quantity] of Object.entries(own)) {
    const [kind = "", resource = ""] = path.split(".");
    merged[kind] = { ...merged[kind], [resource]: quantity };
  }
  return merged;
}

function postgresqlOf(spec: Json | undefined, major: number): JsonObject {
  const postgresql = at(spec, "postgresql");
  const names = listAt(postgresql, "shared_preload_libraries").flatMap((name) =>
    typeof name === "string" ? librariesIn(name) : [],
  );
  const libraries = names.filter((name) => !ACTING_LIBRARIES.includes(name.replace(/^.*\//, "")));
  return {
    ...taken(postgresql, ["extensions"]),
    ...(libraries.length === 0 ? {} : { shared_preload_libraries: libraries }),
    parameters: {
      ...taken(at(postgresql, "parameters"), PARAMETERS_TAKEN_OVER),
      ...neutralParameters(libraries, major),
    },
  };
}

function neutralParameters(libraries: readonly string[], major: number): JsonObject {
  return {
    autovacuum: "off",
    jit: "off",
    max_logical_replication_workers: "0",
    max_parallel_workers: "0",
    max_worker_processes: "0",
    // A user's own code at login.
    ...(major >= 17 ? { event_triggers: "off" } : {}),
    ...(libraries.includes("timescaledb") ? { "timescaledb.max_background_workers": "0" } : {}),
  };
}
