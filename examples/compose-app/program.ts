/**
 * The database of a Compose project, backed up to a second machine over SFTP and to an encrypted bucket at Backblaze
 * B2. `compose.yaml` stays as it is, and nothing restarts.
 *
 * The files of the app, in the volume `files`, need a backup of their own.
 */
import type * as pulumi from "@pulumi/pulumi";
import { B2Repository, CipherPassphrase, PostgresHost, SftpRepository } from "pgbackstop";

export interface ComposeAppSettings {
  /** Name or address of the server. */
  readonly server: string;
  /** As `ssh-keyscan` prints it, after the name. */
  readonly hostKey: string;
  /** On the server. */
  readonly composeFile: string;
  readonly backupHost: {
    readonly host: string;
    readonly user: string;
    /** Contents of `ssh_host_ecdsa_key.pub` on the second machine. */
    readonly hostKey: string;
    readonly privateKey: pulumi.Input<string>;
  };
  /** A new bucket. */
  readonly bucket: string;
}

export interface ComposeAppOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly destinations: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program({ backupHost, bucket, composeFile, hostKey, server }: ComposeAppSettings): ComposeAppOutputs {
  const key = new CipherPassphrase("gitea-key");
  const near = new SftpRepository("gitea-near", { ...backupHost, path: "/srv/pgbackrest/gitea", cipher: key.ref });
  const b2 = new B2Repository("gitea-b2", { bucket: { create: { name: bucket } }, cipher: key.ref });
  const gitea = new PostgresHost("gitea", {
    connection: { ssh: { host: server, hostKeys: [hostKey] } },
    container: { compose: composeFile, service: "db" },
    stanza: "gitea",
    repositories: {
      repo1: { at: near.target, keepDays: 7 },
      repo2: { at: b2.target, keepDays: 30 },
    },
    schedules: { full: { cron: "15 3 * * 0" }, incr: { cron: "15 3 * * 1-6" } },
    objectives: { rpoSeconds: 300 },
    drills: { monthly: { cron: "0 5 1 * *" } },
  });
  return { topology: gitea.topology, destinations: gitea.destinations, passphrase: key.passphrase };
}
