/** Backups of a Cluster that something else created: YAML, Helm or GitOps. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { readAttached } from "./attachConflicts";
import { sharedByCluster } from "./sharedUse";
import { drilledDatabase, warnUndrilled } from "../drills/drilled";
import type { DrilledDatabase } from "../drills/drillArgs";
import { renderedName, typeToken } from "../internal/children";
import {
  type ConfigMap,
  type CustomResource,
  type CustomResourcePatch,
  type Secret,
  shownChild,
  shownChildren,
} from "../internal/kubernetesObjects";
import { amountOf } from "../plan/cluster/quantity";
import { renderTopology, topologyOf } from "../plan/topology/topology";
import { renderAttachment } from "../render/kubernetes/clusterObjects";
import { FULL_BACKUP_ROLE, renderFullBackupGate } from "../render/kubernetes/fullBackupGate";
import { REPLACE_ARCHIVER_ROLE } from "../render/kubernetes/replaceArchiverJob";
import {
  checkedCluster,
  clusterAccess,
  clusterHosts,
  clusterOutputs,
  declareObjects,
  deliverSecrets,
  destinationsOf,
  fullBackupOptions,
  openSettings,
  outlineOf,
  scheduleNamesOf,
  sourceOf,
} from "./clusterParts";
import { runtimeOf } from "./clusterRuntime";
import { keptTargets } from "../repositories/common";
import type { ClusterAccess, ClusterBackupArgs, ClusterLikeArgs, RecoveryArgs } from "./cnpgArgs";

export interface CnpgBackupArgs extends ClusterBackupArgs {
  /** Name of the Cluster, which may come from the resource that creates it. */
  clusterName: pulumi.Input<string>;
  /** Number of instances, for the topology. @default 1 @minimum 1 */
  instances?: pulumi.Input<number>;
  /**
   * True if the Cluster has `walStorage`: the sidecar keeps the record of missing WAL there.
   * @default false
   * @plain whether copies have a volume for WAL
   */
  hasWalStorage?: boolean;
  /**
   * Takes over the fields that this component sets from their present managers. For `spec.plugins` that removes the
   * Cluster's other plugins. False fails the update, and if possible the preview, if another manager has set them.
   * @default false
   */
  takeOverPlugins?: pulumi.Input<boolean>;
  /**
   * A preview reads the Cluster, as every update does: it fails if the Cluster is missing, or if another manager has
   * set a field that this component would set. Set false for previews without access to Kubernetes, or if the same
   * update makes the Cluster.
   * @default true if `clusterName` and `namespace` are plain text, without `dependsOn` and `replaceBarmanObjectStore`
   * @plain whether previews read the Cluster
   */
  readCluster?: boolean;
  /**
   * Takes over from the operator's own archiver, `spec.backup.barmanObjectStore`: a Job removes it and sets
   * `spec.plugins` in one request, so that no WAL is lost between them. The old bucket keeps its content. A Cluster
   * without one stays as it is. Needs engine "runtime".
   * @default false
   * @plain whether the Job and its account exist
   */
  replaceBarmanObjectStore?: boolean;
}

/**
 * Adds an archiver, repositories and schedules to a running Cluster, and changes nothing else of it.
 *
 * Creates the engine's objects in the namespace, sets `spec.plugins` of the Cluster and what the arguments ask for by
 * server-side apply, and creates a `ScheduledBackup` for each schedule, in this order: all mounted objects exist before
 * instances restart. With engine "runtime" the sidecar takes the first full backup a minute later; a Backup requested
 * immediately would end with the restart. CloudNativePG restarts standbys first, and from 1.29.2 on the primary in
 * place; older operators would wait forever, and are refused. Destroying it removes the archiver; repositories and
 * backups stay.
 *
 * ```ts
 * new CnpgBackup("legacy", {
 *   namespace: "db", clusterName: "legacy", plugin: plugin.ref, operatorVersion: "1.30.0",
 *   repositories: { repo1: { at: b2.target, keepFullCount: 4 } }, schedules: { full: { cron: "0 1 * * *" } },
 * });
 * ```
 */
