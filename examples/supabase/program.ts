/**
 * The database of a self-hosted Supabase, as its published Compose project starts it, backed up to encrypted buckets at
 * Cloudflare R2 and Backblaze B2. The project stays as it is, and nothing restarts.
 *
 * The storage's objects are files below `volumes/storage`, and need a backup of their own.
 */
import type * as pulumi from "@pulumi/pulumi";
import { B2Repository, CipherPassphrase, PostgresHost, R2Repository } from "pgbackstop";

export interface SupabaseSettings {
  /** Name or address of the server. */
  readonly server: string;
  /** As `ssh-keyscan` prints it, after the name. */
  readonly hostKey: string;
  /** An existing bucket at R2. */
  readonly r2: {
    readonly accountId: string;
    readonly bucket: string;
    readonly accessKeyId: pulumi.Input<string>;
    readonly secretAccessKey: pulumi.Input<string>;
  };
  /** A new bucket at B2. */
  readonly b2Bucket: string;
}

export interface SupabaseOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  readonly destinations: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program({ b2Bucket, hostKey, r2: account, server }: SupabaseSettings): SupabaseOutputs {
  const { accessKeyId, accountId, bucket, secretAccessKey } = account;
  const key = new CipherPassphrase("supabase-key");
  const r2 = new R2Repository("supabase-r2", {
    accountId,
    bucket: { existing: { name: bucket } },
    credentials: { keys: { accessKeyId, secretAccessKey } },
    path: "/supabase",
    cipher: key.ref,
  });
  const b2 = new B2Repository("supabase-b2", { bucket: { create: { name: b2Bucket } }, cipher: key.ref });
  const supabase = new PostgresHost("supabase", {
    connection: { ssh: { host: server, hostKeys: [hostKey] } },
    container: { name: "supabase-db" },
    stanza: "supabase",
    repositories: {
      repo1: { at: r2.target, keepDays: 14 },
      repo2: { at: b2.target, keepDays: 60 },
    },
    schedules: { full: { cron: "45 2 * * 0" }, incr: { cron: "45 2 * * 1-6" } },
    objectives: { rpoSeconds: 300 },
    drills: { monthly: { cron: "0 5 1 * *" } },
  });
  return { topology: supabase.topology, destinations: supabase.destinations, passphrase: key.passphrase };
}
