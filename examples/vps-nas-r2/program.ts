/**
 * PostgreSQL on this machine with a NAS for fast restores and an encrypted bucket at Cloudflare R2 for disasters.
 *
 * What is different from the published set-up, and why: the NAS must be mounted (PB031), the bucket gets nothing but
 * encrypted files (PB007), the three schedules never meet (PB027), and `archive_timeout` follows from the promised five
 * minutes (PB039).
 */
import type * as pulumi from "@pulumi/pulumi";
import {
  CipherPassphrase,
  CompressType,
  Monitoring,
  PosixRepository,
  PostgresHost,
  type PostgresHostArgs,
  R2Repository,
} from "pgbackstop";

export interface NasR2Settings {
  readonly accountId: string;
  /** An existing bucket, and a token for it alone ("Object Read & Write"). */
  readonly bucket: string;
  readonly accessKeyId: pulumi.Input<string>;
  readonly secretAccessKey: pulumi.Input<string>;
  /** What of the host differs from a usual Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "repositories">>;
}

export interface NasR2Outputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
  /** For `rule_files` of the Prometheus that scrapes this machine's node exporter. */
  readonly rules: pulumi.Output<string>;
  /** For Grafana. */
  readonly dashboard: pulumi.Output<string>;
}

const LZ4 = { type: CompressType.Lz4, level: 3 };
const TIME_ZONE = "UTC";

/** Declares everything; what it returns are the stack's outputs. */
export function program(settings: NasR2Settings): NasR2Outputs {
  const key = new CipherPassphrase("forge-key");
  const nas = new PosixRepository("forge-nas", { path: "/mnt/nas-backup/pgbackrest", requireMount: true });
  const r2 = new R2Repository("forge-r2", {
    accountId: settings.accountId,
    bucket: { existing: { name: settings.bucket } },
    credentials: { keys: { accessKeyId: settings.accessKeyId, secretAccessKey: settings.secretAccessKey } },
    path: "/forge/pgbackrest",
    cipher: key.ref,
  });
  const forge = new PostgresHost("forge", {
    connection: { local: {} },
    dataDirectory: "/var/lib/postgresql/16/main",
    repositories: {
      repo1: { at: nas.target, keepDays: 7, keepDiffCount: 4, compress: LZ4 },
      repo2: { at: r2.target, keepDays: 30, keepDiffCount: 14, compress: LZ4 },
    },
    schedules: {
      full: { cron: "0 2 * * *", timeZone: TIME_ZONE },
      // A quarter past, and every hour but those of the other two at half past: one stanza takes one backup at a time.
      diff: { cron: "15 8,14,20 * * *", timeZone: TIME_ZONE },
      incr: { cron: "30 0,1,3-23 * * *", timeZone: TIME_ZONE },
    },
    objectives: { rpoSeconds: 300, rtoMinutes: 30, maxRepositoryGB: 100 },
    silence: { PB042: "restored by hand into a scratch machine on the first of each month" },
    ...settings.host,
  });
  const monitoring = new Monitoring("forge-monitoring", {
    topologies: [forge.topology],
    alertLabels: { host: "forge" },
  });
  return {
    topology: forge.topology,
    restoreCommand: forge.restoreCommand,
    rules: monitoring.rulesFile,
    dashboard: monitoring.dashboardJson,
  };
}
