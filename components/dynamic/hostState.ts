/**
 * The dynamic resource that keeps a host as declared. Only the declaration: the engine loads its methods from host.ts
 * by this package's name, so that it captures nothing of the program and an updated package takes effect immediately.
 */
import * as pulumi from "@pulumi/pulumi";
import type { CipherInput } from "../credentials/fingerprint";
import { DynamicResource, methodsOf } from "./dynamicResource";
import type { FileInput } from "../host/briefFiles";
import type { GivenInputs, HostInputs, HostOutputs, HostStatus } from "./host";

/** A file whose text may be deferred, and may be secret. */
export type FileArgs = { readonly [K in keyof FileInput]: pulumi.Input<FileInput[K]> };

/** {@link HostInputs}, known or deferred. */
export interface HostStateArgs extends HostStatePlainArgs {
  /** In JSON, as `desired`: two values instead of a hundred. A host costs a preview half as much. */
  readonly files: pulumi.Input<string>;
  readonly closedFiles:
    | pulumi.Input<NonNullable<GivenInputs["closedFiles"]>>
    | Readonly<Record<string, FileArgs | pulumi.Input<string>>>;
  readonly ciphers: pulumi.Input<HostInputs["ciphers"]> | Readonly<Record<string, CipherArgs>>;
  readonly signIn?: pulumi.Input<NonNullable<HostInputs["signIn"]>>;
  readonly desired: pulumi.Input<string>;
}
/** A location and a passphrase that may be deferred; the passphrase is secret. */
export type CipherArgs = { readonly [K in keyof CipherInput]: pulumi.Input<CipherInput[K]> };
type HostStatePlainArgs = {
  readonly [K in Exclude<keyof HostInputs, "files" | "ciphers" | "desired" | "signIn">]: pulumi.Input<HostInputs[K]>;
};

type HostModule = typeof import("./host");

const METHODS = methodsOf<HostModule>("pgbackstop/dynamic/host", {
  diff: "diff",
  create: "create",
  read: "read",
  update: "update",
  delete: "remove",
});

/** Outputs that may reveal something about a secret. */
const SECRET_OUTPUTS = [
  "secretFileFacts",
  "driftedFacts",
  "appliedFacts",
  "previousSettings",
  "cipherFingerprints",
  "keptSignIn",
];

/** A host, its files, PostgreSQL settings, stanza, first backup and timers. */
export class HostState extends DynamicResource {
  /** Outputs that the component passes on. */
  declare readonly status: pulumi.Output<HostStatus>;

  constructor(name: string, args: HostStateArgs, opts: pulumi.CustomResourceOptions) {
    // Only outputs that somebody reads. `never` if an output has an input's name and would replace it.
    const outputs: keyof HostInputs & keyof HostOutputs extends never ? { readonly status: undefined } : never = {
      status: undefined,
    };
    super(
      METHODS,
      name,
      { ...args, ...outputs },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: SECRET_OUTPUTS }),
      "HostState",
    );
  }
}
