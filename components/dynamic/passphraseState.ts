/** The declaration of the dynamic resource behind a cipher passphrase; passphrase.ts has its methods. */
import * as pulumi from "@pulumi/pulumi";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";
import type { PassphraseInputs } from "./passphrase";

type PassphraseModule = typeof import("./passphrase");

const PASSPHRASE: DynamicClass = {
  type: "Passphrase",
  methods: methodsOf<PassphraseModule>("pgbackstop/dynamic/passphrase", {
    create: "create",
    diff: "diff",
    update: "update",
  }),
  outputs: ["passphrase"],
  secretOutputs: ["passphrase"],
};

/** A passphrase, secret in the state. */
export class Passphrase extends DynamicResource {
  declare readonly passphrase: pulumi.Output<string>;

  constructor(
    name: string,
    args: { readonly [K in keyof PassphraseInputs]: pulumi.Input<PassphraseInputs[K]> },
    opts: pulumi.CustomResourceOptions,
  ) {
    const { sizeBytes, existing } = args;
    const secret = existing === undefined ? {} : { existing: pulumi.secret(existing) };
    super(PASSPHRASE, name, { sizeBytes, ...secret }, opts);
  }
}
