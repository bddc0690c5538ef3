/**
 * A cluster of CloudNativePG with the Barman Cloud plugin over MinIO on a NAS, with the keys of a Secret that others of
 * the namespace use too.
 *
 * What is different from the published set-up, and why: the schedule has its seconds first, so that it runs once a day
 * and not every hour (PB070), and backups end some day (PB006). That there is one bucket only, and that Barman encrypts
 * nothing, is said with its reason: `engine: "runtime"` and a second repository are the way out, with the same
 * arguments.
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

/** Declares everything; what it returns are the stack's outputs. */
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
      PB007: "the NAS stands in the same rack as the database",
      PB042: "restored by hand",
    },
  });
  return { topology: cluster.topology };
}
