/**
 * PostgreSQL on this machine with a NAS for fast restores and an encrypted bucket at Cloudflare R2 for disasters.
 *
 * Differences from the published set-up: the NAS must be mounted (PB031), the bucket gets encrypted files only (PB007),
 * the three schedules never overlap (PB027), and `archive_timeout` follows from the RPO of five minutes (PB039).
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
  /** An existing bucket. The keys below come from a token for this bucket only ("Object Read & Write"). */
  readonly bucket: string;
  readonly accessKeyId: pulumi.Input<string>;
  readonly secretAccessKey: pulumi.Input<string>;
  /** Arguments for a host that differs from a standard Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "repositories">>;
}

export interface NasR2Outputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
  /** Add to `rule_files` of the Prometheus that scrapes this machine's node exporter. */
  readonly rules: pulumi.Output<string>;
  /** Import into Grafana. */
  readonly dashboard: pulumi.Output<string>;
}

const LZ4 = { type: CompressType.Lz4, level: 3 };
const TIME_ZONE = "UTC";

/** Declares all resources and returns the stack's outputs. */
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
      // Never at the same time: a stanza takes one backup at a time.
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
    passphrase: key.passphrase,
    rules: monitoring.rulesFile,
    dashboard: monitoring.dashboardJson,
  };
}
