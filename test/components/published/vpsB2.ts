/**
 * A tutorial's set-up as it was published, as plain values: a directory on the machine and an encrypted bucket at
 * Backblaze B2, a crontab with weekly full, daily differential and hourly incremental backups. Its mistakes are kept;
 * examples/vps-b2/program.ts is the same set-up without them.
 */
import type { HostSettings } from "../../../components/plan/model/databaseSettings";

export const PUBLISHED: HostSettings = {
  connection: { local: {} },
  dataDirectory: "/var/lib/postgresql/17/main",
  stanza: "pg-cluster",
  engine: "pgbackrest",
  repositories: {
    // "Local-on-backup-host repo", in a configuration that runs on the database's host: the directory is on the
    // database's own disks.
    repo1: { at: { name: "local", path: "/var/lib/pgbackrest", encrypted: false }, keepFullCount: 2, keepDiffCount: 7 },
    repo2: {
      at: {
        name: "b2",
        path: "/postgres/pg-cluster",
        encrypted: true,
        s3: { bucket: "acme-pg-backups", endpoint: "s3.us-east-005.backblazeb2.com", region: "us-east-005" },
      },
      keepFullCount: 4,
      keepDiffCount: 14,
    },
  },
  schedules: {
    full: { cron: "0 2 * * 0" },
    diff: { cron: "0 2 * * 1-6" },
    // 02:00 of every day is among the hours.
    incr: { cron: "0 * * * *" },
  },
  // "RPO target: 5 minutes (continuous WAL archiving)", and no archive_timeout: a segment that does not fill is not
  // sent.
  archiveTimeoutSeconds: 0,
  objectives: { rpoSeconds: 300, rtoMinutes: 30 },
  processMax: 4,
  drills: { monthly: { cron: "0 5 1 * *", from: "repo2", maxMinutes: 60 } },
};