export class CnpgBackup extends pulumi.ComponentResource {
  /** Name of the Cluster. Resolves when its archiver is set. */
  public readonly clusterName: pulumi.Output<string>;
  /** Pass this to `BackupNow`. Resolves when the cluster exists. */
  public readonly access: ClusterAccess;
  /**
   * For a host that runs the drills declared with `elsewhere`: `new FireDrill("drills", { of: orders.drilled, … })`.
   */
  public readonly drilled: DrilledDatabase;
  /** Location of its backups, for a `CnpgRestore`: `{ like: legacy.like, source: { ...legacy.source, target } }`. */
  public readonly source: RecoveryArgs;
  /**
   * What a copy needs to start: image and volumes of the existing Cluster. Repeat its parameters, libraries, extensions
   * and tablespaces yourself.
   */
  public readonly like: ClusterLikeArgs;
  /** Host name for reading and writing, inside Kubernetes: the primary. */
  public readonly writeHost: pulumi.Output<string>;
  /** Host name of the standbys. */
  public readonly readOnlyHost: pulumi.Output<string>;
  /** Host name of any instance, for reading. */
  public readonly readHost: pulumi.Output<string>;
  /** Name of the cluster in the repositories. */
  public readonly stanza: pulumi.Output<string>;
  /** JSON text of the topology of copies, for comparisons. */
  public readonly topology: pulumi.Output<string>;
  /** Keys of the repositories, ascending. */
  public readonly repositoryNames: pulumi.Output<string[]>;
  /** Names of the ScheduledBackups. */
  public readonly scheduleNames: pulumi.Output<string[]>;
  /** What each repository held when an update waited for full backups, as JSON text; see CnpgCluster. */
  public readonly destinations: pulumi.Output<string>;

  constructor(name: string, args: CnpgBackupArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("CnpgBackup", name, args, { kept: keptTargets });
    const { hasWalStorage, takeOverPlugins, readCluster = readsByDefault(args, opts), ...common } = own;
    const settings = { ...openSettings(common), ...(hasWalStorage === true ? { spec: { walStorage: {} } } : {}) };
    const title = `CnpgBackup ${name}`;
    const checked = checkedCluster(title, name, settings, true);
    const { derive, known } = checked;
    const shared = sharedByCluster(title, own.repositories, checked, "owns");
    shared.refuse();
    super(typeToken("CnpgBackup"), name, { topology: derive(({ database }) => topologyOf(database, true)) }, opts);
    checked.warn(this);
    shared.judge(this);

    const cluster = derive(({ database }) => database.cluster);
    const stanza = derive(({ database }) => database.stanza);
    const scope = { title, name, cluster, namespace: own.namespace, parent: this, takeOver: takeOverPlugins ?? false };
    const live: pulumi.Resource[] = [];
    if (readCluster || !pulumi.runtime.isDryRun()) {
      const pluginName = typeof own.plugin?.name === "string" ? own.plugin.name : undefined;
      const outline = outlineOf(checked, (_known, context) => renderAttachment(context), "attachment", pluginName);
      live.push(readAttached({ ...scope, name: renderedName(name, "live"), dependsOn: opts?.dependsOn, outline }));
    }
    const { contents, named, secrets } = deliverSecrets(scope, own.repositories);
    const others = { sourceSecrets: {}, runtime: runtimeOf(scope, known, own), pluginName: own.plugin?.name };
    const inputs = { ...others, secrets };
    const objects = declareObjects(
      { ...scope, contents },
      checked,
      { ...others, secrets: named },
      (_resolved, context) => [...renderAttachment(context), ...renderFullBackupGate(context)],
      // In sequence: instances restart once all mounted objects exist.
      (role, made) =>
        role === FULL_BACKUP_ROLE
          ? fullBackupOptions(checked, made)
          : attachmentOptions(role, [...live, ...made.values()]),
    );

    const attached = objects.get("attachment");
    this.clusterName =
      attached === undefined ? pulumi.output(cluster) : attached.urn.apply(() => pulumi.output(cluster));
    this.drilled = drilledDatabase(name, own, (make) => derive(({ database }) => make(database)));
    warnUndrilled(this, this.drilled, known.database.silence);
    this.access = clusterAccess(checked, inputs, own.namespace, this.clusterName);
    this.source = sourceOf(stanza, own);
    this.like = liveLike(attached, hasWalStorage ?? false);
    const services = clusterHosts(this.clusterName, own.namespace);
    this.writeHost = services.write;
    this.readOnlyHost = services.readOnly;
    this.readHost = services.read;
    this.stanza = pulumi.output(stanza);
    this.topology = checked.resolved.apply(({ database }) => renderTopology(topologyOf(database, true)));
    this.repositoryNames = pulumi.output(known.database.repositories.map((repository) => repository.name));
    this.scheduleNames = pulumi.output(cluster).apply((clusterName) => scheduleNamesOf(clusterName, objects));
    this.destinations = destinationsOf(objects);
    // The state has the topology among the inputs.
    this.registerOutputs(clusterOutputs(this));
  }

