/**
 * A homelab's set-up as published, with its mistakes: a NAS and a bucket at R2, with daily full, six-hourly
 * differential and hourly incremental backups. examples/vps-nas-r2/program.ts corrects it.
 */
import type { HostSettings } from "../../../components/plan/model/databaseSettings";

export const PUBLISHED: HostSettings = {
  connection: { local: {} },
  dataDirectory: "/var/lib/postgresql/16/main",
  stanza: "main",
  engine: "pgbackrest",
  repositories: {
    // repo1-path=/mnt/nas-backup/pgbackrest: nothing requires that the NAS is mounted.
    repo1: {
      at: { name: "nas", path: "/mnt/nas-backup/pgbackrest", encrypted: false },
      keepFullCount: 7,
      keepDiffCount: 4,
      compress: { type: "lz4", level: 3 },
    },
    // No repo2-cipher-type: anyone who can read the bucket can read the database.
    repo2: {
      at: {
        name: "r2",
        path: "/forge/pgbackrest",
        encrypted: false,
        s3: {
          bucket: "nix-homelab-prod-servers",
          endpoint: "21ee32956d11b5baf662d186bd0b4ab4.r2.cloudflarestorage.com",
          region: "auto",
        },
      },
      keepFullCount: 30,
      keepDiffCount: 14,
      compress: { type: "lz4", level: 3 },
    },
  },
  schedules: {
    full: { cron: "0 2 * * *" },
    // Overlaps with the incremental backup at 0, 6, 12 and 18 o'clock.
    diff: { cron: "0 */6 * * *" },
    incr: { cron: "0 * * * *" },
  },
  // "5-minute RPO": archive_timeout alone takes five minutes; a push and a retry come on top.
  archiveTimeoutSeconds: 300,
  // "Alert if backup repository size is concerning": pgbackrest_repo_size_bytes > 100e9.
  objectives: { rpoSeconds: 300, rtoMinutes: 30, maxRepositoryGB: 100 },
  processMax: 2,
  // Sanoid: "fast local rollback".
  snapshots: { zfs: {} },
};
