/**
 * PostgreSQL on this machine with a second machine for fast restores (SFTP, nothing of ours runs there) and an
 * encrypted bucket at Backblaze B2 that this program makes, with a key that cannot delete versions.
 *
 * What is different from the published set-up, and why: the local copy is on another machine, as its text asks for; the
 * three schedules never meet (PB027); `archive_timeout` follows from the promised five minutes (PB039).
 */
import type * as pulumi from "@pulumi/pulumi";
import { B2Repository, CipherPassphrase, PostgresHost, type PostgresHostArgs, SftpRepository } from "pgbackstop";

export interface B2Settings {
  readonly bucket: string;
  readonly backupHost: {
    readonly host: string;
    readonly user: string;
    /** The line of `ssh_host_ecdsa_key.pub` on the server. */
    readonly hostKey: string;
    readonly privateKey: pulumi.Input<string>;
  };
  /** What of the host differs from a usual Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "repositories">>;
}

export interface B2Outputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
}

/** Declares everything; what it returns are the stack's outputs. */
export function program(settings: B2Settings): B2Outputs {
  const key = new CipherPassphrase("pg-cluster-key");
  // In the same datacenter: fast, and no bill for what is read.
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
      // Half past, and not while the two above are at work.
      incr: { cron: "30 0,1,3-23 * * *" },
    },
    objectives: { rpoSeconds: 300, rtoMinutes: 60 },
    silence: { PB042: "restored on a throw-away machine every month, as the runbook says" },
    ...settings.host,
  });
  return { topology: host.topology, restoreCommand: host.restoreCommand };
}
