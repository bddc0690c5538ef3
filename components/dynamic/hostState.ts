/**
 * The dynamic resource that keeps a host as declared. Only the declaration: what it does is in host.ts, loaded by the name of this package
 * when the engine calls, so that nothing of the program is captured and an updated package takes effect at once.
 */
import * as pulumi from "@pulumi/pulumi";
import type { CipherInput } from "../credentials/fingerprint";
import type { DesiredInput, DirectoriesInput, FileInput, HostInputs, HostOutputs, HostStatus } from "./host";

/** A file whose text may have to wait for other resources, and may be secret. */
export type FileArgs = { readonly [K in keyof FileInput]: pulumi.Input<FileInput[K]> };

/** What a host resource is declared with: {@link HostInputs}, now or later. */
export interface HostStateArgs extends HostStatePlainArgs {
  readonly files: Readonly<Record<string, FileArgs>>;
  readonly ciphers: Readonly<Record<string, CipherArgs>>;
  readonly signIn?: pulumi.Input<NonNullable<HostInputs["signIn"]>>;
  readonly desired: Omit<DesiredInput, "directories"> & {
    readonly directories: { readonly [K in keyof DirectoriesInput]: pulumi.Input<DirectoriesInput[K]> };
  };
}
/** A location and a passphrase that may have to wait for other resources; the passphrase is secret. */
export type CipherArgs = { readonly [K in keyof CipherInput]: pulumi.Input<CipherInput[K]> };
type HostStatePlainArgs = { readonly [K in Exclude<keyof HostInputs, "files" | "ciphers" | "desired" | "signIn">]: pulumi.Input<HostInputs[K]> };

type HostModule = typeof import("./host");

const provider: pulumi.dynamic.ResourceProvider<HostInputs, HostOutputs> = {
  check: (olds, news) => (require("pgbackstop/dynamic/host") as HostModule).check(olds, news),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/host") as HostModule).diff(id, olds, news),
  create: (inputs) => (require("pgbackstop/dynamic/host") as HostModule).create(inputs),
  read: (id, props) => (require("pgbackstop/dynamic/host") as HostModule).read(id, props),
  update: (id, olds, news) => (require("pgbackstop/dynamic/host") as HostModule).update(id, olds, news),
  delete: (id, props) => (require("pgbackstop/dynamic/host") as HostModule).remove(id, props),
};

/** Outputs whose values may tell something about a secret. */
const SECRET_OUTPUTS = ["secretFileFacts", "appliedFacts", "previousSettings", "cipherFingerprints", "keptSignIn"];

/** A host, its files, PostgreSQL settings, stanza, first backup and timers. */
export class HostState extends pulumi.dynamic.Resource {
  /** What the component passes on. */
  declare readonly status: pulumi.Output<HostStatus>;

  constructor(name: string, args: HostStateArgs, opts: pulumi.CustomResourceOptions) {
    // Only what somebody reads. `never` when an output has the name of an input and would take its place.
    const outputs: keyof HostInputs & keyof HostOutputs extends never ? { readonly status: undefined } : never = { status: undefined };
    super(provider, name, { ...args, ...outputs }, pulumi.mergeOptions(opts, { additionalSecretOutputs: SECRET_OUTPUTS }), "index", "HostState");
  }
}
