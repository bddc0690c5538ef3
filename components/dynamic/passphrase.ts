/**
 * The dynamic resource behind a cipher passphrase: made once from the system's random source, kept through every update. Its methods are
 * complete in themselves, so that a passphrase can still be read and removed when the package is gone.
 */
import * as pulumi from "@pulumi/pulumi";

interface PassphraseInputs {
  readonly sizeBytes: number;
}

const provider: pulumi.dynamic.ResourceProvider<PassphraseInputs, { passphrase: string }> = {
  create: async ({ sizeBytes }) => ({
    id: (require("node:crypto") as typeof import("node:crypto")).randomUUID(),
    outs: { passphrase: (require("node:crypto") as typeof import("node:crypto")).randomBytes(sizeBytes).toString("base64") },
  }),
  // A new passphrase would make every existing backup unreadable: nothing changes it.
  diff: async () => ({ changes: false }),
  update: async (_id, olds) => ({ outs: { passphrase: olds.passphrase } }),
};

/** A random passphrase, secret in the state. */
export class Passphrase extends pulumi.dynamic.Resource {
  declare readonly passphrase: pulumi.Output<string>;

  constructor(name: string, sizeBytes: number, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["passphrase"] };
    super(provider, name, { sizeBytes, passphrase: undefined }, pulumi.mergeOptions(opts, own), "index", "Passphrase");
  }
}
