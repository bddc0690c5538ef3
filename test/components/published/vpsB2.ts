/**
 * A tutorial's set-up as published, with its mistakes: a directory on the machine, an encrypted bucket at Backblaze B2,
 * and a crontab with weekly full, daily differential and hourly incremental backups. examples/vps-b2/program.ts
 * corrects it.
 */
import type { HostSettings } from "../../../components/plan/model/databaseSettings";

export const PUBLISHED: HostSettings = {
  connection: { local: {} },
  dataDirectory: "/var/lib/postgresql/17/main",
  stanza: "pg-cluster",
  engine: "pgbackrest",
  repositories: {
    // "Local-on-backup-host repo", but this configuration runs on the database's host, so the directory is on the
    // database's disks.
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
    // Overlaps with the other two at 02:00.
    incr: { cron: "0 * * * *" },
  },
  // "RPO target: 5 minutes (continuous WAL archiving)", but without archive_timeout PostgreSQL archives no partly
  // filled segment.
  archiveTimeoutSeconds: 0,
  objectives: { rpoSeconds: 300, rtoMinutes: 30 },
  processMax: 4,
  drills: { monthly: { cron: "0 5 1 * *", from: "repo2", maxMinutes: 60 } },
};
