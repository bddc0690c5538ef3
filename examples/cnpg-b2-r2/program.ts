/**
 * Two CloudNativePG clusters with full backups at Backblaze B2 and Cloudflare R2: one with VectorChord for Immich, one
 * for everything else. PgBouncer runs in front of both, and both share keys from 1Password.
 *
 * Differences from the published set-up:
 * - One pass writes each backup to both buckets, so one schedule replaces two that were an hour apart.
 * - The schedule has five fields and runs once a day. The published one ran every hour (PB070).
 * - Backups are encrypted before they leave the cluster (PB007), and certificates are checked (PB088).
 * - The plugin is the WAL archiver (PB074), and no WAL is dropped while a bucket is down (PB079).
 * - No object is named `pgbackrest` (PB052).
 *
 * With engine "pgbackrest" the same arguments configure Dalibo's plugin, including `target: primary` and a schedule per
 * bucket.
 */
import type * as pulumi from "@pulumi/pulumi";
import {
  type ClusterEngine,
  CnpgCluster,
  type CnpgClusterArgs,
  CnpgPlugin,
  S3CompatibleRepository,
  SharedExternalSecret,
  type StanzaKind,
} from "pgbackstop";

export interface ProgramSettings {
  /** The Cloudflare account. */
  readonly accountId: string;
  readonly buckets: { readonly immich: string; readonly others: string };
  readonly engine?: ClusterEngine;
  readonly stanzaKind?: StanzaKind;
  /** PostgreSQL 18 with VectorChord. */
  readonly immichImage: string;
}

export interface ClusterOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly immich: pulumi.Output<string>;
  readonly others: pulumi.Output<string>;
}

const NAMESPACE = "database";

/** Declares all resources and returns the stack's outputs. */
export function program(settings: ProgramSettings): ClusterOutputs {
  const item = (key: string, field: string, secretKey: string) => ({
    key,
    property: `${key.toUpperCase()}_PGBACKREST_${field}`,
    secretKey,
  });
  const keysOf = (key: string, short: string) => ({
    accessKeyId: item(key, "ACCESS_KEY", `${short}-access-key-id`),
    secretAccessKey: item(key, "SECRET_ACCESS_KEY", `${short}-secret-access-key`),
    // Objects of kind Repository have no field for a passphrase.
    ...(settings.stanzaKind === "Repository" ? {} : { passphrase: item(key, "PASSPHRASE", `${short}-passphrase`) }),
  });
  const keys = new SharedExternalSecret("cnpg-secret", {
    namespace: NAMESPACE,
    store: { name: "onepassword-connect" },
    repositories: { b2: keysOf("backblaze", "b2"), r2: keysOf("cloudflare", "r2") },
  });
  const plugin = settings.engine === undefined ? new CnpgPlugin("pgbackstop", {}) : undefined;

  const cluster = (name: string, bucket: string, more: Partial<CnpgClusterArgs>): CnpgCluster => {
    const repository = (short: "b2" | "r2", endpoint: string, region: string) => {
      const existingSecret = keys.refs[short];
      return new S3CompatibleRepository(`${name}-${short}`, {
        endpoint,
        region,
        path: `/${name}`,
        bucket: { existing: { name: bucket, ...(existingSecret === undefined ? {} : { existingSecret }) } },
      });
    };
    const b2 = repository("b2", "s3.us-east-005.backblazeb2.com", "us-east-005");
    const r2 = repository("r2", `${settings.accountId}.r2.cloudflarestorage.com`, "auto");
    return new CnpgCluster(name, {
      namespace: NAMESPACE,
      ...(plugin === undefined ? {} : { plugin: plugin.ref }),
      ...(settings.engine === undefined ? {} : { engine: settings.engine }),
      ...(settings.stanzaKind === undefined ? {} : { stanzaKind: settings.stanzaKind }),
      instances: 3,
      storageGiB: 20,
      storageClass: "openebs-hostpath",
      repositories: { repo1: { at: b2.target, keepFullCount: 14 }, repo2: { at: r2.target, keepFullCount: 14 } },
      schedules: { full: { cron: "0 3 * * *" } },
      poolers: { pooler: { instances: 2, parameters: { max_client_conn: "500", default_pool_size: "100" } } },
      silence: { PB042: "restored into a throw-away namespace every month" },
      ...more,
    });
  };
  const immich = cluster("postgres18-immich", settings.buckets.immich, {
    image: settings.immichImage,
    spec: { postgresql: { shared_preload_libraries: ["vchord.so"] } },
  });
  const others = cluster("postgres18-cluster", settings.buckets.others, {
    parameters: { max_connections: "200", shared_buffers: "256MB", wal_keep_size: "2GB" },
    spec: { bootstrap: { initdb: { database: "postgres", owner: "postgres" } } },
  });
  return { immich: immich.topology, others: others.topology };
}
