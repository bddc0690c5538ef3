/**
 * PostgreSQL on this machine with two repositories: a NAS (a directory) and a bucket with encrypted files only.
 * One pass a day writes a full backup to both. Each WAL segment goes to both as soon as it is complete.
 */
import type * as pulumi from "@pulumi/pulumi";
import {
  CipherPassphrase,
  CompressType,
  PosixRepository,
  PostgresHost,
  type PostgresHostArgs,
  S3CompatibleRepository,
  UriStyle,
} from "pgbackstop";

export interface LocalSettings {
  readonly dataDirectory: string;
  readonly nasPath: string;
  readonly bucket: LocalBucket;
  /** Node.js for the runtime, and other arguments for a host that differs from a standard Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "dataDirectory" | "repositories">>;
  /** Default true: the passphrase survives `pulumi destroy`. */
  readonly protect?: boolean;
}

export interface LocalBucket {
  readonly name: string;
  /** Host name without scheme or port. */
  readonly endpoint: string;
  readonly region: string;
  readonly port?: number;
  readonly caFile?: string;
  readonly accessKeyId: pulumi.Input<string>;
  readonly secretAccessKey: pulumi.Input<string>;
}

export interface LocalOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly pendingRestart: pulumi.Output<boolean>;
  readonly timersEnabled: pulumi.Output<boolean>;
  readonly firstBackup: pulumi.Output<string>;
  /** Newest full backup and newest WAL, read from each repository. */
  readonly destinations: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program(settings: LocalSettings): LocalOutputs {
  const { bucket } = settings;
  const key = new CipherPassphrase("local-key", {}, { protect: settings.protect ?? true });
  const nas = new PosixRepository("local-nas", { path: settings.nasPath });
  const remote = new S3CompatibleRepository("local-s3", {
    endpoint: bucket.endpoint,
    region: bucket.region,
    uriStyle: UriStyle.Path,
    bucket: {
      existing: {
        name: bucket.name,
        credentials: { accessKeyId: bucket.accessKeyId, secretAccessKey: bucket.secretAccessKey },
      },
    },
    cipher: key.ref,
    ...(bucket.port === undefined ? {} : { port: bucket.port }),
    ...(bucket.caFile === undefined ? {} : { caFile: bucket.caFile }),
  });
  const host = new PostgresHost("local", {
    connection: { local: {} },
    dataDirectory: settings.dataDirectory,
    repositories: {
      repo1: { at: nas.target, keepDays: 7, compress: { type: CompressType.Gz } },
      repo2: { at: remote.target, keepDays: 60, compress: { type: CompressType.Zst } },
    },
    schedules: { full: { cron: "30 2 * * *" } },
    ...settings.host,
  });
  return {
    topology: host.topology,
    pendingRestart: host.pendingRestart,
    timersEnabled: host.timersEnabled,
    firstBackup: host.firstBackup,
    destinations: host.destinations,
    restoreCommand: host.restoreCommand,
    passphrase: key.passphrase,
  };
}
