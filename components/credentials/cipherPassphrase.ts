/** The passphrase of client-side encryption. */
import * as pulumi from "@pulumi/pulumi";
import { Passphrase } from "../dynamic/passphrase";
import { childName, typeToken } from "../internal/children";
import type { CipherRef } from "../repositories/target";

/** 384 bits, 64 characters of base64: as pgBackRest makes its own keys. */
const SIZE_BYTES = 48;

export interface CipherPassphraseArgs {
  /**
   * A passphrase that exists already, for repositories that were made elsewhere. Left out, a random one is made.
   */
  existing?: pulumi.Input<string>;
}

/**
 * A passphrase for repositories: random, secret in the state, the same through every update.
 *
 * Keep a copy outside the stack (export `key.passphrase`, then `pulumi stack output --show-secrets`): without it the backups cannot be restored. It is protected: set
 * `{ protect: false }` and run an update before destroying it.
 *
 * `const key = new CipherPassphrase("orders-key");` then `cipher: key.ref` of a repository.
 */
export class CipherPassphrase extends pulumi.ComponentResource {
  /** Give this to a repository: `cipher: key.ref`. */
  public readonly ref: CipherRef;
  /** Secret. The passphrase itself, for a copy in a safe place. */
  public readonly passphrase: pulumi.Output<string>;

  constructor(name: string, args: CipherPassphraseArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super(typeToken("CipherPassphrase"), name, {}, opts);
    const value =
      args.existing ?? new Passphrase(childName(name, "passphrase"), SIZE_BYTES, { parent: this, protect: opts?.protect ?? true }).passphrase;
    this.passphrase = pulumi.secret(value);
    this.ref = { passphrase: this.passphrase };
    this.registerOutputs({});
  }
}
