/**
 * Backs up a Cluster that Helm or GitOps created: the plugin, and an archiver for the running cluster. Optionally
 * restores the cluster as of a point in time into a second cluster.
 */
import type * as pulumi from "@pulumi/pulumi";
import { CipherPassphrase, CnpgBackup, CnpgPlugin, CnpgRestore, S3CompatibleRepository } from "pgbackstop";

export interface AttachSettings {
  readonly namespace: string;
  readonly clusterName: string;
  readonly keys: { readonly accessKeyId: pulumi.Input<string>; readonly secretAccessKey: pulumi.Input<string> };
  /** If set, a second cluster is restored to this time. */
  readonly restoreTo?: string;
}

export interface AttachOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
}

/** Declares all resources and returns the stack's outputs. */
export function program({ clusterName, keys, namespace, restoreTo }: AttachSettings): AttachOutputs {
  const passphrase = new CipherPassphrase("legacy-key");
  const repository = (name: string, endpoint: string, region: string, path: string) =>
    new S3CompatibleRepository(name, {
      endpoint,
      region,
      path,
      bucket: { existing: { name: "acme-legacy-pg", credentials: keys } },
      cipher: passphrase.ref,
    });
  const near = repository("legacy-near", "s3.eu-central-003.backblazeb2.com", "eu-central-003", "/legacy");
  const far = repository("legacy-far", "s3.eu-west-1.amazonaws.com", "eu-west-1", "/legacy");
  const plugin = new CnpgPlugin("pgbackstop", {});
  const backup = new CnpgBackup("legacy", {
    namespace,
    clusterName,
    instances: 2,
    operatorVersion: "1.30.0",
    plugin: plugin.ref,
    repositories: { repo1: { at: near.target, keepFullCount: 4 }, repo2: { at: far.target, keepDays: 60 } },
    schedules: { full: { cron: "0 1 * * 0" }, incr: { cron: "0 1 * * 1-6" } },
    silence: { PB042: "legacy-then, below, is the drill" },
  });
  if (restoreTo !== undefined) {
    const then = repository("legacy-then", "s3.eu-central-003.backblazeb2.com", "eu-central-003", "/legacy-then");
    new CnpgRestore("legacy-then", {
      namespace,
      plugin: plugin.ref,
      storageGiB: 50,
      source: {
        stanza: clusterName,
        repositories: { repo1: { at: near.target }, repo2: { at: far.target } },
        target: { time: restoreTo },
      },
      repositories: { repo1: { at: then.target, keepDays: 7 } },
      schedules: { full: { cron: "0 4 * * 0" } },
      silence: { PB003: "a copy for a look", PB042: "a copy for a look" },
    });
  }
  return { topology: backup.topology, passphrase: passphrase.passphrase };
}
