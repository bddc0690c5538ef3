/**
 * A CloudNativePG cluster with full backups at Backblaze B2 and Cloudflare R2, as published and as corrected with this
 * package. The author switched to Dalibo's plugin after Barman's had left the second bucket empty.
 */
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import type { RepositorySettings } from "../../../components/plan/model/databaseSettings";

const B2: RepositorySettings = {
  at: {
    name: "b2",
    path: "/immich18",
    encrypted: false,
    s3: { bucket: "nerdz-postgres-immich", endpoint: "s3.us-east-005.backblazeb2.com", region: "us-east-005" },
  },
  keepFullCount: 14,
};
const R2: RepositorySettings = {
  at: {
    name: "r2",
    path: "/immich18",
    encrypted: false,
    s3: {
      bucket: "nerdz-postgres-immich",
      endpoint: "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
      region: "auto",
    },
  },
  keepFullCount: 14,
};

/** The earlier set-up: two ObjectStores of the Barman Cloud plugin. "My 3-2-1 backup strategy was actually a 2-1-1." */
export const BARMAN: DeclaredCluster = {
  namespace: "database",
  clusterName: "immich",
  engine: "barman-cloud",
  repositories: { repo1: B2, repo2: R2 },
  schedules: { full: { cron: "0 3 * * *" } },
};

/** The first attempt with Dalibo's plugin: a Service named `pgbackrest`, and backups from a standby. */
export const PUBLISHED: DeclaredCluster = {
  namespace: "database",
  clusterName: "immich18",
  engine: "pgbackrest",
  instances: 3,
  postgresVersion: 18,
  repositories: { repo1: B2, repo2: R2 },
  schedules: { full: { cron: "0 3 * * *" } },
  serviceNames: ["pgbackrest"],
};

/** One encrypted pass into both, from the least busy instance. */
export const CORRECTED: DeclaredCluster = {
  ...PUBLISHED,
  engine: "runtime",
  repositories: {
    repo1: { ...B2, at: { ...B2.at, encrypted: true } },
    repo2: { ...R2, at: { ...R2.at, encrypted: true } },
  },
  serviceNames: ["cnpg-pgbackrest"],
  drills: { weekly: { cron: "0 5 * * 6", from: "repo2" } },
};
