/**
 * PostgreSQL on this machine, with a second machine for fast restores (plain SFTP, no software of ours) and an
 * encrypted bucket at Backblaze B2. This program creates the bucket, and a key that cannot delete versions.
 *
 * Differences from the published set-up: the local copy is on another machine, as its text recommends. The three
 * schedules never overlap (PB027). `archive_timeout` follows from the RPO of five minutes (PB039).
 */
import type * as pulumi from "@pulumi/pulumi";
import { B2Repository, CipherPassphrase, PostgresHost, type PostgresHostArgs, SftpRepository } from "pgbackstop";

export interface B2Settings {
  readonly bucket: string;
  readonly backupHost: {
    readonly host: string;
    readonly user: string;
    /** Contents of `ssh_host_ecdsa_key.pub` on the server. */
    readonly hostKey: string;
    readonly privateKey: pulumi.Input<string>;
  };
  /** Arguments for a host that differs from a standard Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "repositories">>;
}

export interface B2Outputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program(settings: B2Settings): B2Outputs {
  const key = new CipherPassphrase("pg-cluster-key");
  // In the same datacenter: fast, and reads cost nothing.
  const near = new SftpRepository("pg-cluster-near", {
    ...settings.backupHost,
    path: "/srv/pgbackrest/pg-cluster",
    offSite: false,
    cipher: key.ref,
  });
  const b2 = new B2Repository("pg-cluster-b2", {
    bucket: { create: { name: settings.bucket } },
    path: "/postgres/pg-cluster",
    cipher: key.ref,
  });
  const host = new PostgresHost("pg-cluster", {
    connection: { local: {} },
    dataDirectory: "/var/lib/postgresql/17/main",
    stanza: "pg-cluster",
    processMax: 4,
    repositories: {
      repo1: { at: near.target, keepFullCount: 2, keepDiffCount: 7 },
      repo2: { at: b2.target, keepFullCount: 4, keepDiffCount: 14 },
    },
    schedules: {
      full: { cron: "0 2 * * 0" },
      diff: { cron: "0 2 * * 1-6" },
      // Half past each hour, except while the other two run.
      incr: { cron: "30 0,1,3-23 * * *" },
    },
    objectives: { rpoSeconds: 300, rtoMinutes: 60 },
    silence: { PB042: "restored on a throw-away machine every month, as the runbook says" },
    ...settings.host,
  });
  return { topology: host.topology, restoreCommand: host.restoreCommand, passphrase: key.passphrase };
}
