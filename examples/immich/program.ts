/**
 * The database of Immich, as its published Compose file starts it, backed up to a NAS and to an encrypted bucket at
 * Backblaze B2. The Compose file, its image and its `.env` stay as they are, and nothing restarts.
 *
 * The photos are files below `UPLOAD_LOCATION`, and need a backup of their own.
 */
import type * as pulumi from "@pulumi/pulumi";
import { B2Repository, CipherPassphrase, PosixRepository, PostgresHost } from "pgbackstop";

export interface ImmichSettings {
  /** Name or address of the server. */
  readonly server: string;
  /** As `ssh-keyscan` prints it, after the name. */
  readonly hostKey: string;
  /** On the server. */
  readonly composeFile: string;
  /** Where the NAS is mounted on the server. */
  readonly nasPath: string;
  /** A new bucket. */
  readonly bucket: string;
}

export interface ImmichOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly destinations: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program({ bucket, composeFile, hostKey, nasPath, server }: ImmichSettings): ImmichOutputs {
  const key = new CipherPassphrase("immich-key");
  const nas = new PosixRepository("immich-nas", { path: `${nasPath}/pgbackrest`, requireMount: true });
  const b2 = new B2Repository("immich-b2", { bucket: { create: { name: bucket } }, cipher: key.ref });
  const immich = new PostgresHost("immich", {
    connection: { ssh: { host: server, hostKeys: [hostKey] } },
    container: { compose: composeFile, service: "database" },
    stanza: "immich",
    repositories: {
      repo1: { at: nas.target, keepDays: 7 },
      repo2: { at: b2.target, keepDays: 60 },
    },
    schedules: { full: { cron: "30 2 * * 0" }, incr: { cron: "30 2 * * 1-6" } },
    objectives: { rpoSeconds: 300 },
    drills: { monthly: { cron: "0 5 1 * *" } },
  });
  return { topology: immich.topology, destinations: immich.destinations, passphrase: key.passphrase };
}
