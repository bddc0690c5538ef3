/**
 * A CloudNativePG cluster with the Barman Cloud plugin and MinIO on a NAS, as published and as corrected with this
 * package: the same bucket, and a second one elsewhere.
 */
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import type { RepositorySettings } from "../../../components/plan/model/databaseSettings";

const MINIO: RepositorySettings = {
  at: {
    name: "minio",
    path: "/app/app-db",
    encrypted: false,
    // The shared secret has AWS_S3_FORCE_PATH_STYLE=true and AWS_REGION.
    s3: {
      bucket: "homelab-postgres-backups",
      endpoint: "truenas.peekoff.com",
      port: 9000,
      region: "us-west-1",
      uriStyle: "path",
      quirks: "minio",
    },
    offSite: false,
  },
};

export const PUBLISHED: DeclaredCluster = {
  namespace: "app",
  clusterName: "app-db",
  engine: "barman-cloud",
  repositories: { repo1: MINIO },
  // The author meant 03:00, but five fields in a ScheduledBackup ran every hour. We render six: "0 0 3 * * *".
  schedules: { full: { cron: "0 3 * * *" } },
};

export const CORRECTED: DeclaredCluster = {
  ...PUBLISHED,
  engine: "runtime",
  repositories: {
    repo1: { ...MINIO, at: { ...MINIO.at, encrypted: true }, keepDays: 30 },
    repo2: {
      at: {
        name: "b2",
        path: "/app/app-db",
        encrypted: true,
        s3: {
          bucket: "homelab-postgres-offsite",
          endpoint: "s3.eu-central-003.backblazeb2.com",
          region: "eu-central-003",
        },
      },
      keepDays: 30,
    },
  },
  drills: { weekly: { cron: "0 5 * * 6", from: "repo2" } },
};
