/**
 * The dynamic resource behind a cipher passphrase. Only the declaration: the engine loads its methods from
 * passphrase.ts by this package's name, without Pulumi.
 */
import * as pulumi from "@pulumi/pulumi";
import { DynamicResource, methodsOf } from "./dynamicResource";
import type { PassphraseInputs } from "./passphrase";

type PassphraseModule = typeof import("./passphrase");

const METHODS = methodsOf<PassphraseModule>("pgbackstop/dynamic/passphrase", {
  create: "create",
  diff: "diff",
  update: "update",
});

/** A passphrase, secret in the state. */
export class Passphrase extends DynamicResource {
  declare readonly passphrase: pulumi.Output<string>;

  constructor(
    name: string,
    args: { readonly [K in keyof PassphraseInputs]: pulumi.Input<PassphraseInputs[K]> },
    opts: pulumi.CustomResourceOptions,
  ) {
    const { sizeBytes, existing } = args;
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["passphrase"] };
    const inputs = {
      sizeBytes,
      ...(existing === undefined ? {} : { existing: pulumi.secret(existing) }),
      passphrase: undefined,
    };
    super(METHODS, name, inputs, pulumi.mergeOptions(opts, own), "Passphrase");
  }
}
