/** Objects beside a Cluster, and references to them. */
import type * as pulumi from "@pulumi/pulumi";
import type { PoolerSpec } from "./cnpgSpec";

/** One key of a Secret or of a ConfigMap in the cluster's namespace. */
export interface KeyRef {
  /** Name of the Secret or ConfigMap. */
  name: pulumi.Input<string>;
  /** Key in it. */
  key: pulumi.Input<string>;
}

/** Labels and annotations of an object. */
export interface MetadataArgs {
  /** Labels, besides this package's own. */
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** Annotations. @example { "cnpg.io/hibernation": "on" } */
  annotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

/** PgBouncer in front of the cluster. */
export interface PoolerArgs {
  /** `rw`, `ro` or `r`. @default "rw" */
  type?: pulumi.Input<string>;
  /** Number of PgBouncer pods. @default 1 @minimum 0 */
  instances?: pulumi.Input<number>;
  /** `session` or `transaction`. @default "session" */
  poolMode?: pulumi.Input<string>;
  /** Labels and annotations of the Pooler object. */
  metadata?: MetadataArgs;
  /**
   * Any field of the Pooler's `spec` in CloudNativePG 1.28 to 1.30, by its own name there: the pods' `template`, the
   * `serviceTemplate`, `pgbouncer.pg_hba`. It is merged with the fields that other arguments set, like the cluster's
   * `spec`.
   */
  spec?: PoolerSpec;
  /** Settings of PgBouncer. @example { max_client_conn: "500" } */
  parameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}
