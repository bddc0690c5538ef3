/** Settings and plans for the tests of the pure rooms: complete, with what a test is about laid over it. */
import type { HostPlan } from "../../components/plan/plan";
import { resolveHost } from "../../components/plan/resolve";
import type { HostSettings, RepositorySettings } from "../../components/plan/settings";

export const NAS: RepositorySettings = { at: { name: "nas", kind: "posix", path: "/mnt/nas/pgbackrest", encrypted: false }, keepDays: 7 };
export const BUCKET: RepositorySettings = {
  at: {
    name: "bucket",
    kind: "s3",
    path: "/ledger",
    encrypted: true,
    s3: { bucket: "ledger-backups", endpoint: "s3.eu-central-003.backblazeb2.com", region: "eu-central-003" },
  },
  keepFullCount: 4,
};

export function settings(over: Partial<HostSettings> = {}): HostSettings {
  return {
    dataDirectory: "/var/lib/postgresql/18/main",
    connection: { local: {} },
    repositories: { repo1: NAS, repo2: BUCKET },
    schedules: { full: { cron: "30 2 * * 0", timeZone: "Europe/Berlin" } },
    ...over,
  };
}

export function plan(over: Partial<HostSettings> = {}): HostPlan {
  return resolveHost("ledger", settings(over), "/usr/bin/node");
}
