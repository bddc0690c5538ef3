/** The declaration of the dynamic resource that keeps a host as declared; host.ts has its methods. */
import type * as pulumi from "@pulumi/pulumi";
import type { CipherInput } from "../credentials/fingerprint";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";
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

const HOST: DynamicClass = {
  type: "HostState",
  methods: methodsOf<HostModule>("pgbackstop/dynamic/host", {
    diff: "diff",
    create: "create",
    read: "read",
    update: "update",
    delete: "remove",
  }),
  // `never` if an output has an input's name and would replace it.
  outputs: ["status"] satisfies keyof HostInputs & keyof HostOutputs extends never ? string[] : never,
  // They may reveal something about a secret.
  secretOutputs: [
    "secretFileFacts",
    "driftedFacts",
    "appliedFacts",
    "previousSettings",
    "cipherFingerprints",
    "keptSignIn",
  ],
};

/** A host, its files, PostgreSQL settings, stanza, first backup and timers. */
export class HostState extends DynamicResource {
  /** Outputs that the component passes on. */
  declare readonly status: pulumi.Output<HostStatus>;

  constructor(name: string, args: HostStateArgs, opts: pulumi.CustomResourceOptions) {
    super(HOST, name, args, opts);
  }
}
