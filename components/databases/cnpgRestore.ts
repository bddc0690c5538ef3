/** A new cluster from another one's backups. */
import * as pulumi from "@pulumi/pulumi";
import { renderedName, typeToken } from "../internal/children";
import { showChild, shownChild } from "../internal/kubernetesObjects";
import { requireArguments } from "./clusterParts";
import { CnpgCluster } from "./cnpgCluster";
import type { CnpgClusterArgs, RecoveryArgs } from "./cnpgArgs";

export interface CnpgRestoreArgs extends CnpgClusterArgs {
  /** Backups to restore, and the recovery target. */
  source: RecoveryArgs;
}

/**
 * A new cluster from another one's backups: to the end of its archive or to a point in time, from any of its
 * repositories or a named one.
 *
 * It needs the source's image, extensions and libraries: `like` of a `CnpgCluster` has them, and `source` has the
 * location of its backups. Its own repositories are separate: it writes its own timeline, and never into the source.
 * Everything else is as with `CnpgCluster`.
 *
 * ```ts
 * new CnpgRestore("orders-restored", {
 *   namespace: "orders", plugin: plugin.ref, ...orders.like,
 *   source: { ...orders.source, from: ["repo2"], target: { time: "2026-11-20T06:40:59Z" } },
 *   repositories: { repo1: { at: other.target, keepDays: 14 } }, schedules: { full: { cron: "0 3 * * 0" } },
 * });
 * ```
 */
export class CnpgRestore extends pulumi.ComponentResource {
  /** Name of the Cluster. Waits for it. */
  public readonly clusterName: pulumi.Output<string>;
  /** JSON text of the topology of copies, for comparisons. */
  public readonly topology: pulumi.Output<string>;
  /** Host name for reading and writing, inside Kubernetes. */
  public readonly writeHost: pulumi.Output<string>;

  constructor(name: string, args: CnpgRestoreArgs, opts?: pulumi.ComponentResourceOptions) {
    requireArguments("CnpgRestore", name, args);
    const { source, ...cluster } = args;
    if (cluster.bootstrap !== undefined) {
      throw new pulumi.InputPropertyError({
        propertyPath: "bootstrap",
        reason: `CnpgRestore ${name}: source already sets the bootstrap; leave bootstrap out`,
      });
    }
    super(typeToken("CnpgRestore"), name, {}, opts);
    const made = new CnpgCluster(
      renderedName(name, "restored"),
      { clusterName: name, ...cluster, bootstrap: { recovery: source } },
      { parent: this, protect: opts?.protect ?? true },
    );
    showChild(this, "restored", made);
    this.clusterName = made.clusterName;
    this.topology = made.topology;
    this.writeHost = made.writeHost;
    this.registerOutputs({ clusterName: this.clusterName, topology: this.topology, writeHost: this.writeHost });
  }

  /** The new cluster, with its objects. */
  public get restored(): CnpgCluster {
    return shownChild(this, "restored");
  }
}