  /** The fields of the Cluster that this component sets, such as `spec.plugins` and `spec.backup`. */
  public get attachment(): CustomResourcePatch {
    return shownChild(this, "attachment") as CustomResourcePatch;
  }

  /** The ScheduledBackups, by their schedules' names: `full`, `diff`, `incr`, and `snapshot`. */
  public get schedules(): { [name: string]: CustomResource } {
    return shownChildren(this, "schedule-");
  }

  /** The ConfigMap with the configuration of engine "runtime". */
  public get configMap(): ConfigMap | undefined {
    return shownChild(this, "config") as ConfigMap | undefined;
  }

  /** The Secrets created here, by their repositories' keys. */
  public get secrets(): { [repository: string]: Secret } {
    return shownChildren(this, "secret-");
  }

  /** The PodMonitor, with `monitoring.podMonitor`. */
  public get podMonitor(): CustomResource | undefined {
    return shownChild(this, "pod-monitor") as CustomResource | undefined;
  }

  /** The PrometheusRule, with `monitoring.prometheusRule`. */
  public get prometheusRule(): CustomResource | undefined {
    return shownChild(this, "prometheus-rule") as CustomResource | undefined;
  }

  /** Every object of this component by its role, such as `objects["drill-weekly"]` for the CronJob of that drill. */
  public get objects(): { [role: string]: pulumi.CustomResource } {
    return shownChildren(this, "");
  }
}

/** With a name from a resource, or `dependsOn`, the same update may make the Cluster; a Job makes way by itself. */
function readsByDefault(
  { clusterName, namespace, replaceBarmanObjectStore, takeOverPlugins }: CnpgBackupArgs,
  { dependsOn }: pulumi.ComponentResourceOptions = {},
): boolean {
  const isPlain = typeof clusterName === "string" && typeof namespace === "string";
  return isPlain && dependsOn === undefined && takeOverPlugins !== true && replaceBarmanObjectStore !== true;
}

/**
 * The Job that replaces an archiver has done its work once: another runtime, or another plugin, does not repeat it. One
 * that failed is replaced under its name.
 */
function attachmentOptions(role: string, dependsOn: pulumi.Resource[]): pulumi.CustomResourceOptions {
  const options = { dependsOn };
  return role === REPLACE_ARCHIVER_ROLE ? { ...options, ignoreChanges: ["spec"], deleteBeforeReplace: true } : options;
}

/** The fields of a Cluster that a copy needs; the provider returns the whole object. */
interface LiveSpec {
  readonly imageName?: string;
  readonly storage?: LiveVolume;
  readonly walStorage?: LiveVolume;
}

interface LiveVolume {
  readonly size?: string;
  readonly storageClass?: string;
}

function liveLike(cluster: pulumi.Resource | undefined, hasWalStorage: boolean): ClusterLikeArgs {
  const { spec } = (cluster ?? {}) as { readonly spec?: pulumi.Output<LiveSpec | undefined> };
  const live = pulumi.output(spec).apply((known): LiveSpec => known ?? {});
  // Undefined inside of an output leaves the field out.
  const text = (read: (known: LiveSpec) => string | undefined): pulumi.Output<string> =>
    live.apply((known) => read(known) as string);
  const size = text(({ walStorage }) => walStorage?.size);
  const storageClass = text(({ walStorage }) => walStorage?.storageClass);
  return {
    image: text(({ imageName }) => imageName),
    storageGiB: live.apply(({ storage }) => gibibytesOf(storage?.size ?? "0")),
    storageClass: text(({ storage }) => storage?.storageClass),
    ...(hasWalStorage ? { spec: { walStorage: { size, storageClass } } } : {}),
  };
}

/** GiB of a Kubernetes quantity, rounded up: `1500Mi` is 2. */
function gibibytesOf(quantity: string): number {
  return Math.ceil((amountOf(quantity) ?? 0) / 2 ** 30);
}
