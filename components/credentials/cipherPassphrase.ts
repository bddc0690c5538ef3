/** The passphrase of client-side encryption. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { Passphrase } from "../dynamic/passphraseState";
import { childName, typeToken } from "../internal/children";
import { secretText } from "../internal/inputs";
import type { CipherRef } from "../repositories/target";
import { given } from "../../runtime/base/given";
import { checkedPassphrase } from "./checkedPassphrase";
import { refusedIfRenamed } from "./renamedPassphrase";

const CHECKED = new WeakSet<CipherRef>();

/** 384 bits, 64 characters of base64: as in pgBackRest's own keys. */
const SIZE_BYTES = 48;

export interface CipherPassphraseArgs {
  /**
   * An existing passphrase, for repositories created elsewhere. If omitted, a random one is generated. Changing it
   * later is refused.
   */
  existing?: pulumi.Input<string>;
}

/**
 * A passphrase for repositories: random, secret in the state, the same through every update.
 *
 * Keep a copy outside the stack: without it nobody can restore the backups. `export const ordersKey = key.passphrase;`,
 * then `pulumi stack output ordersKey --show-secrets` prints it. It is protected: set `{ protect: false }` and run an
 * update before destroying it.
 *
 * It is never rotated in place: a new passphrase means a new repository. Create another CipherPassphrase, add a
 * repository with it under another key (`repo3`) at a new path, and remove the old one when its backups are no longer
 * needed. Databases refuse another passphrase for a known location.
 *
 * `const key = new CipherPassphrase("orders-key");` then `cipher: key.ref` of a repository.
 */
export class CipherPassphrase extends pulumi.ComponentResource {
  /** Pass this to a repository: `cipher: key.ref`. */
  public readonly ref: CipherRef;
  /** Secret. The passphrase itself, for a copy in a safe place. */
  public readonly passphrase: pulumi.Output<string>;

  constructor(name: string, args: CipherPassphraseArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    const { existing: declared } = checkedArguments("CipherPassphrase", name, args);
    const child = childName(name, "passphrase");
    const unique = refusedIfRenamed(`CipherPassphrase ${name}`, child, opts, () => this.passphrase);
    // A given passphrase may be the previous one.
    super(typeToken("CipherPassphrase"), name, {}, declared === undefined ? unique : opts);
    const existing =
      declared === undefined ? undefined : checkedPassphrase(`CipherPassphrase ${name}`, "existing", declared);
    const inputs = { sizeBytes: SIZE_BYTES, ...given({ existing }) };
    const options = { parent: this, protect: opts?.protect ?? true, ...given({ dependsOn: opts?.dependsOn }) };
    const made = new Passphrase(child, inputs, options);
    this.passphrase = secretText(made.passphrase);
    this.ref = { passphrase: this.passphrase };
    CHECKED.add(this.ref);
    warnWhileNew(made.passphrase, name, this);
    this.registerOutputs({});
  }
}

/** True for the passphrase of a component of this program, which is a text in any case. */
export function isChecked(cipher: CipherRef | undefined): cipher is CipherRef {
  return cipher !== undefined && CHECKED.has(cipher);
}

/** A passphrase that a preview does not know is about to be generated. */
function warnWhileNew(passphrase: pulumi.Output<string>, name: string, resource: pulumi.Resource): void {
  if (!pulumi.runtime.isDryRun()) return;
  const isKnown: unknown = "isKnown" in passphrase ? passphrase.isKnown : true;
  void Promise.resolve(isKnown).then((known) => {
    if (known !== false) return;
    void pulumi.log.warn(
      `${name} is a new passphrase: if you lose it, you lose every backup that is encrypted with it. Keep a copy outside this stack: ` +
        "export const key = ….passphrase, then pulumi stack output key --show-secrets prints it",
      resource,
    );
  });
}
