/**
 * PostgreSQL on this machine with two repositories: a NAS (a directory) and a bucket that gets nothing but encrypted
 * files. One full backup a day goes into both in one pass; every WAL segment goes into both as soon as it is complete.
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
  /** Node.js for the runtime, and whatever else of the host differs from a usual Debian. */
  readonly host?: Partial<Omit<PostgresHostArgs, "connection" | "dataDirectory" | "repositories">>;
  /** True (default) keeps the passphrase from being destroyed with the stack. */
  readonly protect?: boolean;
}

export interface LocalBucket {
  readonly name: string;
  /** Host name, without scheme and port. */
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
  /** What each repository holds, read from there: its newest full backup and newest WAL. */
  readonly destinations: pulumi.Output<string>;
  readonly restoreCommand: pulumi.Output<string>;
  /** Keep a copy outside of the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares everything; what it returns are the stack's outputs. */
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
