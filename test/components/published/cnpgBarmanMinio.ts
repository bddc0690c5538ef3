/**
 * A cluster of CloudNativePG with the Barman Cloud plugin over MinIO on a NAS, as it was published, and as this package
 * would have it: the same bucket, and a second one elsewhere. Plain values.
 */
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import type { RepositorySettings } from "../../../components/plan/model/databaseSettings";

const MINIO: RepositorySettings = {
  at: {
    name: "minio",
    path: "/app/app-db",
    encrypted: false,
    // AWS_S3_FORCE_PATH_STYLE=true and AWS_REGION of the shared secret.
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
  // Meant as 03:00; written with five fields into a ScheduledBackup it was every hour. Here it is rendered as "0 0 3 *
  // * *".
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
