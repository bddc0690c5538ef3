/**
 * A database with its backups, and a second server that replicates a few tables logically. If someone drops or empties
 * one of them, you copy it back within seconds, without a restore. The sidecar does not replace a backup: it replicates
 * a wrong update immediately. docs/sidecar.md lists the traps.
 *
 * The statements are outputs. Run them once by hand: `pulumi stack output source --json | jq -r '.[] + ";"' | psql`.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  CipherPassphrase,
  PosixRepository,
  PostgresHost,
  type PostgresHostArgs,
  S3CompatibleRepository,
} from "pgbackstop";
import { alertRules, metrics, publish, type Sidecar, sourceSettings, subscribe } from "./statements";

export interface SidecarSettings {
  /** On a NAS or another disk. */
  readonly directory: string;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly keys: { readonly accessKeyId: pulumi.Input<string>; readonly secretAccessKey: pulumi.Input<string> };
  /** Address at which the sidecar reaches this host. */
  readonly sourceAddress: string;
  /** Arguments for a host that differs from a standard Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "repositories">>;
}

export interface SidecarOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
  /** Statements for the source, in this order. Restart it after the first three. */
  readonly source: pulumi.Output<string[]>;
  readonly sidecar: pulumi.Output<string[]>;
  readonly metrics: pulumi.Output<string>;
  readonly alerts: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program(settings: SidecarSettings): SidecarOutputs {
  const key = new CipherPassphrase("shop-key");
  const near = new PosixRepository("shop-near", { path: settings.directory, requireMount: true, cipher: key.ref });
  const far = new S3CompatibleRepository("shop-far", {
    endpoint: settings.endpoint,
    region: settings.region,
    path: "/shop",
    bucket: { existing: { name: settings.bucket, credentials: settings.keys } },
    cipher: key.ref,
  });
  // The sidecar does not replace any of this: two repositories, incremental backups, an RPO.
  const host = new PostgresHost("shop", {
    connection: { local: {} },
    dataDirectory: "/var/lib/postgresql/17/main",
    stanza: "shop",
    repositories: { repo1: { at: near.target, keepDays: 14 }, repo2: { at: far.target, keepDays: 60 } },
    schedules: { full: { cron: "0 1 * * 0" }, incr: { cron: "0 1 * * 1-6" } },
    objectives: { rpoSeconds: 600 },
    silence: { PB042: "restored on another machine every month" },
    ...settings.host,
  });
  const sidecar: Sidecar = {
    name: "precious",
    tables: ["public.orders", "public.payments"],
    role: "sidecar_reader",
    connection: `host=${settings.sourceAddress} dbname=shop sslmode=verify-full sslrootcert=system`,
    keepWalMegabytes: 4096,
  };
  return {
    topology: host.topology,
    passphrase: key.passphrase,
    source: pulumi.output([...sourceSettings(sidecar), ...publish(sidecar)]),
    sidecar: pulumi.output(subscribe(sidecar)),
    metrics: pulumi.output(metrics(sidecar)),
    alerts: pulumi.output(alertRules(sidecar)),
  };
}
