/** A new cluster out of another one's backups. */
import * as pulumi from "@pulumi/pulumi";
import { renderedName, typeToken } from "../internal/children";
import { CnpgCluster } from "./cnpgCluster";
import type { CnpgClusterArgs, RecoveryArgs } from "./cnpgArgs";

export interface CnpgRestoreArgs extends CnpgClusterArgs {
  /** The backups to begin with, and the moment to stop at. */
  source: RecoveryArgs;
}

/**
 * A new cluster from the backups of another one: to the end of its archive or to a moment, from any of its repositories or from a named one.
 *
 * It needs the image, extensions and libraries of the cluster that it comes from: `like` of a `CnpgCluster` has them, `source` where its backups are.
 * Its own repositories are places of their own: it writes a timeline of its own, and never into the source. Everything else is as with `CnpgCluster`.
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
    const { source, ...cluster } = args;
    if (cluster.bootstrap !== undefined) {
      throw new pulumi.InputPropertyError({
        propertyPath: "bootstrap",
        reason: `CnpgRestore ${name}: source says how the cluster begins; leave bootstrap out`,
      });
    }
    super(typeToken("CnpgRestore"), name, {}, opts);
    const made = new CnpgCluster(
      renderedName(name, "restored"),
      { clusterName: name, ...cluster, bootstrap: { recovery: source } },
      { parent: this, protect: opts?.protect ?? true },
    );
    this.clusterName = made.clusterName;
    this.topology = made.topology;
    this.writeHost = made.writeHost;
    this.registerOutputs({ clusterName: this.clusterName, topology: this.topology, writeHost: this.writeHost });
  }
}
