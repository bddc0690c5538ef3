/** Interface of CloudNativePG engines: their input, and parts that clusterObjects.ts assembles. Pure. */
import {
  type ClusterDefinition,
  isImmediate,
  type RepositorySecrets,
  type ScheduleOptions,
} from "../../plan/cluster/clusterPlan";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import { fields } from "../../plan/model/deferred";
import type { RenderedObject } from "../kubernetes/objects";

/** Where a cluster's pods have the runtime from, and the image that runs it. */
export interface DeployedRuntime {
  /** In the pods' namespace; empty if the image contains the runtime, undefined if the plugin serves it. */
  readonly configMap?: string | undefined;
  readonly image: string;
  /** SHA-256 of the runtime that the plugin or `configMap` has; undefined with `runtime.cjs.gz`, whatever it is. */
  readonly sha256?: string | undefined;
  /** Address of the plugin that serves it. */
  readonly url?: string | undefined;
  /** Version of the package that brought it. Undefined if none is recorded: such a runtime is older than the record. */
  readonly version?: string | undefined;
}

export interface EngineContext {
  readonly database: ClusterDatabasePlan;
  readonly definition: ClusterDefinition;
  readonly secrets: RepositorySecrets;
  readonly schedules: ScheduleOptions;
  readonly runtime: DeployedRuntime;
  /** The plugin's name from its installation; if omitted, the engine's own. */
  readonly pluginName?: string | undefined;
}

/** An entry of `spec.plugins`, and the `plugin` of an entry of `spec.externalClusters`. */
export interface PluginEntry {
  readonly name: string;
  readonly isWALArchiver?: boolean;
  readonly parameters: Readonly<Record<string, string>>;
}

/** One ScheduledBackup, before it has a name. */
export interface BackupRun {
  /** Suffix of the cluster's name: `full`, `full-repo2`. */
  readonly suffix: string;
  /** Five fields. */
  readonly cron: string;
  readonly method: "plugin" | "volumeSnapshot";
  readonly pluginConfiguration?: { readonly name: string; readonly parameters?: Readonly<Record<string, string>> };
  readonly target: string;
  readonly immediate: boolean;
  readonly suspend: boolean;
  readonly ownerReference: string;
  readonly online?: boolean;
}

export interface EngineParts {
  readonly plugins: readonly PluginEntry[];
  /** `spec.backup` of the Cluster. */
  readonly backup: Readonly<Record<string, unknown>> | undefined;
  /** Objects that the Cluster needs first. */
  readonly objects: readonly RenderedObject[];
  readonly runs: readonly BackupRun[];
}

/** Where a restored cluster's data come from: the entry of a plugin, with the objects that it needs. */
export interface RecoverySource {
  readonly plugin: PluginEntry;
  readonly objects: readonly RenderedObject[];
  /** The time of a recovery's end as the engine and the operator both read it. Without it, as the operator does. */
  readonly writeTime?: (time: string) => string;
}

/** An engine of clusters, next to its row in plan/engines/engines.ts. */
export interface ClusterEngine {
  /** What backs the cluster of the context up. */
  render(context: EngineContext): EngineParts;
  /** What a cluster begins with that is restored from the backups of the context. */
  source(context: EngineContext): RecoverySource;
}

/** What a schedule is beyond its time, with every default. */
export function scheduleOptionsOf(
  { database, schedules }: EngineContext,
  name: string,
): Omit<BackupRun, "suffix" | "cron" | "method"> {
  const own = schedules[name] ?? {};
  return fields({
    target: () => own.target ?? database.backupTarget,
    immediate: () => isImmediate({ database, schedules }, name),
    suspend: () => own.suspend ?? false,
    ownerReference: () => own.ownerReference ?? "self",
  });
}
