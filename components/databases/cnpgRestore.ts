/** A new cluster from another one's backups. */
import * as pulumi from "@pulumi/pulumi";
import type { DrilledDatabase } from "../drills/drillArgs";
import { renderedName, typeToken } from "../internal/children";
import { showChild, shownChild } from "../internal/kubernetesObjects";
import { checkedArguments } from "../internal/validate";
import { keptTargets } from "../repositories/common";
import { clusterOutputs } from "./clusterParts";
import { CnpgCluster, prepareCluster } from "./cnpgCluster";
import type { ClusterAccess, ClusterLikeArgs, CnpgClusterArgs, RecoveryArgs } from "./cnpgArgs";

export interface CnpgRestoreArgs extends Omit<CnpgClusterArgs, "repositories"> {
  /** Backups to restore, and the recovery target. */
  source: RecoveryArgs;
  /**
   * The new cluster's own repositories, by key. If you omit them, with schedules and drills, it archives nowhere and
   * has no backups (PB142).
   */
  repositories?: CnpgClusterArgs["repositories"];
}

/**
 * A new cluster from another one's backups: to the end of its archive or to a point in time, from any of its
 * repositories or a named one.
 *
 * It needs the source's image, extensions and libraries: `like` of a `CnpgCluster` has them, and `source` has the
 * location of its backups. Its own repositories are separate: it writes its own timeline, and never into the source.
 * Everything else is as with `CnpgCluster`, including its outputs.
 *
 * ```ts
 * new CnpgRestore("orders-restored", {
 *   namespace: "orders", plugin: plugin.ref, like: orders.like,
 *   source: { ...orders.source, from: ["repo2"], target: { time: "2026-11-20T06:40:59Z" } },
 *   repositories: { repo1: { at: other.target, keepDays: 14 } }, schedules: { full: { cron: "0 3 * * 0" } },
 * });
 * ```
 */
export class CnpgRestore extends pulumi.ComponentResource {
  /** Name of the Cluster. Resolves when it exists. */
  public readonly clusterName: pulumi.Output<string>;
  /** Pass this to `BackupNow`. Resolves when the cluster exists. */
  public readonly access: ClusterAccess;
  /** For a host that runs the drills declared with `elsewhere`; see CnpgCluster. */
  public readonly drilled: DrilledDatabase;
  /** Location of its own backups, for copies of it; see CnpgCluster. */
  public readonly source: RecoveryArgs;
  /** What a copy needs to start; see CnpgCluster. */
  public readonly like: ClusterLikeArgs;
  /** Name of the cluster in its own repositories. */
  public readonly stanza: pulumi.Output<string>;
  /** JSON text of the topology of copies, for comparisons. */
  public readonly topology: pulumi.Output<string>;
  /** Keys of its own repositories, ascending. */
  public readonly repositoryNames: pulumi.Output<string[]>;
  /** Host name for reading and writing, inside Kubernetes: the primary. */
  public readonly writeHost: pulumi.Output<string>;
  /** Host name of the standbys. */
  public readonly readOnlyHost: pulumi.Output<string>;
  /** Host name of any instance, for reading. */
  public readonly readHost: pulumi.Output<string>;
  /** Host name of each pooler, by its name in the arguments. */
  public readonly poolerHosts: pulumi.Output<{ [name: string]: string }>;
  /** Name of the Secret with the application's credentials; empty for a replica without `source.ownerSecret`. */
  public readonly applicationSecret: pulumi.Output<string>;
  /** Name of the Secret whose `ca.crt` verifies the server. */
  public readonly caSecret: pulumi.Output<string>;
  /** Names of the ScheduledBackups. */
  public readonly scheduleNames: pulumi.Output<string[]>;
  /** What each of its own repositories held when an update waited for full backups, as JSON text; see CnpgCluster. */
  public readonly destinations: pulumi.Output<string>;

  constructor(name: string, args: CnpgRestoreArgs, opts?: pulumi.ComponentResourceOptions) {
    const {
      source,
      repositories = {},
      ...cluster
    } = checkedArguments("CnpgRestore", name, args, {
      kept: (each) => [...keptTargets(each.source), ...keptTargets(each)],
    });
    if (cluster.bootstrap !== undefined) {
      throw new pulumi.InputPropertyError({
        propertyPath: "bootstrap",
        reason: `CnpgRestore ${name}: source already sets the bootstrap; leave bootstrap out`,
      });
    }
    const restored = renderedName(name, "restored");
    const settings = { clusterName: name, ...cluster, repositories, bootstrap: { recovery: source } };
    prepareCluster(restored, settings);
    super(typeToken("CnpgRestore"), name, {}, opts);
    const made = new CnpgCluster(restored, settings, { parent: this, protect: opts?.protect ?? true });
    showChild(this, "restored", made);
    this.access = made.access;
    this.drilled = made.drilled;
    this.source = made.source;
    this.like = made.like;
    this.clusterName = made.clusterName;
    this.stanza = made.stanza;
    this.topology = made.topology;
    this.repositoryNames = made.repositoryNames;
    this.writeHost = made.writeHost;
    this.readOnlyHost = made.readOnlyHost;
    this.readHost = made.readHost;
    this.poolerHosts = made.poolerHosts;
    this.applicationSecret = made.applicationSecret;
    this.caSecret = made.caSecret;
    this.scheduleNames = made.scheduleNames;
    this.destinations = made.destinations;
    // The state has the topology among the inputs.
    this.registerOutputs(clusterOutputs(this, "poolerHosts", "applicationSecret", "caSecret"));
  }

  /** The new cluster, with its objects. */
  public get restored(): CnpgCluster {
    return shownChild(this, "restored") as CnpgCluster;
  }
}
