/**
 * A CloudNativePG cluster with the Barman Cloud plugin and MinIO on a NAS. Other workloads of the namespace share the
 * Secret with the keys.
 *
 * Differences from the published set-up: the schedule starts with seconds, so it runs once a day instead of every hour
 * (PB070), and backups expire (PB006). There is still only one bucket, and nothing restores its backups on a schedule;
 * both findings are silenced with a reason. To fix the first, use `engine: "runtime"` and a second repository with the
 * same arguments.
 */
import type * as pulumi from "@pulumi/pulumi";
import { ClusterEngine, CnpgCluster, S3CompatibleRepository, S3Quirks, UriStyle } from "pgbackstop";

export interface MinioSettings {
  readonly app: string;
  readonly namespace: string;
  readonly clusterName: string;
}

export interface MinioOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program({ app, clusterName, namespace }: MinioSettings): MinioOutputs {
  const minio = new S3CompatibleRepository(`${app}-minio`, {
    endpoint: "truenas.peekoff.com",
    port: 9000,
    region: "us-west-1",
    quirks: S3Quirks.Minio,
    uriStyle: UriStyle.Path,
    path: `/${app}/${clusterName}`,
    offSite: false,
    bucket: {
      existing: {
        name: "homelab-postgres-backups",
        existingSecret: {
          name: "longhorn-minio-credentials",
          accessKeyIdKey: "AWS_ACCESS_KEY_ID",
          secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
          regionKey: "AWS_REGION",
        },
      },
    },
  });
  const cluster = new CnpgCluster(clusterName, {
    namespace,
    engine: ClusterEngine.BarmanCloud,
    storageGiB: 10,
    repositories: { repo1: { at: minio.target, keepDays: 30 } },
    schedules: { full: { cron: "0 3 * * *", immediate: false } },
    silence: {
      PB003: "the second bucket is at the next milestone",
      PB042: "restored by hand",
    },
  });
  return { topology: cluster.topology };
}
