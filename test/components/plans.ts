/** Complete settings and plans for tests of pure functions. Each test overrides what it needs. */
import { view } from "../../components/plan/model/deferred";
import type { ClusterDatabasePlan, HostPlan } from "../../components/plan/model/plan";
import { resolveClusterDatabase, resolveHost } from "../../components/plan/model/resolveDatabase";
import type { DeclaredCluster } from "../../components/plan/cluster/declaredCluster";
import type { HostSettings, RepositorySettings } from "../../components/plan/model/databaseSettings";

export const NAS: RepositorySettings = {
  at: { name: "nas", path: "/mnt/nas/pgbackrest", requireMount: true, encrypted: false },
  keepDays: 7,
};
export const BUCKET: RepositorySettings = {
  at: {
    name: "bucket",
    path: "/ledger",
    encrypted: true,
    s3: { bucket: "ledger-backups", endpoint: "s3.eu-central-003.backblazeb2.com", region: "eu-central-003" },
  },
  keepFullCount: 4,
};

export const R2: RepositorySettings = {
  at: {
    name: "r2",
    path: "/orders",
    encrypted: true,
    s3: {
      bucket: "orders-backups",
      endpoint: "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
      region: "auto",
    },
  },
  keepDays: 90,
};

export function settings(over: Partial<HostSettings> = {}): HostSettings {
  return {
    dataDirectory: "/var/lib/postgresql/18/main",
    connection: { local: {} },
    repositories: { repo1: NAS, repo2: BUCKET },
    schedules: { full: { cron: "30 3 * * 0", timeZone: "Europe/Berlin" } },
    archiveTimeoutSeconds: 60,
    drills: { monthly: { cron: "0 5 1 * *", from: "repo1" } },
    ...over,
  };
}

export function declaredDatabase(over: Partial<DeclaredCluster> = {}): DeclaredCluster {
  return {
    namespace: "orders",
    instances: 3,
    repositories: { repo1: BUCKET, repo2: R2 },
    schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
    drills: { weekly: { cron: "0 5 * * 6", from: "repo2", elsewhere: true } },
    ...over,
  };
}

export function clusterPlan(over: Partial<DeclaredCluster> = {}): ClusterDatabasePlan {
  return resolveClusterDatabase("orders", view(declaredDatabase(over)));
}

/** Values that come later end the rules that read them. */
export function plan(over: Partial<HostSettings> = {}): HostPlan {
  return resolveHost("ledger", view(settings(over)), "/usr/bin/node");
}

/** The same with markers, as it is rendered. */
export function markedPlan(over: Partial<HostSettings> = {}): HostPlan {
  return resolveHost("ledger", settings(over), "/usr/bin/node");
}
